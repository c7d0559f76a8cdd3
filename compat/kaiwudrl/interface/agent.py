"""The base class of agents of generation G3, which have no decorators: the mesh finds their methods by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaimesh.agent import host


class BaseAgent:
    """Keeps nothing of its arguments: subclasses call this constructor first, last or never."""

    def __init__(self, agent_type: str = "player", device: Any = None, logger: Any = None, monitor: Any = None) -> None:
        del agent_type, device, logger, monitor
        self.framework_handler: Any = None

    def init_config(self, *args: Any, **kwargs: Any) -> Any:
        """For subclasses: called once, by the workflow."""

    def reset(self, env_obs: Any = None) -> Any:
        """For subclasses: called at the begin of an episode, by the workflow."""

    def predict(self, list_obs_data: Any) -> Any:
        """One ActData per ObsData, for training."""
        raise NotImplementedError(f"{type(self).__name__} defines no predict; the workflow got no action. Write it.")

    def exploit(self, env_obs: Any) -> Any:
        """An action for the environment, without exploration."""
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

    def send_sample_data(self, list_sample_data: Any) -> None:
        """Sends samples to the buffer. The mesh puts its own in place of this one."""
        raise NotImplementedError(
            f"{type(self).__name__}.send_sample_data was called where no mesh runs, so the samples went nowhere. Call "
            "it from a workflow."
        )

    def get_training_metrics(self) -> Mapping[str, Any] | None:
        """See tools.metrics_utils.get_training_metrics."""
        return host().metrics()
