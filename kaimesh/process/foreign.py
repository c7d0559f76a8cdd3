"""Makes an agent of a folder (`--code`), with what its code expects of a constructor's arguments."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any

from kaimesh.config.code.generation import G3_BASE
from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.structs import attached, protocol, widths_of
from kaimesh.contract.user_agent import UserAgent, read_foreign
from kaimesh.process.users_logger import UsersLogger

# What users' definitions have, whether or not it stands below @attached.
_DEFINED = (
    "ObsData", "ActData", "SampleData", "observation_process", "action_process", "sample_process",
    "SampleData2NumpyData", "NumpyData2SampleData",
)  # fmt: skip
_DEFINITION, _PANELS = "feature.definition", "conf.monitor_builder"


def make(
    load: Callable[[str], Any],
    path: str,
    agent_type: str,
    device: str,
    logger: logging.Logger | None,
    monitor: Monitor | None,
    said_type: str = "",
) -> UserAgent:
    """The agent at the dotted name `path`, which `load` imports.

    Its class is called with `agent_type`, `device`, `logger` and `monitor`, which are never None. device: a
    torch.device, if the folder's code uses PyTorch; the same in every process, for the models lie where they compute.
    said_type: what `learn` gets, "tensor", "numpy", or "": what suits it.
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
        agent.learn = _given_lists(agent.learn, tensors=_wants_tensors(agent, said_type))
    return read_foreign(agent)


def _wants_tensors(agent: Any, said_type: str) -> bool:
    """Whether the fields of samples that were created with widths come as tensors: as the configuration says, else to
    agents of generation G3 that use PyTorch, which stack them.
    """
    derived = any(base.__module__ == G3_BASE for base in type(agent).__mro__)
    return said_type == "tensor" or (said_type != "numpy" and derived and "torch" in sys.modules)


def _given_lists(learn: Callable[[Any], Any], tensors: bool) -> Callable[[Any], Any]:
    """`learn` for a Batch from the buffer, which becomes a list of the user's structs, or for anything else."""

    def call(samples: Any, *_args: Any, **_named: Any) -> Any:
        if not isinstance(samples, Batch):
            return learn(samples)
        if tensors and protocol("SampleData") is not None and widths_of(protocol("SampleData")):
            torch = sys.modules["torch"]
            columns: Any = {name: torch.from_numpy(column) for name, column in samples.columns.items()}
            return learn(list(Batch(columns, samples.row_type)))
        return learn(list(samples))

    return call


def _device(name: str) -> Any:
    torch = sys.modules.get("torch")
    return name if torch is None else torch.device(name)


def panels(path: str) -> Any:
    """The panels that the folder describes for its metrics (`conf/monitor_builder.py`, build_monitor), as dicts and
    lists; None: it describes none. Raises AgentError: its code raised.
    """
    with user_code(f"build_monitor of {path.partition('.')[0]}.{_PANELS}"):
        module = _imported(f"{path.partition('.')[0]}.{_PANELS}")
        build = getattr(module, "build_monitor", None)
        return build() if callable(build) else None


def _imported(name: str) -> Any:
    """The module of that name; None: there is none."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            return None
        raise


def _define(path: str) -> None:
    """Registers what the folder's definition has, as far as nothing of the same name is registered."""
    module = _imported(f"{path.partition('.')[0]}.{_DEFINITION}")
    for one in _DEFINED:
        if protocol(one) is None and (found := getattr(module, one, None)) is not None:
            attached(found)
