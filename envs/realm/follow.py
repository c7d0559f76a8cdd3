"""A scripted player: follows a route of points, looking two steps ahead. The oracle's claim is measured against it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from kaimesh.envs.realm import core, lattice
from kaimesh.envs.realm.map import BUFF, CELL, RealmMap
from kaimesh.envs.realm.oracle import Optimum
from kaimesh.envs.realm.task import Task

PER_CELL = 2
SIDE = CELL / PER_CELL
KEEP_OFF = core.REACH + SIDE  # units that the walker keeps from the end, as long as it is not his next goal


class Walk(NamedTuple):
    """An episode: its score, the actions, and the points picked up or reached, in order."""

    score: float
    actions: list[int]
    reached: list[int]


def follow(
    realm: RealmMap,
    optimum: Optimum,
    *,
    start: int,
    treasures: Sequence[int],
    max_step: int,
    flash_from: float = np.inf,
) -> Walk:
    """Walks the optimum's route and says what became of it. flash_from: units that a flash has to save, or it is not
    used.
    """
    end = optimum.route[-1]
    world, state = core.world_of(realm), core.new_state(1, realm.size)
    core.reset_all(world, state, Task(start, end, 0, -1, sum(1 << n for n in treasures), max_step))
    walk, route = Walk(0.0, [], []), list(optimum.route)
    out = np.zeros(1, np.float32), np.zeros(1, bool), np.zeros(1, bool)
    task = Task(start, end, 0, -1, 0, max_step)
    while not state.over[0]:
        while route[0] != end and _is_done(state, route[0]):
            walk.reached.append(route.pop(0))
        away = field_to(realm, route[0], end)
        action = best_flash(world, state, away, int(route[0]), end, flash_from)
        if action < 0:
            action = best_direction(world, state, away, int(route[0]), end)
        core.step(world, state, task, np.array([action]), *out)
        walk.actions.append(action)
    return walk._replace(score=float(state.score[0]), reached=[*walk.reached, *([end] if out[1][0] else [])])


def _is_done(state: core.State, point: int) -> bool:
    return bool(state.buff_wait[0] > 0) if point == BUFF else not state.present[0, point]


@lru_cache(maxsize=64)
def field_to(realm: RealmMap, point: int, end: int) -> np.ndarray:
    """The lattice's distances to a point, around the end's circle unless it is the end."""
    free = lattice.squares(realm.walkable, PER_CELL)
    if point != end:
        near = lattice.circle(realm.size, PER_CELL, realm.positions[end], KEEP_OFF)
        free = free & ~(near[1:, 1:] | near[1:, :-1] | near[:-1, 1:] | near[:-1, :-1])
    return np.asarray(lattice.field(free, lattice.circle(realm.size, PER_CELL, realm.positions[point], 1.0)))


@njit(cache=True)
def best_direction(world: core.World, state: core.State, away: np.ndarray, point: int, end: int) -> int:
    """The direction of the best two steps of environment 0 towards `point`, which do not touch the end on the way."""
    best, best_direction = np.inf, 0
    for first in range(core.DIRECTIONS):
        length = core.BUFFED_WALK if state.buff_left[0] > 0 else core.WALK
        x, z = core.walk(world.walkable, state.x[0], state.z[0], first, length)
        if _is_within(world, point, x, z):
            return first
        if _is_within(world, end, x, z):
            continue
        length = core.BUFFED_WALK if state.buff_left[0] > 1 else core.WALK
        for second in range(core.DIRECTIONS):
            then_x, then_z = core.walk(world.walkable, x, z, second, length)
            left = lattice.length_from(away, SIDE, then_x, then_z)
            if left < best and (point == end or not _is_within(world, end, then_x, then_z)):
                best, best_direction = left, first
    return best_direction


@njit(cache=True)
def best_flash(world: core.World, state: core.State, away: np.ndarray, point: int, end: int, flash_from: float) -> int:
    """The flash of environment 0 that saves most on the way to `point`, if it is ready and saves `flash_from` units;
    else -1.
    """
    best = lattice.length_from(away, SIDE, state.x[0], state.z[0]) - flash_from
    action = -1
    if state.flash_wait[0] > 0:
        return action
    for direction in range(core.DIRECTIONS):
        x, z = core.flash(world.walkable, state.x[0], state.z[0], direction)
        left = lattice.length_from(away, SIDE, x, z)
        if left < best and (point == end or not _is_within(world, end, x, z)):
            best, action = left, core.DIRECTIONS + direction
    return action


@njit(cache=True)
def _is_within(world: core.World, point: int, x: float, z: float) -> bool:
    near: bool = (world.points[point, 0] - x) ** 2 + (world.points[point, 1] - z) ** 2 <= core.REACH**2
    return near
