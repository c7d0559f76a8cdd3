"""The agent of every native algorithm: the mesh's calls, the network's weights, files, inference.

TensorFlow is imported in `setup`, and only where it is needed: in the learner, and in actors whose network is a CNN.

Shape legend: T steps of a trajectory; S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kaimesh.algorithms import weights as model_file
from kaimesh.algorithms.algorithm import AgentConfig, Algorithm, Player
from kaimesh.algorithms.networks import lstm
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.one_pass import OnePass
from kaimesh.contract import agent
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.scaling import Scaling
from kaimesh.contract.seeds import Purpose, generator, generator_from
from kaimesh.contract.spaces import Spaces

if TYPE_CHECKING:
    from kaimesh.algorithms.learner import Learner

# What to change where a model's header differs from this run's.
_REMEDIES = {
    "spaces": "set app to the environment it was trained on",
    "action_unit": "an earlier version trained it to act in the environment's unit, and its actions would be scaled "
    "wrongly here; train anew, or use that version",
    "kind": "set network",
    "hidden_sizes": "set hidden_sizes",
    "activation": "set activation",
    "lstm_size": "set lstm_size",
    "standardise": "set normalize_observations",
}

_ENVIRONMENTS = "environment"
_LEARNS = "learns"  # entry of a model's header: how many made it


class NativeAgent(agent.BaseAgent):
    """An agent that predicts with a network and, in a learner, trains it; `algorithm` has what differs by algorithm."""

    algorithm: ClassVar[Algorithm[Any, Any]]
    _learner: Learner | None = None
    pad_batches = True
    unit_actions = True

    def __init_subclass__(cls) -> None:
        """Sets `table`, which the mesh reads from the class, before any agent is made."""
        super().__init_subclass__()
        cls.table = cls.algorithm.table

    def __init__(
        self,
        agent_type: str = "player",
        device: Any = None,
        logger: Any = None,
        monitor: Any = None,
        config: AgentConfig | None = None,
    ) -> None:
        """config: this agent's hyper-parameters, an instance of `algorithm.config`; None: the defaults."""
        super().__init__(agent_type, device, logger, monitor)
        self.config: AgentConfig = self.algorithm.config() if config is None else config
        self._meter = monitor if isinstance(monitor, Monitor) else Monitor()

    @property
    def unroll_length(self) -> int:
        """T: the steps of one sample."""
        return self.config.unroll_length

    def features(self, count: int, spaces: Spaces) -> str | None:
        """The name of the environment's features that the network reads; None: it reads the observation."""
        del count, spaces
        return None if self.config.features == "none" else self.config.features

    def setup(self, spaces: Spaces) -> None:
        """Builds the network for `spaces`: its weights in an actor and a learner, its description alone in an aisrv.

        Raises AgentError: there are more players than the algorithm can learn for.
        """
        algorithm = self.algorithm
        self.check_players(spaces)
        self._net = algorithm.model.architecture(spaces, self.config)
        if algorithm.collector is not None:
            self._collect = algorithm.collector(spaces, self.config)
        if self.agent_type == "aisrv":
            return
        self._weights: Weights = algorithm.model.initial_weights(self._net, self.config)
        self._rng = generator(self.config.seed, Purpose.ACTING, *self._meter.whose)
        self._player = self._new_player()
        self._learns = 0  # that made the weights with which `predict` acts
        if self.agent_type != "actor":
            self._learner = algorithm.learner(self._net, self._weights, self.config)
        self._stale = True  # whether the learner's weights are newer than those that predict uses

    @classmethod
    def check_players(cls, spaces: Spaces) -> None:
        """Raises AgentError: there are more players than the algorithm can learn for."""
        if spaces.players > 1 and not cls.algorithm.several_players:
            raise AgentError(
                f"{cls.algorithm.model_format.split()[0].upper()} learns what one player gets, and this environment "
                f"has {spaces.players} players: it would take the others' moves and rewards for its own. Name an "
                "algorithm for several players, or an environment that plays the others itself."
            )

    def initial_state(self, count: int) -> dict[str, np.ndarray]:
        """The column of an LSTM's state `[count, S]` before an episode's first observation; {} without an LSTM."""
        return lstm.initial_state(count, self._net.lstm_size) if self._net.lstm_size else {}

    def slot_columns(self, slots: np.ndarray, total: int) -> dict[str, np.ndarray]:
        """Constants of the slots with the numbers `slots` int64 `[N]`, of `total` in all, as columns `[N, ...]`."""
        columns = self.algorithm.slot_columns
        return {} if columns is None else columns(self.config, slots, total)

    def sample_of(self, unrolls: Batch) -> Batch:
        """The samples that are stored for trajectories `[B, T(+1), ...]`; by default the trajectories themselves."""
        if self.algorithm.collector is not None:
            return Batch(self._collect(unrolls.columns))
        sample = self.algorithm.sample_of
        return unrolls if sample is None else Batch(sample(self.config, unrolls.columns))

    def predict(self, list_obs_data: Batch) -> Batch:
        """Actions that explore: the columns that `algorithm.act` or `algorithm.player` returns."""
        return self._act(list_obs_data, self._rng)

    def exploit(self, list_obs_data: Batch) -> Batch:
        """As `predict`, but the best actions."""
        return self._act(list_obs_data, None)

    def learn(self, list_sample_data: Batch) -> dict[str, Any]:
        """One update from samples, columns `[B, T(+1), ...]` with T = config.unroll_length; returns metrics."""
        metrics = self._trained("learn was called on").update(list_sample_data.columns)
        self._stale = True
        return metrics

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Writes `{path}/model.ckpt-{id}.npz`; the same weights give the same bytes."""
        weights = self._current_weights()
        learns = {_LEARNS: self._learns} if self.algorithm.counts_learns else {}
        model_file.save(Path(str(path)) / f"model.ckpt-{id}.npz", {**self._header(), **learns}, weights)

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Reads what `save_model` wrote. Raises AgentError if it does not fit this run; the weights stay then."""
        file = Path(str(path)) / f"model.ckpt-{id}.npz"
        header, arrays = model_file.load(file, self._weights, partial(self._check, file))
        if self._learner is not None:
            self._learner.assign(arrays)
        self._take(arrays, header.get(_LEARNS, 0))
        self._stale = False

    def check_model(self, path: str, id: str | int) -> None:
        """Raises AgentError if `load_model` would refuse the model. An agent of an aisrv can check it, too."""
        file = Path(path) / f"model.ckpt-{id}.npz"
        self._check(file, model_file.header_of(file))

    def save_training_state(self, path: str) -> None:
        """Writes `{path}/training.npz`: what an exact resume needs besides the model."""
        header, arrays = self._trained("there is no training state in").state()
        header = {**header, "format": self.algorithm.state_format, "act_rng": self._rng.bit_generator.state}
        model_file.save(Path(path) / "training.npz", header, arrays)

    def load_training_state(self, path: str) -> None:
        """Reads what `save_training_state` wrote; the weights are loaded by `load_model`.

        Raises AgentError if it does not fit this run; the state stays then.
        """
        learner = self._trained("there is no training state in")
        file, wanted = Path(path) / "training.npz", {"format": self.algorithm.state_format}
        header, arrays = model_file.load(
            file, learner.state()[1], lambda header: model_file.check(file, header, wanted, {})
        )
        try:
            acting = generator_from(header.get("act_rng"))
            learner.restore(header, arrays)
        except ValueError as error:
            raise AgentError(
                f"{file} is damaged ({error}); nothing was loaded. Start a new run from the model, with preload_model."
            ) from error
        self._rng.bit_generator.state = acting.bit_generator.state

    def _trained(self, what: str) -> Learner:
        if self._learner is None:
            raise AgentError(
                f"{what} an agent of type {self.agent_type!r}, which has no optimizer; only the learner's can learn. "
                "Make it with agent_type = 'learner'."
            )
        return self._learner

    def _act(self, observations: Batch, rng: np.random.Generator | None) -> Batch:
        self._refresh()
        return Batch(self._player.act(observations.columns, rng))

    def _current_weights(self) -> Weights:
        self._refresh()
        return self._weights

    def _refresh(self) -> None:
        if self._stale and self._learner is not None:
            self._take(self._learner.weights(), self._learner.updates)
        self._stale = False

    def _take(self, weights: Weights, learns: int) -> None:
        self._weights, self._learns = weights, learns
        self._player.assign(weights, learns)

    def _new_player(self) -> Player:
        if self.algorithm.player is not None:
            return self.algorithm.player(self._net, self._weights, self.config, self._meter)
        return OnePass(self.algorithm, self._net, self.config, self._weights)

    def _check(self, file: Path, header: Mapping[str, Any]) -> None:
        header = {"lstm_size": 0, "action_unit": _ENVIRONMENTS, **header}  # what older files do not say
        learns = header.get(_LEARNS, 0)
        if type(learns) is not int or learns < 0:
            raise AgentError(f"{file} is damaged ({_LEARNS} = {learns!r:.80}); nothing was loaded. Load another model.")
        model_file.check(file, header, self._header(), {**_REMEDIES, **self.algorithm.remedies})

    def _header(self) -> dict[str, Any]:
        net, algorithm = self._net, self.algorithm
        spaces = net.spaces._replace(symmetry="").to_json()  # which no weight depends on
        shared = {"format": algorithm.model_format, "spaces": spaces, "lstm_size": net.lstm_size}
        return {**shared, **_action_unit(net.spaces), **net.torso._asdict(), **algorithm.model.header(net)}


def _action_unit(spaces: Spaces) -> dict[str, str]:
    """The entry of a header that says what the model's continuous actions are in."""
    if spaces.action_kind == "discrete":
        return {}
    same = Scaling.of(spaces.action_low, spaces.action_high).is_identity
    return {"action_unit": _ENVIRONMENTS if same else "bounds"}
