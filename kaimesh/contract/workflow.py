"""An algorithm's `train_workflow`: the loop that an aisrv runs, over one environment or over groups of them; and the
mark of functions that make environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kaimesh.contract.errors import AgentError

F = TypeVar("F", bound=Callable[..., None])
T = TypeVar("T")


@dataclass(frozen=True)
class Workflow:
    """A workflow and how it is called. run: `workflow(envs, agents, logger, monitor)`.

    vectorised: True: it is called once, with groups of environments and a vectorised agent for each group, like
    kaimesh.aisrv.rollout. False: Kaiwu-style: it is called in one thread per environment, with one environment and one
    agent.
    """

    run: Callable[[Sequence[Any], Sequence[Any], Any, Any], None]
    vectorised: bool


def vectorised(function: F) -> F:
    """Marks a workflow as vectorised; returns it unchanged."""
    function.vectorised = True  # type: ignore[attr-defined]
    return function


def read_workflow(function: Any, path: str) -> Workflow:
    """Reads `function`, which the configuration names by `path`. Raises AgentError: it cannot be called."""
    if not callable(function):
        raise AgentError(
            f"train_workflow = {path!r} is {type(function).__name__}, which cannot be called; no environment would "
            "ever step. Name a function workflow(envs, agents, logger, monitor)."
        )
    return Workflow(function, bool(getattr(function, "vectorised", False)))


def env_factory(function: T) -> T:
    """Marks `function`, which returns a gymnasium.Env, so that `app = "module:function"` may name it; returns
    `function` itself.

    Without such a mark, a configuration or a recording could call any function of any module. Setting
    `function.env_factory = True` does the same without an import.
    """
    function.env_factory = True  # type: ignore[attr-defined]
    return function
