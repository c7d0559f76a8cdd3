"""PPO as the mesh calls it. TensorFlow is imported in `setup`, and only where it is needed: in the learner, and in actors
whose network is a CNN.

Shape legend: B rows; T steps of a trajectory; A actions (discrete) or action dimensions (continuous).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms import features
from algorithms import weights as model_file
from algorithms.networks import numpy_mlp, sampling
from algorithms.networks.layers import Weights
from algorithms.ppo import model
from algorithms.ppo.config import Config
from kaimesh import agent
from kaimesh.agent import Features, Spaces, TableSpec
from kaimesh.arrays import Batch
from kaimesh.errors import AgentError

if TYPE_CHECKING:
    from algorithms.ppo.learning import Learner

# What to change where a model's header differs from this run's.
_REMEDIES = {
    "spaces": "set app to the environment it was trained on",
    "kind": "set [ppo] network",
    "hidden_sizes": "set [ppo] hidden_sizes",
    "activation": "set [ppo] activation",
    "shared": "set [ppo] torso",
    "standardise": "set [ppo] normalize_observations",
}


class Agent(agent.Agent):
    """The network, its weights, and in the learner the update. Hyper-parameters are the class attribute `config`."""

    table = TableSpec(kind="queue", rows_per_item=1)
    pad_batches = True
    config: type[Config] = Config

    @property
    def unroll_length(self) -> int:
        """T: the steps of one sample."""
        return self.config.unroll_length

    def features(self, count: int, spaces: Spaces) -> Features | None:
        """Of `count` slots, as [ppo] features says."""
        return features.make(self.config.features, count, spaces)

    def setup(self, spaces: Spaces) -> None:
        """Builds what this process needs of the network for `spaces`."""
        self._net = model.architecture(spaces, self.config)
        if self.agent_type == "aisrv":
            return
        self._weights = model.initial_weights(self._net, self.config)
        self._rng = np.random.default_rng([self.config.seed, 2])
        self._assign, self._forward = self._inference()
        self._learner: Learner | None = None
        if self.agent_type != "actor":
            from algorithms.ppo.learning import Learner

            self._learner = Learner(self._net, self._weights, self.config)
        self._stale = True  # whether the learner's weights are newer than those that predict uses

    def predict(self, list_obs_data: Batch) -> Batch:
        """Draws actions: columns `action` (int32 `[B]` or float32 `[B, A]`), `log_prob` and `value` (float32 `[B]`)."""
        return self._act(list_obs_data, self._rng)

    def exploit(self, list_obs_data: Batch) -> Batch:
        """The same with the likeliest action."""
        return self._act(list_obs_data, None)

    def learn(self, list_sample_data: Batch) -> dict[str, float]:
        """One update from trajectories: columns `[B, T(+1), ...]` as config.unroll_length and the mesh lay them out."""
        if self._learner is None:
            raise AgentError(f"learn was called on an agent of type {self.agent_type!r}; only the learner's can learn")
        metrics = self._learner.update(list_sample_data.columns)
        self._stale = True
        return metrics

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Writes `{path}/model.ckpt-{id}.npz`; the same weights give the same bytes."""
        model_file.save(Path(str(path)) / f"model.ckpt-{id}.npz", self._header(), self._current_weights())

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Reads what `save_model` wrote. Raises AgentError, and keeps the weights, where it does not fit this run."""
        file = Path(str(path)) / f"model.ckpt-{id}.npz"
        header, arrays = model_file.load(file)
        model_file.check(file, header, self._header(), _REMEDIES)
        if self._learner is not None:
            self._learner.assign(arrays)
        self._weights = arrays
        self._assign(arrays)
        self._stale = False

    def save_training_state(self, path: str) -> None:
        """Writes what an exact resume needs besides the model into the folder `path`: `training.npz`."""
        if self._learner is None:
            raise AgentError(f"an agent of type {self.agent_type!r} has no training state")
        header, arrays = self._learner.state()
        header = {**header, "format": "ppo training state 1", "act_rng": self._rng.bit_generator.state}
        model_file.save(Path(path) / "training.npz", header, arrays)

    def load_training_state(self, path: str) -> None:
        """Reads what `save_training_state` wrote; the weights are loaded by `load_model`."""
        if self._learner is None:
            raise AgentError(f"an agent of type {self.agent_type!r} has no training state")
        file = Path(path) / "training.npz"
        header, arrays = model_file.load(file)
        model_file.check(file, header, {"format": "ppo training state 1"}, {})
        self._learner.restore(header, arrays)
        self._rng.bit_generator.state = header["act_rng"]

    def _inference(self) -> tuple[Callable[[Mapping[str, Any]], None], Callable[[np.ndarray], tuple[np.ndarray, ...]]]:
        """How predictions get weights, and how they are computed: in NumPy for an MLP, compiled for a CNN."""
        if self._net.torso.kind == "mlp":
            return lambda _: None, lambda obs: model.forward(self._net, numpy_mlp.forward, self._weights, obs)
        from algorithms.networks import torsos
        from algorithms.networks.compiled import Compiled

        forward = partial(model.forward, self._net, torsos.forward)
        spaces = self._net.spaces
        compiled = Compiled(forward, self._weights, spaces.obs_shape, spaces.obs_dtype)
        return compiled.assign, compiled

    def _act(self, observations: Batch, rng: np.random.Generator | None) -> Batch:
        columns = observations.columns
        self._refresh()
        head, value = self._forward(columns["obs"])  # [B, A], [B]
        if self._net.spaces.action_kind == "discrete":
            legal_act = columns["legal_act"] if self._net.spaces.legal_actions else None
            sample = sampling.categorical(head, legal_act, rng)
        else:
            sample = sampling.gaussian(head, self._weights["policy/log_std"], rng)
        return Batch({**sample._asdict(), "value": value})

    def _current_weights(self) -> Weights:
        self._refresh()
        return self._weights

    def _refresh(self) -> None:
        if self._stale and self._learner is not None:
            self._weights = self._learner.weights()
            self._assign(self._weights)
        self._stale = False

    def _header(self) -> dict[str, Any]:
        net = self._net
        return {"format": "ppo 2", "spaces": net.spaces._asdict(), "shared": net.shared, **net.torso._asdict()}
