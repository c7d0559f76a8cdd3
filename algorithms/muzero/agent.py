"""MuZero as the mesh calls it: games are stored, and positions of them drawn again and again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kaimesh.algorithms.agent import NativeAgent
from kaimesh.algorithms.algorithm import Algorithm
from kaimesh.algorithms.muzero import model, reanalysis
from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.config import MOVES, ROWS, Config
from kaimesh.algorithms.muzero.games import Collector
from kaimesh.algorithms.muzero.synchronous import Rounds
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch, Columns
from kaimesh.contract.columns import POSITIONS
from kaimesh.contract.monitor import Monitor

if TYPE_CHECKING:
    from kaimesh.algorithms.learner import Learner
    from kaimesh.algorithms.muzero.acting import Player

LITTLE_ENTROPY = 0.02  # nats of the searches' policies; below it, games hardly differ from one another


def _learner(net: Architecture, weights: Weights, config: Config) -> Learner:
    from kaimesh.algorithms.muzero.learning import learner  # which imports TensorFlow

    return learner(net, weights, config)


def _player(net: Architecture, weights: Weights, config: Config, monitor: Monitor) -> Player:
    from kaimesh.algorithms.muzero.acting import Player  # which imports numba

    return Player(net, weights, config, monitor)


ALGORITHM = Algorithm(
    config=Config,
    table=TableSpec(kind="replay", rows_per_item=1, prioritised=True),
    model=model,
    player=_player,
    learner=_learner,
    collector=Collector,
    model_format="muzero 1",
    state_format="muzero training state 1",
    remedies={
        "latent_size": "set latent_size",
        "channels": "set channels",
        "blocks": "set blocks",
        "support": "set scalar_support_size",
        "transformed": "set scalar_transform",
    },
    several_players=True,
    counts_learns=True,
)


class Agent(NativeAgent):
    """A model of the environment that is searched. `predict` explores, `exploit` does not; see `acting.Player`."""

    algorithm = ALGORITHM
    pad_batches = False
    sees_ends = True
    predict_rows_at_most = ROWS
    config: Config
    _said = False  # that there is little entropy
    _rounds: Rounds | None = None  # in one process

    def initial_state(self, count: int) -> dict[str, np.ndarray]:
        """The column MOVES int32 `[count]`, with temperature_by = "moves"; else {}."""
        return {MOVES: np.zeros(count, np.int32)} if self.config.temperature_by == "moves" else {}

    def warm_up(self, rows: int) -> float:
        """Compiles the search; returns the seconds that one of `rows` rows takes."""
        from kaimesh.algorithms.muzero.acting import Player  # which imports numba

        player = self._player
        assert isinstance(player, Player)
        player.warm_up()
        spaces = self._net.spaces
        columns = {"obs": np.zeros((rows, *spaces.obs_shape), spaces.obs_dtype)}
        seconds = []
        for count in (1, rows, rows):  # the first one traces TensorFlow's functions
            began = time.perf_counter()
            player.act({name: column[:count] for name, column in columns.items()}, np.random.default_rng(0))
            seconds.append(time.perf_counter() - began)
        return min(seconds[1:])  # the other processes of a mesh are starting, too

    def open_steps(self) -> int:
        """Steps that no sample has yet."""
        assert isinstance(self._collect, Collector)
        return self._collect.open_steps

    def sample_of(self, unrolls: Batch) -> Batch:
        """See NativeAgent. In one process, where the agent that learns is asked for samples, there are some once a
        round is complete."""
        rows = super().sample_of(unrolls)
        if self._learner is None:
            return rows
        self._rounds = self._rounds or Rounds(self.config)
        return self._rounds.gathered(rows)

    def learn(self, list_sample_data: Batch) -> dict[str, Any]:
        """One update from games, columns `[G, L, ...]` (`games.specs`); returns metrics, and POSITIONS.

        In one process: a round of updates, from these games and earlier ones.
        """
        if self._rounds is None:
            metrics = super().learn(list_sample_data)
            count = len(list_sample_data)
        else:
            metrics = self._rounds.learn(
                list_sample_data, lambda games: super(Agent, self).learn(Batch(games)), self._again
            )
            count = self.config.sync_learns * self.config.sync_batch
        self._look_at(metrics["root_entropy"])
        return {**metrics, POSITIONS: count * self.config.positions_per_game}

    def questions(self, samples: Batch) -> Batch:
        """See Reanalysing: the positions of games `[G, L, ...]`."""
        return Batch(reanalysis.questions(samples.columns))

    def reanalyse(self, list_obs_data: Batch) -> Batch:
        """See Reanalysing: columns `policy` and `root_value` of new searches."""
        from kaimesh.algorithms.muzero.acting import Player  # which imports numba

        self._refresh()
        assert isinstance(self._player, Player)
        return Batch(self._player.search_again(list_obs_data.columns))

    def copies(self, samples: Batch, answers: Batch, version: np.ndarray) -> Batch:
        """See Reanalysing: games with the policies and values of the new searches."""
        found = answers.columns
        return Batch(reanalysis.copies(self.config, samples.columns, found["policy"], found["root_value"], version))

    def _again(self, games: Mapping[str, np.ndarray]) -> Columns:
        """Fresh copies of games, by the weights of now, in one process."""
        samples = Batch(dict(games))
        asked = self.questions(samples)
        return self.copies(samples, self.reanalyse(asked), np.full(len(asked), self._learns)).columns

    def _look_at(self, entropy: float) -> None:
        """Says once when the searches of the stored games are sure of one move each."""
        if entropy >= LITTLE_ENTROPY or self._said or self.logger is None:
            return
        self._said = True
        self.logger.warning(
            "root_entropy = %.4f nats: the searches of the stored games are all but sure of one move each, so the "
            "games hardly differ and little new is learned. Raise noise_share, random_moves or simulations, or lower "
            "the learning rate.",
            entropy,
        )
