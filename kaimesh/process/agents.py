"""Agents as a configuration names them: the object behind a dotted name, and the agent of a process."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from kaimesh.config import Config, caller
from kaimesh.config.packages import below_kaimesh
from kaimesh.contract.agent import TableSpec, called_exit, user_code
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.user_agent import UserAgent, read_agent, table_of
from kaimesh.contract.workflow import Workflow, read_workflow
from kaimesh.process import foreign


def make_agent(
    config: Config,
    agent_type: str,
    *,
    device: str | None = None,
    logger: logging.Logger | None = None,
    monitor: Monitor | None = None,
) -> UserAgent:
    """The agent of a process, "aisrv", "actor" or "learner", with the configuration's hyper-parameters.

    Where the algorithm's config class is a frozen dataclass, the agent's class is also called with `config`, an
    instance; a plain class is set before the agent's package is imported.
    device: None: as configured, "cpu" in an aisrv. monitor: None: what the agent reports is dropped.
    Raises AgentError: its code raised. ConfigError: there is no such class; or its config class is a plain one, and
    another agent of this process was made with other values of it.
    """
    entry = config.algo
    path = {"aisrv": entry.aisrv_agent, "actor": entry.actor_agent, "learner": entry.learner_agent}[agent_type]
    if device is None:
        device = "cpu" if agent_type == "aisrv" else config.app.agent_device
    if config.code is not None:
        return foreign.make(
            _class, path, agent_type, device, logger, monitor, config.code.kept.get("sample_data_return_data_type", "")
        )
    with user_code(f"{path}({agent_type=})"):
        given = config.parameters.for_agent() if config.parameters is not None else {}
        agent = _class(path)(
            agent_type=agent_type,
            device=device,
            logger=logger or logging.getLogger(agent_type),
            monitor=monitor or Monitor(),
            **given,
        )
    return read_agent(agent)


def table(config: Config) -> TableSpec:
    """How the samples of the configuration's agent are stored; of a folder's agents, its code is not looked at.

    Raises as `dotted`, and AgentError: the agent's class says what no table can be.
    """
    return TableSpec() if config.code is not None else table_of(dotted(config.algo.learner_agent))


def _class(path: str) -> Any:
    """The agent's class. Raises as `dotted`, and ConfigError: it is something else, such as a number."""
    found = dotted(path)
    if not callable(found):
        raise ConfigError(
            f"algo_conf names {path!r} as an agent, which is {found!r:.80} ({type(found).__name__}), so no agent can "
            "be made. Name the agent's class."
        )
    return found


def workflow_of(config: Config) -> Workflow:
    """The loop that an aisrv runs. Raises as `dotted`, and AgentError: it cannot be called, or is a folder's (`--code`)
    whose module raised.
    """
    path = config.algo.train_workflow
    if config.code is None:
        return read_workflow(dotted(path), path)
    with user_code(f"aisrv: {path} (its module)"):
        found = dotted(path)
    return read_workflow(found, path)


def dotted(path: str) -> Any:
    """The object at "package.module.name".

    Raises ConfigError: there is none. AgentError: its module called exit. The module's own errors pass through.
    """
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            whole = below_kaimesh(path)
            place = f"into the folder in which you type the command ({caller.folder()}), or on PYTHONPATH"
            remedy = f"Write {whole}." if whole else f"Correct it, or put the module {place}."
            raise ConfigError(
                f"algo_conf names {path!r}, but there is no module {error.name!r}, so nothing can be loaded. {remedy}"
            ) from error
        raise
    except SystemExit as error:
        raise AgentError(called_exit(f"{module_name}, while it was imported,", error)) from error
    if not hasattr(module, name):
        raise ConfigError(
            f"algo_conf names {path!r}, but module {module_name!r} has no {name!r}, so nothing can be loaded. Correct "
            "the name."
        )
    return getattr(module, name)
