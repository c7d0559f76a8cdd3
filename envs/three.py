"""Three players choose in turn, see all choices, and after each of them all three get something.

The game is a tree: MOVES moves, of the players TURNS (nobody's turn follows from another's), each a choice of two. What
the players get by a choice depends on all choices so far and is read from a table that is the same in every game,
`rewards`, drawn uniformly from -1..1. There is no zero sum and no fixed enemy, so a search that takes what is good for
one for bad for the others plays badly here.

**Its equilibrium is known**: `equilibrium` solves it from the end (subgame-perfect; at every node the better choice is
better by MARGIN at least, so it is the only one). `best_response_gap` says how far any policy is from an equilibrium:
what each player could win by playing better, while the others keep their policy; it is 0 for all in an equilibrium.

Nodes are numbered as in a heap: the root is 0, the choices at node n lead to 2 n + 1 and 2 n + 2. Shape legend: D =
2^MOVES - 1 nodes at which somebody chooses; P = 3 players; A = 2 choices; N slots.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from kaimesh.envs import interface
from kaimesh.envs.players import REWARDS, TO_PLAY

PLAYERS, CHOICES = 3, 2
TURNS = (0, 1, 2, 2, 0, 1)
MOVES = len(TURNS)
NODES = CHOICES**MOVES - 1  # D
WIDTH = MOVES * CHOICES + PLAYERS  # numbers in an observation
MARGIN = 0.1
_SEED = 99  # of the table: the first with that margin


def depth_of(node: int) -> int:
    """How many choices were made before it."""
    return (node + 1).bit_length() - 1


@cache
def rewards() -> np.ndarray:
    """What each player gets by each choice at each node, float64 `[D, A, P]`."""
    return np.random.default_rng(_SEED).uniform(-1, 1, (NODES, CHOICES, PLAYERS)).round(2)


def equilibrium() -> tuple[np.ndarray, np.ndarray]:
    """The choice at each node, int64 `[D]`, and what each player gets from there on, float64 `[D, P]`."""
    choices, values = np.zeros(NODES, np.int64), np.zeros((2 * NODES + 1, PLAYERS))
    for node in reversed(range(NODES)):
        worth = rewards()[node] + values[2 * node + 1 : 2 * node + 3]  # [A, P]
        choices[node] = worth[:, TURNS[depth_of(node)]].argmax()
        values[node] = worth[choices[node]]
    return choices, values[:NODES]


def best_response_gap(policy: np.ndarray) -> np.ndarray:
    """What each player could win by a better policy of its own while the others keep theirs, float64 `[P]`, 0 or more.

    policy: of all players, probabilities `[D, A]`, at each node those of the player whose turn it is. The largest of
    the three is how far it is from a Nash equilibrium (NashConv is their sum; Lanctot et al. 2017, arXiv 1711.00832).
    """
    played, best = np.zeros((2 * NODES + 1, PLAYERS)), np.zeros((2 * NODES + 1, PLAYERS))
    for node in reversed(range(NODES)):
        children = slice(2 * node + 1, 2 * node + 3)
        now, better = rewards()[node] + played[children], rewards()[node] + best[children]  # [A, P]
        played[node], best[node] = policy[node] @ now, policy[node] @ better
        mover = TURNS[depth_of(node)]
        best[node, mover] = better[:, mover].max()
    gap: np.ndarray = best[0] - played[0]
    return gap


def observations(nodes: np.ndarray) -> np.ndarray:
    """What is seen at `nodes` int `[N]`, or after the last choice: float32 `[N, WIDTH]`, with a 1 for each choice that
    was made, `[MOVES, A]`, and for the player whose turn it is, `[P]`. At the end it is nobody's.
    """
    seen = np.zeros((len(nodes), WIDTH), np.float32)
    for i, node in enumerate(np.asarray(nodes).tolist()):
        depth = depth_of(node)
        if depth < MOVES:
            seen[i, MOVES * CHOICES + TURNS[depth]] = 1
        while node:
            depth -= 1
            seen[i, depth * CHOICES + (node - 1) % 2] = 1
            node = (node - 1) // 2
    return seen


class Three(VectorEnv):
    """`num_envs` games. Observations are those of `observations`; what the players get is in infos (envs/players)."""

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium's own form
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        interface.PLAYERS: PLAYERS,
    }

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int = 0, render_mode: str | None = None) -> None:
        self.num_envs, self.render_mode = num_envs, render_mode
        self._limit = max_episode_steps or MOVES
        self.single_observation_space = Box(0.0, 1.0, (WIDTH,), np.float32)
        self.single_action_space = Discrete(CHOICES)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seen = observations(np.arange(2 * NODES + 1))
        self._turns = np.array([TURNS[min(depth_of(node), MOVES - 1)] for node in range(2 * NODES + 1)], np.int8)
        self._nodes = np.zeros(num_envs, np.int64)  # [N]
        self._steps = np.zeros(num_envs, np.int64)  # [N]
        self._over = np.zeros(num_envs, bool)  # [N]: the next step is a reset

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """All games at the root. Nothing in them is drawn."""
        super().reset(seed=seed, options=options)
        self._nodes[:] = self._steps[:] = 0
        self._over = np.zeros(self.num_envs, bool)
        return self._seen[self._nodes], {TO_PLAY: self._turns[self._nodes]}

    def step(self, actions: np.ndarray) -> interface.Stepped:
        """A choice in each game; where it was over, it begins again, with rewards 0."""
        playing, actions = ~self._over, np.asarray(actions)
        chosen = np.where(playing, self._nodes, 0)
        got = np.where(playing[:, None], rewards()[chosen, actions], 0).astype(np.float32)  # [N, P]
        own = got[np.arange(self.num_envs), self._turns[chosen]]
        self._nodes = np.where(playing, 2 * chosen + 1 + actions, 0)
        self._steps = np.where(playing, self._steps + 1, 0)
        terminated = self._nodes >= NODES
        truncated = playing & ~terminated & (self._steps >= self._limit)
        self._over = terminated | truncated
        return (
            self._seen[self._nodes],
            own,
            terminated,
            truncated,
            {TO_PLAY: self._turns[self._nodes], REWARDS: got},
        )
