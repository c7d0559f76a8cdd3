"""What MuZero's predictions are trained towards, from stored games: pure functions, in NumPy.

A stored game has `length` positions i = 0, 1, ...: what was seen, the search's policy and value, the action, and the
reward of that action for every player. Its arrays are longer; what lies beyond is never read. If it has `terminated`,
the state behind its last position is absorbing: value and reward are 0 for ever, and any action leads there again. If
not (its episode was truncated, or goes on in the next window), nothing is known of that state but the reward that led
there.

Shape legend: G games; L positions of the longest one; B positions that are drawn; K steps of the model from each; P
players; A actions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Returns(NamedTuple):
    """`reward + discount * value` of the position `bootstrap` is a value's target.

    reward: float32 `[G, L, P]`. discount: float32 `[G, L]`, 0 where the game ends before. bootstrap: int64 `[G, L]`.
    """

    reward: np.ndarray
    discount: np.ndarray
    bootstrap: np.ndarray

    def values(self, value: np.ndarray) -> np.ndarray:
        """The targets float32 `[G, L, P]`, by the values `[G, L, P]` of all positions."""
        later = np.take_along_axis(value, self.bootstrap[:, :, None], 1)
        found: np.ndarray = self.reward + self.discount[:, :, None] * later
        return found


def n_step(reward: np.ndarray, length: np.ndarray, terminated: np.ndarray, gamma: float, n: int) -> Returns:
    """`z_i = sum_{j < n} gamma^j r_{i+1+j} + gamma^n v_{i+n}` of every player (arXiv:1911.08265, section 3).

    Fewer rewards where the game ends before: then without a value if it terminated, else with that of its last
    position, which then is its own target. n: 0: all rewards to the end (Monte Carlo).
    reward: float32 `[G, L, P]`; entry i is of the action at i. length: int `[G]`. terminated: bool `[G]`.
    """
    count = reward.shape[1]
    n = min(n, count) or count
    position = np.arange(count)  # [L]
    # Steps until the game is over, or until its last position is reached, from which the search's value goes on.
    left = np.maximum((length - ~terminated)[:, None] - position, 0)  # [G, L]
    steps = np.minimum(n, left)
    total = _sums(np.where((left > 0)[:, :, None], reward, 0), gamma, steps)
    ends = terminated[:, None] & (steps == left) & (position + steps == length[:, None])
    discount = np.where(ends, 0, np.power(gamma, steps)).astype(np.float32)
    return Returns(total, discount, np.minimum(position + steps, count - 1))


def _sums(reward: np.ndarray, gamma: float, steps: np.ndarray) -> np.ndarray:
    """`sum_{j < steps} gamma^j reward_{i+j}` at each i, float32 `[G, L, P]`: of all, less what is behind."""
    games, count, players = reward.shape
    rest = np.zeros((games, count + 1, players))  # float64, for it is a small difference of large sums
    for i in reversed(range(count)):
        rest[:, i] = reward[:, i] + gamma * rest[:, i + 1]
    behind = np.take_along_axis(rest, (np.arange(count) + steps)[:, :, None], 1)
    found: np.ndarray = (rest[:, :-1] - np.power(gamma, steps)[:, :, None] * behind).astype(np.float32)
    return found


class Targets(NamedTuple):
    """Of K steps of the model from drawn positions. Entry k of `[B, K + 1]` is after k steps, of `[B, K]` after k + 1.

    action: int32 `[B, K]`, of each step. policy: float32 `[B, K + 1, A]`. value: float32 `[B, K + 1, P]`. reward:
    float32 `[B, K, P]`, of the step's action. mover: int32 `[B, K]`, who plays after the step.
    policy_mask, value_mask `[B, K + 1]`, reward_mask, mover_mask `[B, K]`: bool, whether that is known.
    position: int64 `[B, K + 1]`, of these in the game, at most L - 1.
    """

    action: np.ndarray
    policy: np.ndarray
    value: np.ndarray
    reward: np.ndarray
    mover: np.ndarray
    policy_mask: np.ndarray
    value_mask: np.ndarray
    reward_mask: np.ndarray
    mover_mask: np.ndarray
    position: np.ndarray


class Games(NamedTuple):
    """Stored games, each array `[G, L, ...]`; see the module. to_play: None with one player."""

    action: np.ndarray
    policy: np.ndarray
    reward: np.ndarray
    to_play: np.ndarray | None
    length: np.ndarray
    terminated: np.ndarray


def targets(
    games: Games, value: np.ndarray, game: np.ndarray, start: np.ndarray, steps: int, rng: np.random.Generator
) -> Targets:
    """The targets of K = `steps` steps from the positions `start` int `[B]` of the games `game` int `[B]`.

    value: of every position, float32 `[G, L, P]`. rng: draws the actions behind the end.
    """
    actual = start[:, None] + np.arange(steps + 1)  # [B, K + 1]
    position = np.minimum(actual, games.action.shape[1] - 1)
    before = position[:, :-1]  # of the action that each step takes
    length, ended = games.length[game, None], games.terminated[game, None]
    known = actual < length  # [B, K + 1]
    taken = known[:, :-1]
    rows = game[:, None]
    actions = games.policy.shape[2]
    random = rng.integers(0, actions, taken.shape, np.int32)
    mover = np.zeros_like(random) if games.to_play is None else games.to_play[rows, position[:, 1:]].astype(np.int32)
    return Targets(
        action=np.where(taken, games.action[rows, before], random).astype(np.int32),
        policy=np.where(known[:, :, None], games.policy[rows, position], np.float32(1 / actions)),
        value=np.where(known[:, :, None], value[rows, position], np.float32(0)),
        reward=np.where(taken[:, :, None], games.reward[rows, before], np.float32(0)),
        mover=np.where(known[:, 1:], mover, 0).astype(np.int32),
        policy_mask=known,
        value_mask=known | ended,
        reward_mask=taken | ended,
        mover_mask=known[:, 1:] & (games.to_play is not None),
        position=position,
    )


def drawn(draws: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`count` positions, all alike likely, of games that have `draws` int `[G]` >= 1 of them: (game, position).

    The positions are as far from one another as they can be, so few are drawn twice (systematic sampling). Both int64
    `[count]`.
    """
    ends = np.cumsum(draws)
    total = int(ends[-1])
    place = np.floor((np.arange(count) + rng.random()) * (total / count)).astype(np.int64) % total
    place = (place + rng.integers(total)) % total
    game = np.searchsorted(ends, place, side="right")
    return game, place - (ends - draws)[game]
