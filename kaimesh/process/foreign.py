"""Makes an agent of a folder (`--code`), with what its code expects of a constructor's arguments."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any

from kaimesh.contract.agent import user_code
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.structs import attached, protocol
from kaimesh.contract.user_agent import UserAgent, read_foreign
from kaimesh.process.users_logger import UsersLogger

# What users' definitions have, whether or not it stands below @attached.
_DEFINED = (
    "ObsData", "ActData", "SampleData", "observation_process", "action_process", "sample_process",
    "SampleData2NumpyData", "NumpyData2SampleData",
)  # fmt: skip
_DEFINITION = "feature.definition"


def make(
    load: Callable[[str], Any],
    path: str,
    agent_type: str,
    device: str,
    logger: logging.Logger | None,
    monitor: Monitor | None,
) -> UserAgent:
    """The agent at the dotted name `path`, which `load` imports.

    Its class is called with `agent_type`, `device`, `logger` and `monitor`, which are never None. device: a
    torch.device, if the folder's code uses PyTorch; the same in every process, for the models lie where they compute.
    Raises AgentError: its code raised. ConfigError: there is no such class.
    """
    with user_code(f"{agent_type}: {path} (its module, or its constructor)"):
        kind = load(path)
        _define(path)
        agent = kind(
            agent_type=agent_type,
            device=_device(device),
            logger=UsersLogger(logger or logging.getLogger(agent_type)),
            monitor=monitor or Monitor(lambda _name, _value: None),
        )
    return read_foreign(agent)


def _device(name: str) -> Any:
    torch = sys.modules.get("torch")
    return name if torch is None else torch.device(name)


def _define(path: str) -> None:
    """Registers what the folder's definition has, as far as nothing of the same name is registered."""
    name = f"{path.partition('.')[0]}.{_DEFINITION}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            return
        raise
    for one in _DEFINED:
        if protocol(one) is None and (found := getattr(module, one, None)) is not None:
            attached(found)
