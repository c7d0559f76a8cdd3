"""What a network sees of the Realm: features of one observation, and of what the hero did before.

Everything is made from the environment's observation "bytes", that is from what the contest shows, and from the slot's own past.
Shape legend: N slots; F features.

| features | number | from |
|---|---|---|
| state | 6 | place x and z, flash ready, steps until it is, buff left, time left |
| objects | 17 x 6 | end, buff, 15 points: there, cosine and sine of the direction, two classes of distance, way |
| target | 16 | one-hot: the treasure with the shortest way, or the end (0) when none is left |
| to the target | 4 | cosine, sine, way, and how much shorter the last step made it |
| place | 2 x 32 + 256 | one-hot of column and row in 32 stripes each, and of the tile in 16 x 16: what a map is learned by |
| rays | 16 | free way in 16 directions, at most 12 cells |
| ground | 49 | 7 x 7 cells around the hero: passable |
| visits | 25 | 5 x 5 cells around the hero: 0.2 per visit |
| last step | 9 | one-hot of its direction, and whether it was a bump |
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from algorithms.features.realm_rewards import reward_of
from kaimesh.agent import Spaces

# The layout of the observation "bytes" (envs/realm/views.py): 108 float32, then 51 x 51 cells of bits.
VIEW, RADIUS = 51, 25
STATE, OBJECT, OBJECTS = 6, 6, 17
VECTOR = STATE + OBJECT * OBJECTS
OBSERVATION = 4 * VECTOR + VIEW * VIEW
PASSABLE, MEMORY_SHIFT, FULL_MEMORY = 1, 3, 5

END, BUFF, FIRST_POINT = 0, 1, 2  # objects; object 1 + k is point k
TARGETS, STRIPES, TILES, RAYS, RAY_CELLS, GROUND, VISITS = 16, 32, 16, 16, 12, 3, 2
PLACES = 2 * STRIPES + TILES * TILES
LAST = 9
FEATURES = VECTOR + TARGETS + 4 + PLACES + RAYS + (2 * GROUND + 1) ** 2 + (2 * VISITS + 1) ** 2 + LAST
CELL = 500.0
BUMP = 500.0  # units: who walked less far bumped into a wall


class RealmFeatures:
    """Features and shaped rewards of `count` slots in a world of `size` x `size` cells."""

    def __init__(self, count: int, spaces: Spaces, size: int) -> None:
        if (tuple(spaces.obs_shape), spaces.obs_dtype) != ((OBSERVATION,), "|u1"):
            raise ValueError(
                f"features = 'realm' reads the observation 'bytes' of the realm ({OBSERVATION} x uint8), not {spaces.obs_dtype} "
                f'{list(spaces.obs_shape)}. Set env_conf = {{observation = "bytes"}}, or [ppo] features = "none".'
            )
        self.spaces = spaces._replace(obs_shape=(FEATURES,), obs_dtype="<f4")
        self._size = size
        self._vector = np.zeros((count, VECTOR), np.float32)  # of the last observation
        self._target = np.zeros(count, np.int64)
        self._over = np.ones(count, bool)

    def reset(self, observations: np.ndarray) -> np.ndarray:
        """Features float32 `[N, F]` of first observations uint8 `[N, 3033]`."""
        self._over[:] = True
        count = len(observations)
        nothing = np.zeros(count, np.float32)
        return self.step(observations, np.zeros(count, np.int32), nothing, np.zeros(count, bool), np.zeros(count, bool))[0]

    def step(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 `[N, F]` and shaped rewards float32 `[N]`."""
        count = len(observations)
        out = np.zeros((count, FEATURES), np.float32)
        shaped = np.zeros(count, np.float32)
        vector = np.ascontiguousarray(observations[:, : 4 * VECTOR]).view(np.float32)
        cells = observations[:, 4 * VECTOR :].reshape(count, VIEW, VIEW)
        actions = np.asarray(actions, np.int32)
        _step(
            vector, cells, actions, terminated, truncated, self._vector, self._target, self._over, self._size, out, shaped
        )
        self._over = np.logical_or(terminated, truncated)
        return out, shaped


@njit(cache=True)
def nearest_target(vector: np.ndarray) -> int:
    """The object to go for: the treasure with the shortest way, or the end when none is there."""
    best, shortest = END, 2.0
    for k in range(FIRST_POINT, OBJECTS):
        start = STATE + OBJECT * k
        if vector[start] > 0 and vector[start + 5] < shortest:
            best, shortest = k, vector[start + 5]
    return best


@njit(cache=True)
def _way(vector: np.ndarray, k: int) -> float:
    """The way to object k / (2 * size)."""
    way: float = vector[STATE + OBJECT * k + 5]
    return way


@njit(cache=True)
def _step(
    vectors: np.ndarray,
    cells: np.ndarray,
    actions: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    before: np.ndarray,
    targets: np.ndarray,
    over: np.ndarray,
    size: int,
    out: np.ndarray,
    rewards: np.ndarray,
) -> None:
    for i in range(vectors.shape[0]):
        vector, closer, moved = vectors[i], 0.0, 2 * BUMP
        if not over[i]:
            target = targets[i]
            there = vector[STATE + OBJECT * target] > 0
            closer = 2 * size * (_way(before[i], target) - (_way(vector, target) if there else 0.0))
            moved = math.hypot(vector[0] - before[i, 0], vector[1] - before[i, 1]) * size * CELL
            visits = int(cells[i, RADIUS, RADIUS] >> MEMORY_SHIFT)
            left = 0
            found = 0
            for k in range(FIRST_POINT, OBJECTS):
                left += vector[STATE + OBJECT * k] > 0
                found += before[i, STATE + OBJECT * k] > 0 and not vector[STATE + OBJECT * k] > 0
            flashed = actions[i] >= 8 and before[i, 2] > 0
            rewards[i] = reward_of(
                found, terminated[i], truncated[i], left, vector[5], closer, visits, moved <= BUMP and not flashed, flashed
            )
        targets[i] = nearest_target(vector)
        before[i] = vector
        _describe(vector, cells[i], targets[i], closer, moved <= BUMP, actions[i] % 8, not over[i], size, out[i])


@njit(cache=True)
def _describe(
    vector: np.ndarray,
    cells: np.ndarray,
    target: int,
    closer: float,
    bump: bool,
    direction: int,
    moved: bool,
    size: int,
    out: np.ndarray,
) -> None:
    out[:VECTOR] = vector
    at = VECTOR
    out[at + (target if target == END else target - 1)] = 1.0  # object 1 + k is point k
    at += TARGETS
    start = STATE + OBJECT * target
    out[at], out[at + 1], out[at + 2] = vector[start + 1], vector[start + 2], vector[start + 5]
    out[at + 3] = max(-1.0, min(1.0, closer / 4))
    at += 4
    out[at + min(int(vector[0] * STRIPES), STRIPES - 1)] = 1.0
    out[at + STRIPES + min(int(vector[1] * STRIPES), STRIPES - 1)] = 1.0
    column, row = min(int(vector[0] * TILES), TILES - 1), min(int(vector[1] * TILES), TILES - 1)
    out[at + 2 * STRIPES + row * TILES + column] = 1.0
    at += PLACES
    _rays(vector, cells, size, out[at : at + RAYS])
    at += RAYS
    for row in range(RADIUS - GROUND, RADIUS + GROUND + 1):
        for column in range(RADIUS - GROUND, RADIUS + GROUND + 1):
            out[at] = cells[row, column] & PASSABLE
            at += 1
    for row in range(RADIUS - VISITS, RADIUS + VISITS + 1):
        for column in range(RADIUS - VISITS, RADIUS + VISITS + 1):
            out[at] = (cells[row, column] >> MEMORY_SHIFT) / FULL_MEMORY
            at += 1
    if moved:
        out[at + direction] = 1.0
        out[at + 8] = bump


@njit(cache=True)
def _rays(vector: np.ndarray, cells: np.ndarray, size: int, out: np.ndarray) -> None:
    """Free ways / 12 cells from the hero's exact place, East first, counter-clockwise."""
    x, z = vector[0] * size, vector[1] * size  # cells
    left, low = math.floor(x) - RADIUS, math.floor(z) - RADIUS
    for ray in range(RAYS):
        cos, sin = math.cos(2 * math.pi * ray / RAYS), math.sin(2 * math.pi * ray / RAYS)
        free = 0
        while free < 2 * RAY_CELLS:
            far = 0.5 * (free + 1)
            if not cells[math.floor(z + sin * far) - low, math.floor(x + cos * far) - left] & PASSABLE:
                break
            free += 1
        out[ray] = free / (2 * RAY_CELLS)
