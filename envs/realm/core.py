"""The rules of the realm, over a batch of environments, compiled; nothing here calls Python per step and environment.

Units: 500 per cell; x grows to the East, z to the North. Shape legend: N environments; S cells per side; P points.

An action is `direction + 8 * flash`; direction 0 is East, the others follow counter-clockwise, 45 degrees each.

A step does this, in this order: the cell that the hero stands on is counted as visited; he moves; what lies within 1000
units of his new place is picked up, and if the end does, he has arrived; if he has not and max_step is reached, time is
over. The reward is the change of the score, so that an episode's return is its score.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from kaimesh.envs.realm.map import BUFF, CELL, POINTS, RealmMap
from kaimesh.envs.realm.task import Task, is_in

ACTIONS, DIRECTIONS = 16, 8
WALK, BUFFED_WALK, FLASH = 700.0, 980.0, 8000.0  # units per step
REACH = 1000.0  # units: pickup and arrival
FLASH_WAIT = 606  # steps until the next flash
BUFF_STEPS, BUFF_WAIT = 50, 454  # steps for which the buff lasts; steps from taking it until it lies there again
ARRIVAL, PER_STEP_LEFT, PER_TREASURE = 150.0, 0.2, 100.0  # scores
BUMP = 500.0  # units: a walk of so many or fewer was stopped by a wall
FULL_MEMORY = 5  # visits of a cell that are counted at most; a network sees 0.2 for each
RADIUS = 25  # cells that the hero sees in each direction; some arrays over cells are padded by as many
SUBSTEPS = 4  # pieces of a walk, each shorter than a cell, so that no wall is jumped over
EDGE = 1.0  # units that a walker keeps from a wall

HALF = math.sqrt(0.5)
COS = np.array([1.0, HALF, 0.0, -HALF, -1.0, -HALF, 0.0, HALF])  # [8]
SIN = np.array([0.0, HALF, 1.0, HALF, 0.0, -HALF, -1.0, -HALF])  # [8]


class World(NamedTuple):
    """A map as arrays: `walkable` uint8 `[S, S]` and, padded with walls, `ground` uint8 `[S + 50, S + 50]`; `points`
    float64 `[P, 2]` units; `distances` uint16 `[P, S, S]` cells.
    """

    walkable: np.ndarray
    ground: np.ndarray
    points: np.ndarray
    distances: np.ndarray


class State(NamedTuple):
    """A batch of heroes; every array has a leading axis N.

    x, z: float64 units. step, max_step: int64. start, end: int64 points. asked, present: uint8 `[N, P]`, the episode's
    treasures, and those that are not yet taken. treasures, buffs, flashes, bumps: int64 counts. buff_left: fast steps
    that are left.
    buff_wait, flash_wait: steps until they are there again; 0: they are. score: float64, the sum of rewards. moved:
    float64 units of the last step. over: uint8, the next step resets. memory: uint8 `[N, S + 50, S + 50]` visits per
    cell, padded.
    random: uint64, the state of the generator that draws treasures.
    """

    x: np.ndarray
    z: np.ndarray
    step: np.ndarray
    max_step: np.ndarray
    start: np.ndarray
    end: np.ndarray
    asked: np.ndarray
    present: np.ndarray
    treasures: np.ndarray
    buffs: np.ndarray
    flashes: np.ndarray
    bumps: np.ndarray
    buff_left: np.ndarray
    buff_wait: np.ndarray
    flash_wait: np.ndarray
    score: np.ndarray
    moved: np.ndarray
    over: np.ndarray
    memory: np.ndarray
    random: np.ndarray


def world_of(realm: RealmMap) -> World:
    """The map as the compiled functions take it."""
    walkable = realm.walkable.astype(np.uint8)
    return World(walkable, np.pad(walkable, RADIUS), realm.positions, realm.distances)


def new_state(count: int, size: int) -> State:
    """`count` heroes on a map of `size` cells; `reset` puts them on it."""

    def whole() -> np.ndarray:
        return np.zeros(count, np.int64)

    def real() -> np.ndarray:
        return np.zeros(count)

    flags = np.zeros((2, count, POINTS), np.uint8)
    memory = np.zeros((count, size + 2 * RADIUS, size + 2 * RADIUS), np.uint8)
    return State(
        x=real(),
        z=real(),
        step=whole(),
        max_step=whole(),
        start=whole(),
        end=whole(),
        asked=flags[0],
        present=flags[1],
        treasures=whole(),
        buffs=whole(),
        flashes=whole(),
        bumps=whole(),
        buff_left=whole(),
        buff_wait=whole(),
        flash_wait=whole(),
        score=real(),
        moved=real(),
        over=np.zeros(count, np.uint8),
        memory=memory,
        random=np.ones(count, np.uint64),
    )


@njit(cache=True)
def _draw(state: State, i: int, below: int) -> int:
    """A whole number 0..below-1 (Vigna's xorshift64*, arXiv 1402.6246)."""
    word = state.random[i]
    word ^= word >> np.uint64(12)
    word ^= word << np.uint64(25)
    word ^= word >> np.uint64(27)
    state.random[i] = word
    return int((word * np.uint64(2685821657736338717)) >> np.uint64(33)) % below


@njit(cache=True)
def reset(world: World, state: State, task: Task, i: int) -> None:
    """A new episode in environment i."""
    state.step[i], state.max_step[i] = 0, task.max_step
    state.start[i], state.end[i] = task.start, task.end
    state.x[i], state.z[i] = world.points[task.start, 0], world.points[task.start, 1]
    state.treasures[i] = state.buffs[i] = state.flashes[i] = state.bumps[i] = 0
    state.buff_left[i] = state.buff_wait[i] = state.flash_wait[i] = 0
    state.score[i] = state.moved[i] = 0.0
    state.over[i] = 0
    state.memory[i] = 0
    _put_treasures(state, task, i)


@njit(cache=True)
def _put_treasures(state: State, task: Task, i: int) -> None:
    treasures = task.fixed
    if task.most >= 0:
        treasures = _draw_treasures(state, task, i)
        while not is_in(task.sets, treasures):  # task_of has made sure that there are some
            treasures = _draw_treasures(state, task, i)
    for point in range(POINTS):
        state.asked[i, point] = state.present[i, point] = (treasures >> point) & 1


@njit(cache=True)
def _draw_treasures(state: State, task: Task, i: int) -> int:
    """`task.fewest`..`task.most` points, as bits."""
    free = np.empty(POINTS, np.int64)
    count = treasures = 0
    for point in range(POINTS):
        if point != BUFF and point != task.start and point != task.end:
            free[count] = point
            count += 1
    for k in range(task.fewest + _draw(state, i, task.most - task.fewest + 1)):  # Fisher and Yates
        other = k + _draw(state, i, count - k)
        free[k], free[other] = free[other], free[k]
        treasures |= 1 << free[k]
    return treasures


@njit(cache=True)
def reset_all(world: World, state: State, task: Task) -> None:
    """New episodes everywhere."""
    for i in range(state.x.shape[0]):
        reset(world, state, task, i)


@njit(cache=True)
def _is_free(walkable: np.ndarray, x: float, z: float) -> bool:
    size = walkable.shape[0]
    column, row = math.floor(x / CELL), math.floor(z / CELL)
    return 0 <= column < size and 0 <= row < size and walkable[row, column] != 0


@njit(cache=True)
def _edge(old: float, new: float) -> float:
    """The last coordinate before the wall, for a walk from `old` to `new`, which lies in the next cell, a wall."""
    low = math.floor(old / CELL) * CELL
    return max(old, low + CELL - EDGE) if new > old else min(old, low + EDGE)


@njit(cache=True)
def walk(walkable: np.ndarray, x: float, z: float, direction: int, length: float) -> tuple[float, float]:
    """Where a walk of `length` units ends.

    A wall stops the part of the walk that leads into it, along x or along z; the other part goes on.
    """
    part_x, part_z = COS[direction] * length / SUBSTEPS, SIN[direction] * length / SUBSTEPS
    for _ in range(SUBSTEPS):
        x = x + part_x if _is_free(walkable, x + part_x, z) else _edge(x, x + part_x)
        z = z + part_z if _is_free(walkable, x, z + part_z) else _edge(z, z + part_z)
    return x, z


@njit(cache=True)
def flash(walkable: np.ndarray, x: float, z: float, direction: int) -> tuple[float, float]:
    """Where a flash lands: 8000 units away or, if that is blocked, in the middle of the free cell nearest to there; of
    those that are not farther than 8000 units. Walls on the way do not matter.
    """
    goal_x, goal_z = x + COS[direction] * FLASH, z + SIN[direction] * FLASH
    if _is_free(walkable, goal_x, goal_z):
        return goal_x, goal_z
    landing: tuple[float, float] = nearest_middle(walkable, goal_x, goal_z, x, z, FLASH)
    return landing


@njit(cache=True)
def nearest_middle(
    walkable: np.ndarray, goal_x: float, goal_z: float, x: float, z: float, reach: float
) -> tuple[float, float]:
    """The middle of the free cell nearest to the goal, of those at most `reach` units from (x, z); that place, if none
    is.
    """
    size = walkable.shape[0]
    column, row = math.floor(goal_x / CELL), math.floor(goal_z / CELL)
    best, best_x, best_z = np.inf, x, z
    for radius in range(2 * size):
        if (radius - 0.5) * CELL > math.sqrt(best):  # no cell of this ring or of a later one is nearer
            break
        for other_row in range(max(row - radius, 0), min(row + radius, size - 1) + 1):
            on_side = radius == 0 or other_row in (row - radius, row + radius)
            for other_column in range(column - radius, column + radius + 1, 1 if on_side else 2 * radius):
                if not 0 <= other_column < size or not walkable[other_row, other_column]:
                    continue
                to_x, to_z = (other_column + 0.5) * CELL, (other_row + 0.5) * CELL
                far = (to_x - goal_x) ** 2 + (to_z - goal_z) ** 2
                if far < best and (to_x - x) ** 2 + (to_z - z) ** 2 <= reach**2:
                    best, best_x, best_z = far, to_x, to_z
    return best_x, best_z


@njit(cache=True)
def _move(world: World, state: State, i: int, action: int) -> None:
    x, z, direction = state.x[i], state.z[i], action % DIRECTIONS
    flashes = action >= DIRECTIONS and state.flash_wait[i] == 0  # one that is not ready is a walk
    if flashes:
        state.x[i], state.z[i] = flash(world.walkable, x, z, direction)
    else:
        length = BUFFED_WALK if state.buff_left[i] > 0 else WALK
        state.x[i], state.z[i] = walk(world.walkable, x, z, direction, length)
    state.moved[i] = math.hypot(state.x[i] - x, state.z[i] - z)
    state.bumps[i] += not flashes and state.moved[i] <= BUMP
    state.flashes[i] += flashes
    state.flash_wait[i] = FLASH_WAIT if flashes else max(state.flash_wait[i] - 1, 0)
    state.buff_left[i] = max(state.buff_left[i] - 1, 0)
    state.buff_wait[i] = max(state.buff_wait[i] - 1, 0)


@njit(cache=True)
def _reaches(world: World, state: State, i: int, point: int) -> bool:
    far_x, far_z = world.points[point, 0] - state.x[i], world.points[point, 1] - state.z[i]
    near: bool = far_x * far_x + far_z * far_z <= REACH * REACH
    return near


@njit(cache=True)
def _pick_up(world: World, state: State, i: int) -> None:
    for point in range(POINTS):
        if state.present[i, point] and _reaches(world, state, i, point):
            state.present[i, point] = 0
            state.treasures[i] += 1
    if state.buff_wait[i] == 0 and _reaches(world, state, i, BUFF):
        state.buff_left[i], state.buff_wait[i] = BUFF_STEPS, BUFF_WAIT
        state.buffs[i] += 1


@njit(cache=True)
def _step_one(world: World, state: State, i: int, action: int) -> tuple[bool, bool]:
    row, column = int(state.z[i] / CELL) + RADIUS, int(state.x[i] / CELL) + RADIUS
    state.memory[i, row, column] = min(state.memory[i, row, column] + 1, FULL_MEMORY)
    _move(world, state, i, action)
    state.step[i] += 1
    _pick_up(world, state, i)
    arrived = _reaches(world, state, i, state.end[i])
    late = not arrived and state.step[i] >= state.max_step[i]
    state.score[i] = 0.0 if late else PER_TREASURE * state.treasures[i]
    if arrived:
        state.score[i] += ARRIVAL + PER_STEP_LEFT * (state.max_step[i] - state.step[i])
    state.over[i] = arrived or late
    return arrived, late


@njit(cache=True)
def step(
    world: World,
    state: State,
    task: Task,
    actions: np.ndarray,
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
) -> None:
    """One step of every environment; one whose episode is over is reset instead, with reward 0 (gymnasium's NEXT_STEP).

    actions: int64 `[N]`, 0..15. Written: rewards float32, terminated and truncated bool, each `[N]`.
    """
    for i in range(actions.shape[0]):
        if state.over[i]:
            reset(world, state, task, i)
            rewards[i], terminated[i], truncated[i] = 0.0, False, False
        else:
            before = state.score[i]
            terminated[i], truncated[i] = _step_one(world, state, i, actions[i])
            rewards[i] = state.score[i] - before
