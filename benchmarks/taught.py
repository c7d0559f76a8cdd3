"""A small MuZero network of tic-tac-toe, taught by minimax in a minute: benchmarks need trees as training has them, and
those of random weights are three times as deep.

Shape legend: S positions; B rows; U units of a latent state and of every hidden layer; K unrolled steps.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

ACTIONS, PLAYERS, INPUTS, K = 9, 2, 20, 5
_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

Weights = dict[str, Any]
Position = tuple[int, ...]  # of each square: 0, or 1 + the player; the tenth number: who moves


class Game(NamedTuple):
    """Every position that can come up; the last one is where a game that is over stays.

    obs: float32 `[S, 20]`. after: int32 `[S, 9]`, the position behind each move. reward: float32 `[S, 9, 2]`. value:
    float32 `[S, 2]`, of minimax. policy: float32 `[S, 9]`, uniform over the best moves; zeros where the game is over.
    mover: int32 `[S]`. legal: bool `[S, 9]`.
    """

    obs: np.ndarray
    after: np.ndarray
    reward: np.ndarray
    value: np.ndarray
    policy: np.ndarray
    mover: np.ndarray
    legal: np.ndarray


@cache
def _value(position: Position) -> int:
    """Of the one who moves, with the best play of both."""
    if _won(position):
        return -1
    return max((-_value(_moved(position, move)) for move in range(9) if not position[move]), default=0)


def _won(position: Position) -> bool:
    """By the one who has just moved."""
    return any(all(position[i] == 2 - position[9] for i in line) for line in _LINES)


def _moved(position: Position, move: int) -> Position:
    found = list(position)
    found[move], found[9] = 1 + position[9], 1 - position[9]
    return tuple(found)


def game() -> Game:
    """The rules and minimax as tables."""
    front: list[Position] = [(0,) * 10]
    number: dict[Position, int] = {}
    while front:
        position = front.pop()
        if position not in number and not _won(position) and 0 in position[:9]:
            number[position] = len(number)
            front += [_moved(position, move) for move in range(9) if not position[move]]
    size = len(number) + 1
    found = Game(
        obs=np.zeros((size, INPUTS), np.float32),
        after=np.full((size, 9), size - 1, np.int32),
        reward=np.zeros((size, 9, 2), np.float32),
        value=np.zeros((size, 2), np.float32),
        policy=np.zeros((size, 9), np.float32),
        mover=np.zeros(size, np.int32),
        legal=np.zeros((size, 9), bool),
    )
    for position, s in number.items():
        mover, worth = position[9], _value(position)
        cells = np.array(position[:9])
        found.obs[s] = np.concatenate([cells == 1, cells == 2, np.arange(2) == mover])
        found.mover[s], found.value[s, mover], found.value[s, 1 - mover] = mover, worth, -worth
        for move in np.flatnonzero(cells == 0):
            behind = _moved(position, int(move))
            found.after[s, move] = number.get(behind, size - 1)
            found.legal[s, move] = True
            if _won(behind):
                found.reward[s, move, mover], found.reward[s, move, 1 - mover] = 1, -1
            found.policy[s, move] = -_value(behind) == worth
    found.policy[:-1] /= found.policy[:-1].sum(1, keepdims=True)
    return found


def dense(m: Any, weights: Weights, part: str, x: Any, added: Any = 0) -> Any:
    """The one hidden layer of `part` and its outputs. m: numpy or jax.numpy."""
    hidden = m.maximum(x @ weights[f"{part}/0/w"] + weights[f"{part}/0/b"] + added, 0)
    return hidden @ weights[f"{part}/out/w"] + weights[f"{part}/out/b"]


def scaled(m: Any, x: Any) -> Any:
    """Each row `[B, U]` from 0 to 1."""
    least = m.min(x, 1, keepdims=True)
    return (x - least) / (m.max(x, 1, keepdims=True) - least + 1e-5)


def step(m: Any, weights: Weights, latent: Any, action: Any) -> tuple[Any, Any, Any]:
    """The next latent states `[B, U]`, rewards `[B, 2]`, logits of who moves next `[B, 2]`."""
    out = dense(m, weights, "dynamics", latent, weights["dynamics/action"][action])
    return scaled(m, out[:, :-4]), out[:, -4:-2], out[:, -2:]


def taught(units: int, learns: int, rules: Game) -> Weights:
    """The weights after so many learns of 256 positions, K steps each, float32 and by the names of MuZero's model."""
    rng = np.random.default_rng(0)
    weights: Weights = {"dynamics/action": rng.normal(size=(ACTIONS, units)) * 0.3}
    ends = {"representation": (INPUTS, units), "dynamics": (units, units + 4), "prediction": (units, ACTIONS + 2)}
    for part, (inputs, outputs) in ends.items():
        for layer, shape in (("0", (inputs, units)), ("out", (units, outputs))):
            weights[f"{part}/{layer}/w"] = rng.normal(size=shape) * (2 / shape[0]) ** 0.5
            weights[f"{part}/{layer}/b"] = np.zeros(shape[1])
    weights = {name: jnp.asarray(value, jnp.float32) for name, value in weights.items()}
    moments = [{name: jnp.zeros_like(value) for name, value in weights.items()} for _ in range(2)]
    tables = Game(*map(jnp.asarray, rules))
    (weights, *_), _ = _learns(tables, learns)((weights, *moments), jax.random.split(jax.random.PRNGKey(0), learns))
    found = {name: np.array(value) for name, value in weights.items()}
    for part, first in (("dynamics", units), ("prediction", ACTIONS)):
        for kind in ("w", "b"):  # what one player wins the other loses, exactly: mctx knows no other games
            one, other = found[f"{part}/out/{kind}"][..., first], found[f"{part}/out/{kind}"][..., first + 1]
            one[...] = (one - other) / 2
            other[...] = -one
    return found


def _learns(tables: Game, learns: int) -> Any:
    """Adam, compiled for all learns at once."""

    def learn(carry: Any, keyed: Any) -> tuple[Any, Any]:
        (weights, mean, square), (number, key) = carry, keyed
        rate = 2e-3 * (1 - 0.95 * number / learns)
        slope = jax.grad(partial(_loss, tables))(weights, key)
        mean = jax.tree_util.tree_map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
        square = jax.tree_util.tree_map(lambda s, g: 0.99 * s + 0.01 * g * g, square, slope)
        weights = jax.tree_util.tree_map(lambda w, m, s: w - rate * m / (jnp.sqrt(s) + 1e-6), weights, mean, square)
        return (weights, mean, square), None

    return jax.jit(lambda carry, keys: jax.lax.scan(learn, carry, (jnp.arange(learns), keys)))


def _loss(tables: Game, weights: Weights, key: Any) -> Any:
    """Of random legal moves from random positions."""
    keys = jax.random.split(key, K + 1)
    s = jax.random.randint(keys[K], (256,), 0, len(tables.obs) - 1)
    latent = scaled(jnp, dense(jnp, weights, "representation", tables.obs[s]))
    loss = 0.0
    for k in range(K + 1):
        heads = dense(jnp, weights, "prediction", latent)
        loss -= jnp.mean(jnp.sum(tables.policy[s] * jax.nn.log_softmax(heads[:, :ACTIONS]), 1))
        loss += jnp.mean((heads[:, ACTIONS:] - tables.value[s]) ** 2)
        if k == K:
            break
        action = jax.random.categorical(keys[k], jnp.where(tables.legal[s], 0.0, -1e9))
        latent, reward, mover = step(jnp, weights, latent, action)
        loss += jnp.mean((reward - tables.reward[s, action]) ** 2)
        s = tables.after[s, action]
        loss -= jnp.mean(jax.nn.log_softmax(mover)[jnp.arange(256), tables.mover[s]])
    return loss
