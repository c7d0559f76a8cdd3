"""DQN as the mesh calls it. TensorFlow is imported in `setup`, and only where it is needed: in the learner, and in actors
whose network is a CNN.

Shape legend: B rows; T steps of a trajectory; A actions; S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms import features
from algorithms import weights as model_file
from algorithms.actor_critic.model import Library
from algorithms.dqn import model, replay
from algorithms.dqn.config import Config
from algorithms.networks import lstm, numpy_mlp
from algorithms.networks.layers import Weights
from kaimesh import agent
from kaimesh.agent import PRIORITY, Features, Spaces, TableSpec
from kaimesh.arrays import Batch
from kaimesh.errors import AgentError

if TYPE_CHECKING:
    from algorithms.dqn.learning import Learner

EPSILON = "epsilon"  # column of requests: the slot's probability of a random action
_STATE_FORMAT = "dqn training state 1"
_SEEN = ("q", "value")  # act columns that only the first priorities are made of
# What to change where a model's header differs from this run's.
_REMEDIES = {
    "spaces": "set app to the environment it was trained on",
    "kind": "set network",
    "hidden_sizes": "set hidden_sizes",
    "activation": "set activation",
    "dueling": "set dueling",
    "atoms": "set atoms",
    "support": "set value_min and value_max",
    "lstm_size": "set lstm_size",
    "standardise": "set normalize_observations",
}


class Agent(agent.Agent):
    """The network, its weights, and in the learner the update. Hyper-parameters are the class attribute `config`."""

    table = TableSpec(kind="replay", rows_per_item=1, prioritised=True)
    pad_batches = True
    config: type[Config] = Config

    @property
    def unroll_length(self) -> int:
        """T: the steps of one sample."""
        return self.config.unroll_length

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
            from algorithms.dqn.learning import Learner

            self._learner = Learner(self._net, self._weights, self.config)
        self._stale = True  # whether the learner's weights are newer than those that predict uses

    def initial_state(self, count: int) -> dict[str, np.ndarray]:
        """An LSTM's state `[count, S]` before the first observation of an episode, by column; none without an LSTM."""
        return lstm.initial_state(count, self._net.lstm_size) if self._net.lstm_size else {}

    def slot_columns(self, slots: np.ndarray, total: int) -> dict[str, np.ndarray]:
        """Each slot's EPSILON, float32 `[N]`, by its place among all slots."""
        return {EPSILON: replay.epsilons(slots, total, self.config.epsilon, self.config.epsilon_ladder)}

    def predict(self, list_obs_data: Batch) -> Batch:
        """Explores: columns `action` int32 `[B]`, `q`, its value, and `value`, that of the best action, float32 `[B]`.

        The column EPSILON says how much; without it, as the first slot does. With an LSTM, the state before each observation
        is a column of the rows, and the next one a column of the answer.
        """
        return self._act(list_obs_data, self._rng)

    def exploit(self, list_obs_data: Batch) -> Batch:
        """The same with the best action."""
        return self._act(list_obs_data, None)

    def sample_of(self, unrolls: Batch) -> Batch:
        """What is stored of trajectories `[B, T(+1), ...]`: with their first priorities, as in Ape-X, and without what these needed."""
        config, columns = self.config, unrolls.columns
        errors = replay.first_errors(columns, config.gamma, config.n_step, config.reward_scale)  # [T, B]
        priority = replay.priorities(errors, columns["mask"].T, config.priority_max_share, config.priority_floor)
        return Batch({**{name: column for name, column in columns.items() if name not in _SEEN}, PRIORITY: priority})

    def learn(self, list_sample_data: Batch) -> dict[str, Any]:
        """One update from samples as `sample_of` made them, columns `[B, T(+1), ...]`; PRIORITY in the metrics is their new one."""
        metrics, priority = self._trained("learn was called on").update(list_sample_data.columns)
        self._stale = True
        return {**metrics, PRIORITY: priority}

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
        header, arrays = self._trained("there is no training state in").state()
        header = {**header, "format": _STATE_FORMAT, "act_rng": self._rng.bit_generator.state}
        model_file.save(Path(path) / "training.npz", header, arrays)

    def load_training_state(self, path: str) -> None:
        """Reads what `save_training_state` wrote; the weights are loaded by `load_model`."""
        learner = self._trained("there is no training state in")
        file = Path(path) / "training.npz"
        header, arrays = model_file.load(file)
        model_file.check(file, header, {"format": _STATE_FORMAT}, {})
        learner.restore(header, arrays)
        self._rng.bit_generator.state = header["act_rng"]

    def _trained(self, what: str) -> Learner:
        if self._learner is None:
            raise AgentError(f"{what} an agent of type {self.agent_type!r}; only the learner's can learn")
        return self._learner

    def _inference(self) -> tuple[Callable[[Mapping[str, Any]], None], Callable[..., tuple[np.ndarray, ...]]]:
        """How predictions get weights, and how they are computed: in NumPy for an MLP, compiled for a CNN."""
        if self._net.torso.kind == "mlp":
            library = Library(numpy_mlp.forward, lstm.step)
            return lambda _: None, lambda *inputs: model.forward(self._net, library, self._weights, *inputs)
        from algorithms.dqn.learning import LIBRARY
        from algorithms.networks.compiled import Compiled

        spaces = self._net.spaces
        state = ((column.shape[1:], column.dtype.str) for column in self.initial_state(1).values())
        forward = partial(model.forward, self._net, LIBRARY)
        compiled = Compiled(forward, self._weights, spaces.obs_shape, spaces.obs_dtype, *state)
        return compiled.assign, compiled

    def _act(self, observations: Batch, rng: np.random.Generator | None) -> Batch:
        columns = observations.columns
        self._refresh()
        names = (lstm.STATE,) if self._net.lstm_size else ()
        heads, *state = self._forward(columns["obs"], *(columns[name] for name in names))
        legal_act = columns["legal_act"] if self._net.spaces.legal_actions else None
        epsilon = columns.get(EPSILON, self.config.epsilon)
        action, q, value = model.explore(model.action_values(self._net, heads), legal_act, epsilon, rng)
        return Batch({"action": action, "q": q, "value": value, **dict(zip(names, state, strict=True))})

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
        what = {"format": "dqn 1", "spaces": net.spaces._asdict(), "dueling": net.dueling, "atoms": net.atoms}
        return {**what, "support": net.support, "lstm_size": net.lstm_size, **net.torso._asdict()}
