"""What a network sees of the Realm: features of one observation, and of what the hero did before.

Everything is made from the environment's observation "bytes", that is from what the contest shows, and from the slot's
own past.
Shape legend: N slots; F features; V numbers of the observation's vector.

| features | number | from |
|---|---|---|
| state | 6 | place x and z, flash ready, steps until it is, buff left, time left |
| objects | 17 x 6 | end, buff, 15 points: there, cosine and sine of the direction, two classes of distance, way |
| target | 16 | one-hot: the treasure with the shortest way, or the end (0) when none is left |
| to the target | 4 | its cosine, sine and way; the cells, / 4, by which the last step shortened the way to its target |
| place | 2 x 32 + 256 | one-hot of column and row in 32 stripes each, and of the tile in 16 x 16: so a map is learned |
| rays | 16 | free way in 16 directions, East first, counter-clockwise, / 12 cells, at most 1 |
| ground | 49 | 7 x 7 cells around the hero: passable |
| visits | 25 | 5 x 5 cells around the hero: 0.2 per visit |
| last step | 9 | one-hot of its direction, and the bumps in a row until now / 5, at most 1; all 0 after a reset |
"""

from __future__ import annotations

import math
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numba import njit

from kaimesh.contract.spaces import Spaces
from kaimesh.envs.realm.map import PRESETS
from kaimesh.envs.realm.rewards import Events, no_events, write_rewards

# The layout of the observation "bytes" (envs/realm/views.py): 108 float32, then 51 x 51 cells of bits.
VIEW, RADIUS = 51, 25
STATE, OBJECT, OBJECTS = 6, 6, 17
VECTOR = STATE + OBJECT * OBJECTS
OBSERVATION = 4 * VECTOR + VIEW * VIEW
READY = 2  # in the vector: the flash is ready
THERE, COSINE, SINE, WAY = 0, 1, 2, 5  # of an object
PASSABLE, MEMORY_SHIFT, FULL_MEMORY = 1, 3, 5

END, BUFF, FIRST_POINT = 0, 1, 2  # objects; object 1 + k is point k
DIRECTIONS = 8  # an action is direction + 8 * flash
CELL = 500.0  # units
BUMP = 500.0 + 0.01  # units: a walk of no more was stopped by a wall; 0.01 is the error of places in float32
MOST_BUMPS = 5  # bumps in a row are counted up to here

TARGETS, STRIPES, TILES, RAYS, RAY_CELLS, GROUND, VISITS = 16, 32, 16, 16, 12, 3, 2
PLACES = 2 * STRIPES + TILES * TILES
_widths = (VECTOR, TARGETS, 4, PLACES, RAYS, (2 * GROUND + 1) ** 2, (2 * VISITS + 1) ** 2, DIRECTIONS + 1)
AT_TARGET, AT_WAY, AT_PLACE, AT_RAYS, AT_GROUND, AT_VISITS, AT_LAST, FEATURES = accumulate(_widths)

_angles = 2 * math.pi * np.arange(RAYS) / RAYS
COS, SIN = np.cos(_angles).round(15), np.sin(_angles).round(15)  # [16]; exactly 0 along the axes


class Past(NamedTuple):
    """What is remembered of each of N slots.

    vector: float32 `[N, V]`, of the last observation. target: int64 `[N]`, the object that the hero went for.
    over: bool `[N]`, whether the episode has ended, so that the next step is a reset. bumps: int64 `[N]`, how many
    times in a row the hero ran into a wall.
    """

    vector: np.ndarray
    target: np.ndarray
    over: np.ndarray
    bumps: np.ndarray


class RealmFeatures:
    """Features and shaped rewards (envs/realm/rewards) of `count` slots in a world of `size` x `size` cells.

    Raises ValueError: `spaces` are not those of the observation "bytes".
    """

    def __init__(self, count: int, spaces: Spaces, size: int) -> None:
        if (tuple(spaces.obs_shape), spaces.obs_dtype) != ((OBSERVATION,), "|u1"):
            raise ValueError(
                f"features = 'realm' are made from the realm's observation 'bytes' ({OBSERVATION} x uint8), not from "
                f"{spaces.obs_dtype} {list(spaces.obs_shape)}; a network would see nonsense. Set env_conf = "
                '{observation = "bytes"}, or the algorithm\'s features to "none".'
            )
        self.spaces = spaces._replace(obs_shape=(FEATURES,), obs_dtype="<f4", parts=())
        self._size = size
        whole = np.zeros((2, count), np.int64)
        self._past = Past(np.zeros((count, VECTOR), np.float32), whole[0], np.ones(count, bool), whole[1])
        self._events = no_events(count)

    def reset(self, observations: np.ndarray) -> np.ndarray:
        """Features float32 `[N, F]` of first observations uint8 `[N, 3033]`.

        Raises ValueError: the world has another size.
        """
        self._check_size(observations)
        self._past.over[:] = True
        nothing = np.zeros(len(observations), bool)
        return self.step(observations, np.zeros(len(observations), np.int32), nothing, nothing, nothing)[0]

    def step(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 `[N, F]` and shaped rewards float32 `[N]`; these are made from the observations, not from
        `rewards`.
        """
        del rewards
        actions = np.asarray(actions, np.int32)
        observations = np.ascontiguousarray(observations)
        vectors = _vectors(observations)
        _notice(vectors, observations, actions, terminated, truncated, self._size, self._past, self._events)
        out = self._seen(vectors, observations, actions)
        shaped = np.empty(len(observations), np.float32)
        write_rewards(
            self._events, shaped
        )  # called from here: compiled into _notice, edits of its file would go unnoticed
        return out, shaped

    def _seen(self, vectors: np.ndarray, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        out = np.zeros((len(observations), FEATURES), np.float32)
        _describe(vectors, observations, actions, self._size, self._past, self._events, out)
        return out

    def _check_size(self, observations: np.ndarray) -> None:
        """Raises ValueError: a hero's start is not the middle of a cell, so the world has another size than `size`."""
        cells = _vectors(observations)[:, :2] * self._size  # [N, 2]
        if np.abs(cells % 1.0 - 0.5).max() > 1e-3:
            raise ValueError(
                f"the features are for a world of {self._size} x {self._size} cells, and this is another: the hero "
                f"starts at {cells[0]}, which is no middle of a cell there; ways and places would mean something else. "
                "Set the "
                'algorithm\'s features to "realm" for 128 cells or "realm-mini" for 32; for a map of another size, to '
                '"none".'
            )


class RealmMaps(RealmFeatures):
    """The same rewards; the network sees the observation itself: its vector, and the maps as an image of 6 planes."""

    def __init__(self, count: int, spaces: Spaces, size: int) -> None:
        super().__init__(count, spaces, size)
        self.spaces = spaces

    def _seen(self, vectors: np.ndarray, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        del vectors, actions
        return observations


FEATURES_BY_NAME = {
    **{name: partial(RealmFeatures, size=size) for name, size in PRESETS.items()},
    **{f"{name}-maps": partial(RealmMaps, size=size) for name, size in PRESETS.items()},
}


def _vectors(observations: np.ndarray) -> np.ndarray:
    vectors: np.ndarray = np.ascontiguousarray(observations[:, : 4 * VECTOR]).view(np.float32)
    return vectors


@njit(cache=True)
def nearest_target(vector: np.ndarray) -> int:
    """The object to go for: the treasure with the shortest way, or the end when none is there."""
    best, shortest = END, 2.0
    for k in range(FIRST_POINT, OBJECTS):
        start = STATE + OBJECT * k
        if vector[start + THERE] > 0 and vector[start + WAY] < shortest:
            best, shortest = k, vector[start + WAY]
    return best


@njit(cache=True)
def _way(vector: np.ndarray, k: int, size: int) -> float:
    """The way to object k in cells; 0 if it is not there."""
    start = STATE + OBJECT * k
    way: float = 2.0 * size * vector[start + WAY] if vector[start + THERE] > 0 else 0.0
    return way


@njit(cache=True)
def _notice(
    vectors: np.ndarray,
    observations: np.ndarray,
    actions: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    size: int,
    past: Past,
    events: Events,
) -> None:
    """Compares these observations with the ones before: writes what happened to `events`, and keeps these in `past`."""
    middle = 4 * VECTOR + RADIUS * VIEW + RADIUS
    for i in range(vectors.shape[0]):
        vector, before = vectors[i], past.vector[i]
        events.first[i] = past.over[i]
        events.found[i] = events.left[i] = 0
        for start in range(STATE + OBJECT * FIRST_POINT + THERE, VECTOR, OBJECT):
            events.found[i] += before[start] > 0 and not vector[start] > 0
            events.left[i] += vector[start] > 0
        events.closer[i] = _way(before, past.target[i], size) - _way(vector, past.target[i], size)
        events.visits[i] = observations[i, middle] >> MEMORY_SHIFT
        moved = math.hypot(vector[0] - before[0], vector[1] - before[1]) * size * CELL
        events.flashed[i] = actions[i] >= DIRECTIONS and before[READY] > 0
        bumped = moved <= BUMP and not events.flashed[i] and not past.over[i]
        past.bumps[i] = min(past.bumps[i] + 1, MOST_BUMPS) if bumped else 0
        events.bumps[i] = past.bumps[i]
        events.arrived[i], events.late[i] = terminated[i], truncated[i]
        past.vector[i] = vector
        past.target[i] = nearest_target(vector)
        past.over[i] = terminated[i] or truncated[i]


@njit(cache=True)
def _describe(
    vectors: np.ndarray,
    observations: np.ndarray,
    actions: np.ndarray,
    size: int,
    past: Past,
    events: Events,
    out: np.ndarray,
) -> None:
    """Writes the features to float32 `[N, F]` of zeros."""
    for i in range(out.shape[0]):
        vector, row, target = vectors[i], out[i], past.target[i]
        cells = observations[i, 4 * VECTOR :].reshape((VIEW, VIEW))
        row[:VECTOR] = vector
        row[AT_TARGET + max(target - 1, END)] = 1.0  # object 1 + k is point k
        start = STATE + OBJECT * target
        row[AT_WAY], row[AT_WAY + 1], row[AT_WAY + 2] = (
            vector[start + COSINE],
            vector[start + SINE],
            vector[start + WAY],
        )
        _place(vector, row[AT_PLACE:AT_RAYS])
        _rays(vector, cells, size, row[AT_RAYS:AT_GROUND])
        _ground(cells, row[AT_GROUND:AT_VISITS])
        _visits(cells, row[AT_VISITS:AT_LAST])
        if not events.first[i]:
            row[AT_WAY + 3] = max(-1.0, min(1.0, events.closer[i] / 4))
            row[AT_LAST + actions[i] % DIRECTIONS] = 1.0
            row[AT_LAST + DIRECTIONS] = events.bumps[i] / MOST_BUMPS


@njit(cache=True)
def _place(vector: np.ndarray, out: np.ndarray) -> None:
    x, z = vector[0], vector[1]
    out[_part(x, STRIPES)] = 1.0
    out[STRIPES + _part(z, STRIPES)] = 1.0
    out[2 * STRIPES + _part(z, TILES) * TILES + _part(x, TILES)] = 1.0


@njit(cache=True)
def _part(share: float, parts: int) -> int:
    """In which of so many equal parts of 0..1 `share` lies."""
    return min(int(share * parts), parts - 1)


@njit(cache=True)
def _rays(vector: np.ndarray, cells: np.ndarray, size: int, out: np.ndarray) -> None:
    """How far is free in each of 16 directions from the hero's exact place, looked at every half cell."""
    x, z = RADIUS + vector[0] * size % 1.0, RADIUS + vector[1] * size % 1.0  # cells of the view
    for ray in range(RAYS):
        free = 0
        while free < 2 * RAY_CELLS:
            far = 0.5 * (free + 1)
            if not cells[int(z + SIN[ray] * far), int(x + COS[ray] * far)] & PASSABLE:
                break
            free += 1
        out[ray] = free / (2 * RAY_CELLS)


@njit(cache=True)
def _ground(cells: np.ndarray, out: np.ndarray) -> None:
    side, first = 2 * GROUND + 1, RADIUS - GROUND
    for at in range(side * side):
        out[at] = cells[first + at // side, first + at % side] & PASSABLE


@njit(cache=True)
def _visits(cells: np.ndarray, out: np.ndarray) -> None:
    side, first = 2 * VISITS + 1, RADIUS - VISITS
    for at in range(side * side):
        out[at] = (cells[first + at // side, first + at % side] >> MEMORY_SHIFT) / FULL_MEMORY
