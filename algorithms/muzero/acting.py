"""How MuZero acts: a search from each observation, then a move by the visits of the root.

Shape legend: B rows; A actions; P players; V outputs for one number (see support).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kaimesh.algorithms.algorithm import Columns
from kaimesh.algorithms.muzero import mlp
from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.config import MOVES, ROWS, Config
from kaimesh.algorithms.muzero.mlp import NUMPY
from kaimesh.algorithms.muzero.residual_layers import latent_shape
from kaimesh.algorithms.muzero.search.draw import draw
from kaimesh.algorithms.muzero.search.figures import Found
from kaimesh.algorithms.muzero.search.mlp import Mlp, packed
from kaimesh.algorithms.muzero.search.noise import dirichlet, gumbel
from kaimesh.algorithms.muzero.search.rule import Rule
from kaimesh.algorithms.muzero.search.searching import Root, Search
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.contract.calls import progress
from kaimesh.contract.columns import ENDED, TO_PLAY
from kaimesh.contract.monitor import Monitor

if TYPE_CHECKING:
    from kaimesh.algorithms.muzero.compiled import Compiled


class Player:
    """Searches with one network, see kaimesh.algorithms.algorithm.Player. TensorFlow is imported for a residual one.

    monitor: counts `simulations`, and the time of `root`, the representation and prediction of what was observed, and
    of `search`.
    """

    def __init__(self, net: Architecture, weights: Weights, config: Config, monitor: Monitor) -> None:
        self._net, self._config, self._monitor, self._learns = net, config, monitor, 0
        self._root_phase, self._search_phase = monitor.phase("root"), monitor.phase("search")
        self._residual = net.torso.kind == "residual"
        self._compiled: Compiled | None = None
        self._searches: dict[int, Search] = {}  # by simulations; made when they are needed, as a learner needs none
        self.assign(weights, 0)

    def assign(self, weights: Weights, learns: int) -> None:
        """See kaimesh.algorithms.algorithm.Player."""
        self._weights, self._learns = weights, learns
        self._mlp: Mlp | None = None
        if self._compiled is not None:
            self._compiled.assign(weights)

    def warm_up(self) -> None:
        """Compiles the searches."""
        self._search(True).warm_up(None if self._residual else self._packed())

    def act(self, columns: Columns, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Columns `action` int32 `[B]`, `policy` float32 `[B, A]` and `root_value` float32 `[B, P]`, of the search.

        columns: `obs`; `legal_act`, TO_PLAY, ENDED and MOVES if there are such. rng: None: no noise, and the best move.
        """
        found, legal = self._searched(columns, rng, explores=rng is not None)
        moves = columns.get(MOVES)
        action = found.action
        if rng is not None:
            action = chosen(self._config, found, legal, self._learns, moves, rng)
        acts = {"action": action.astype(np.int32), "policy": found.policy, "root_value": found.value}
        return acts if moves is None else {**acts, MOVES: moves + 1}

    def search_again(self, columns: Columns) -> dict[str, np.ndarray]:
        """Columns `policy` and `root_value`, as of `act`, of a search without noise that is as long as those of moves
        that are learned from.
        """
        found, _ = self._searched(columns, None, explores=True)
        return {"policy": found.policy, "root_value": found.value}

    def _search(self, explores: bool) -> Search:
        net, config = self._net, self._config
        simulations = config.simulations if explores else config.exploit_simulations or config.simulations
        if simulations in self._searches:
            return self._searches[simulations]
        rule = Rule(
            simulations,
            kind=config.search,
            normalise=config.normalise,
            value_min=config.value_min,
            value_max=config.value_max,
            discount=config.gamma,
            considered=config.considered,
        )
        latent = latent_shape(net) if self._residual else (net.latent_size,)
        made = Search(rule, net.spaces.action_size, net.spaces.players, latent, ROWS, beat=progress)
        self._searches[simulations] = made
        return made

    def _convolutions(self) -> Compiled:
        if self._compiled is None:
            from kaimesh.algorithms.muzero.compiled import Compiled

            self._compiled = Compiled(self._net, self._weights)
        return self._compiled

    def _packed(self) -> Mlp:
        if self._mlp is None:
            net = self._net
            hidden = len(net.torso.hidden_sizes)
            self._mlp = packed(self._weights, hidden, net.spaces.players, net.support, net.transformed)
        return self._mlp

    def _searched(self, columns: Columns, rng: np.random.Generator | None, explores: bool) -> tuple[Found, np.ndarray]:
        """What the search found, and which actions are legal, bool `[B, A]`. rng: of the noise; None: there is none.

        explores: whether it has `simulations`, and not `exploit_simulations`.
        """
        net, config = self._net, self._config
        with self._root_phase:
            latent, logits, heads = self._root(columns["obs"])
        legal = columns.get("legal_act")
        legal = np.ones(logits.shape, bool) if legal is None else legal
        to_play = columns.get(TO_PLAY)
        to_play = np.zeros(len(logits), np.int8) if to_play is None else to_play
        of_gumbel = None
        if rng is not None and config.search == "gumbel":
            of_gumbel = gumbel(rng, (len(logits), net.spaces.action_size))
        elif rng is not None and config.noise_share:
            logits = dirichlet(rng, logits, legal, config.noise_alpha, config.noise_share)
        root = Root(latent, logits, net.numbers(heads), legal, to_play, columns.get(ENDED))
        search = self._search(explores)
        with self._search_phase:
            if self._residual:
                found = search.of_model(root, self._convolutions().step, of_gumbel)
            else:
                found = search.of_mlp(root, self._packed(), of_gumbel)
        self._monitor.count("simulations", int(found.visits.sum()))
        return found, legal

    def _root(self, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Latent states, logits `[B, A]` and values `[B, P V]` of observations `[B, ...]`."""
        if self._residual:
            return self._convolutions().root(obs)
        latent = mlp.represent(self._net, NUMPY, self._weights, obs)
        return (latent, *mlp.predict(self._net, NUMPY, self._weights, latent))


def temperature(config: Config, learns: int) -> float:
    """With temperature_by = "learns": halved from half of total_learner_steps on, and again from three quarters on."""
    if config.temperature_by != "learns" or not config.total_learner_steps:
        return config.temperature
    share = learns / config.total_learner_steps
    return config.temperature * (1 if share < 0.5 else 0.5 if share < 0.75 else 0.25)


def chosen(
    config: Config,
    found: Found,
    legal: np.ndarray,
    learns: int,
    moves: np.ndarray | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Moves int32 `[B]` that explore: drawn by `visits ^ (1 / temperature)`, some of them at random.

    Gumbel MuZero's are its own. legal: bool `[B, A]`. moves: int `[B]`, of the episode before this one, or None.
    """
    count, heat = len(legal), 0.0 if config.search == "gumbel" else temperature(config, learns)
    by_visits = np.full(count, heat > 0)
    if moves is not None and config.temperature_by == "moves":
        by_visits &= moves < config.temperature_moves
    exponent = 1 / heat if heat > 0 else 1.0
    uniform = rng.random((count, 3))
    action: np.ndarray = draw(
        found.action, found.visits, np.ascontiguousarray(legal), by_visits, exponent, config.random_moves, uniform
    )
    return action
