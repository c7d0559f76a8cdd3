"""The base class of agents of generations G1 and G2, and the decorators of their methods.

What a decorated method does differs from process to process: aisrv sends `predict` to a predictor, `learn` to the
buffer, and so on (kaimesh/aisrv/hosted). The mesh finds the methods by name on each instance, so a decorator only marks
its method, and the class behaves the same without a mesh, in a unit test of the user's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

M = TypeVar("M", bound=Callable[..., Any])
MARK = "framework_verb"  # the attribute of a decorated method: what the framework calls it


class BaseAgent:
    """Keeps nothing of its arguments: subclasses call this constructor first, last or never."""

    def __init__(self, agent_type: str = "player", device: Any = None, logger: Any = None, monitor: Any = None) -> None:
        del agent_type, device, logger, monitor
        self.framework_handler: Any = None

    def predict(self, list_obs_data: Any) -> Any:
        """One ActData per ObsData, for training."""
        raise NotImplementedError(f"{type(self).__name__} defines no predict; the workflow got no action. Write it.")

    def exploit(self, list_obs_data: Any) -> Any:
        """The same without exploration."""
        raise NotImplementedError(f"{type(self).__name__} defines no exploit; nothing can be evaluated. Write it.")

    def learn(self, list_sample_data: Any) -> Any:
        """One training step."""
        raise NotImplementedError(f"{type(self).__name__} defines no learn; nothing can be trained. Write it.")

    def save_model(self, path: Any = None, id: Any = "1") -> Any:
        """Writes `{path}/model.ckpt-{id}.<ext>`."""
        raise NotImplementedError(f"{type(self).__name__} defines no save_model; no model can be kept. Write it.")

    def load_model(self, path: Any = None, id: Any = "1") -> Any:
        """Reads what save_model wrote."""
        raise NotImplementedError(f"{type(self).__name__} defines no load_model; no process gets a model. Write it.")


def _marks(verb: str) -> Callable[[M], M]:
    def decorate(method: M) -> M:
        setattr(method, MARK, verb)
        return method

    decorate.__name__ = f"{verb}_wrapper"
    return decorate


learn_wrapper = _marks("learn")
predict_wrapper = _marks("predict")
exploit_wrapper = _marks("exploit")
save_model_wrapper = _marks("save_model")
load_model_wrapper = _marks("load_model")
reset_wrapper = _marks("reset")
load_opponent_agent_wrapper = _marks("load_opponent_agent")
get_training_metrics_wrapper = _marks("get_training_metrics")


def check_hasattr(*wanted: Any) -> Any:
    """A decorator of methods: `@check_hasattr("model", ...)` raises AttributeError, when the method is called, if the
    agent lacks one of these. `@check_hasattr` alone leaves a method or class as it is.
    """
    if len(wanted) == 1 and callable(wanted[0]):
        return wanted[0]
    names = [name for part in wanted for name in ([part] if isinstance(part, str) else part)]

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if missing := [name for name in names if not hasattr(self, name)]:
                raise AttributeError(
                    f"{type(self).__name__}.{method.__name__} needs {', '.join(missing)}, which the agent does not "
                    "have; it was not called. Set it in __init__."
                )
            return method(self, *args, **kwargs)

        return call

    return decorate
