"""An actor-critic as the mesh calls it. TensorFlow is imported in `setup`, and only where it is needed: in the learner, and in
actors whose network is a CNN.

Shape legend: B rows; T steps of a trajectory; A actions (discrete) or action dimensions (continuous); S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms import features
from algorithms import weights as model_file
from algorithms.actor_critic import model
from algorithms.networks import lstm, numpy_mlp, sampling
from algorithms.networks.layers import Weights
from kaimesh import agent
from kaimesh.agent import Features, Spaces, TableSpec
from kaimesh.arrays import Batch
from kaimesh.errors import AgentError

if TYPE_CHECKING:
    from algorithms.actor_critic.learner import Learner

# What to change where a model's header differs from this run's; {} is the algorithm's table.
_REMEDIES = {
    "spaces": "set app to the environment it was trained on",
    "kind": "set [{}] network",
    "hidden_sizes": "set [{}] hidden_sizes",
    "activation": "set [{}] activation",
    "shared": "set [{}] torso",
    "lstm_size": "set [{}] lstm_size",
    "standardise": "set [{}] normalize_observations",
}


class ActorCritic(agent.Agent):
    """The network, its weights, and in the learner the update.

    An algorithm sets `algo`, its table in the configuration; `config`, its hyper-parameters; `model_format` and
    `state_format`, the versions of its files; and has `_make_learner`.
    """

    table = TableSpec(kind="queue", rows_per_item=1)
    pad_batches = True
    algo = ""
    config: Any = None
    model_format = ""
    state_format = ""

    @property
    def unroll_length(self) -> int:
        """T: the steps of one sample."""
        length: int = self.config.unroll_length
        return length

    def features(self, count: int, spaces: Spaces) -> Features | None:
        """Of `count` slots, as the configuration's `features` says."""
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
            self._learner = self._make_learner(self._net, self._weights)
        self._stale = True  # whether the learner's weights are newer than those that predict uses

    def initial_state(self, count: int) -> dict[str, np.ndarray]:
        """An LSTM's state `[count, S]` before the first observation of an episode, by column; none without an LSTM."""
        return lstm.initial_state(count, self._net.lstm_size) if self._net.lstm_size else {}

    def predict(self, list_obs_data: Batch) -> Batch:
        """Draws actions: columns `action` (int32 `[B]` or float32 `[B, A]`), `log_prob` and `value` (float32 `[B]`).

        With an LSTM, the state before each observation is a column of the rows, and the next one a column of the answer.
        """
        return self._act(list_obs_data, self._rng)

    def exploit(self, list_obs_data: Batch) -> Batch:
        """The same with the likeliest action."""
        return self._act(list_obs_data, None)

    def learn(self, list_sample_data: Batch) -> dict[str, Any]:
        """One update from trajectories: columns `[B, T(+1), ...]` as config.unroll_length and the mesh lay them out."""
        metrics = self._trained("learn was called on").update(list_sample_data.columns)
        self._stale = True
        return metrics

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Writes `{path}/model.ckpt-{id}.npz`; the same weights give the same bytes."""
        model_file.save(Path(str(path)) / f"model.ckpt-{id}.npz", self._header(), self._current_weights())

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Reads what `save_model` wrote. Raises AgentError, and keeps the weights, where it does not fit this run."""
        file = Path(str(path)) / f"model.ckpt-{id}.npz"
        header, arrays = model_file.load(file)
        header = {"lstm_size": 0, **header}  # files that are older than the LSTM
        remedies = {entry: remedy.format(self.algo) for entry, remedy in _REMEDIES.items()}
        model_file.check(file, header, self._header(), remedies)
        if self._learner is not None:
            self._learner.assign(arrays)
        self._weights = arrays
        self._assign(arrays)
        self._stale = False

    def save_training_state(self, path: str) -> None:
        """Writes what an exact resume needs besides the model into the folder `path`: `training.npz`."""
        header, arrays = self._trained("there is no training state in").state()
        header = {**header, "format": self.state_format, "act_rng": self._rng.bit_generator.state}
        model_file.save(Path(path) / "training.npz", header, arrays)

    def load_training_state(self, path: str) -> None:
        """Reads what `save_training_state` wrote; the weights are loaded by `load_model`."""
        learner = self._trained("there is no training state in")
        file = Path(path) / "training.npz"
        header, arrays = model_file.load(file)
        model_file.check(file, header, {"format": self.state_format}, {})
        learner.restore(header, arrays)
        self._rng.bit_generator.state = header["act_rng"]

    def _make_learner(self, net: model.Architecture, weights: Weights) -> Learner:
        raise NotImplementedError

    def _trained(self, what: str) -> Learner:
        if self._learner is None:
            raise AgentError(f"{what} an agent of type {self.agent_type!r}; only the learner's can learn")
        return self._learner

    def _inference(self) -> tuple[Callable[[Mapping[str, Any]], None], Callable[..., tuple[np.ndarray, ...]]]:
        """How predictions get weights, and how they are computed: in NumPy for an MLP, compiled for a CNN."""
        if self._net.torso.kind == "mlp":
            library = model.Library(numpy_mlp.forward, lstm.step)
            return lambda _: None, lambda *inputs: model.forward(self._net, library, self._weights, *inputs)
        from algorithms.actor_critic.unroll import LIBRARY
        from algorithms.networks.compiled import Compiled

        spaces = self._net.spaces
        state = {name: column[0] for name, column in self.initial_state(1).items()}
        compiled = Compiled(
            partial(model.forward, self._net, LIBRARY),
            self._weights,
            spaces.obs_shape,
            spaces.obs_dtype,
            *((column.shape, column.dtype.str) for column in state.values()),
        )
        return compiled.assign, compiled

    def _act(self, observations: Batch, rng: np.random.Generator | None) -> Batch:
        columns = observations.columns
        self._refresh()
        state = (lstm.STATE,) if self._net.lstm_size else ()
        head, value, *after = self._forward(columns["obs"], *(columns[name] for name in state))  # [B, A], [B], [B, S]
        if self._net.spaces.action_kind == "discrete":
            legal_act = columns["legal_act"] if self._net.spaces.legal_actions else None
            sample = sampling.categorical(head, legal_act, rng)
        else:
            sample = sampling.gaussian(head, self._weights["policy/log_std"], rng)
        return Batch({**sample._asdict(), "value": value, **dict(zip(state, after, strict=True))})

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
        what = {"format": self.model_format, "spaces": net.spaces._asdict()}
        return {**what, "shared": net.shared, "lstm_size": net.lstm_size, **net.torso._asdict()}
