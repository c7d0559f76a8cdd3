"""The best score that walking allows, exact over the order of treasures.

No walker can beat it: every relaxation below makes ways shorter, never longer.

- Between two pickups one walks at least the shortest walk between the two circles of 1000 units (envs.realm.lattice). A step's
  diagonal parts may cut a wall's corner, by 87 units; so walls count as 125 units thinner. What the lattice of 125 units may add to a
  way at its two ends, SLACK, is taken off.
- Steps are not rounded up between pickups, only at the end. The way may cross the end's circle.
- The buff makes the next 50 steps fast; it is one more place to go to, as often as it returns.

Over which treasures, in which order, and where the buff comes in between, the optimum is exact: Held and Karp's dynamic programme over
subsets (J. SIAM 10, 1962, equation 4), joined at each visit of the buff. Flashes are not used: with them a hero may be faster.

Shape legend: P points; k treasures; S = 2^k subsets, bit n for the n-th treasure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from envs.realm import core, lattice
from envs.realm.map import BUFF, CELL, RealmMap

PER_CELL = 4  # squares of the lattice along a cell
SIDE = CELL / PER_CELL  # units
SLACK = SIDE * math.sqrt(2.0)  # units, of the two ends of a way together: each is within half of it of a corner
FAST = core.BUFF_STEPS * core.BUFFED_WALK  # units that the buff lasts
TOLERANCE = 1e-6


class Legs(NamedTuple):
    """Units that a walk takes at least: `between` float64 `[P, P]` from circle to circle, `leaving` `[P, P]` from the first point
    itself to the circle of the second.
    """

    between: np.ndarray
    leaving: np.ndarray


class Optimum(NamedTuple):
    """No walker scores more than `score`, which takes `steps`. `route`: the points in order, the end last; 0 is the buff. Where not
    even the end can be reached in time: 0, 0 and [].
    """

    score: float
    steps: int
    route: list[int]


@lru_cache(maxsize=8)
def legs(realm: RealmMap) -> Legs:
    """The least lengths between the points of a map; computed once."""
    free = lattice.grown(lattice.squares(realm.walkable, PER_CELL))
    circles = [
        lattice.circle(realm.size, PER_CELL, middle, core.REACH + SLACK / 2) & lattice.corners(free)
        for middle in realm.positions
    ]
    fields = [lattice.field(free, circle) * SIDE for circle in circles]
    between = np.array([[field[circle].min() for field in fields] for circle in circles])
    at = (realm.positions / SIDE).astype(np.int64)
    leaving = np.array([[field[z, x] for field in fields] for x, z in at])
    return Legs(np.maximum(between - SLACK, 0.0), np.maximum(leaving - SLACK, 0.0))


def optimum(realm: RealmMap, *, start: int, end: int, treasures: Sequence[int], max_step: int) -> Optimum:
    """The best that a walker could do. start, end, treasures: points, as in envs.realm.task."""
    ids = np.array(treasures, np.int64)
    between, leaving = legs(realm)
    inner = between[np.ix_(ids, ids)]
    from_start = _held_karp(leaving[start, ids], inner)  # [S, k]
    from_buff = _held_karp(between[BUFF, ids], inner)
    places = [_ending(from_start, between[ids, place], leaving[start, place]) for place in (end, BUFF)]  # [S] each
    loops = _ending(from_buff, between[ids, BUFF], 0.0)
    homeward = _ending(from_buff, between[ids, end], between[BUFF, end])
    visits = 1 + max_step // core.BUFF_WAIT
    at_buff = [places[1] / core.WALK]  # steps until the v-th visit of the buff, by collected subset
    for _ in range(1, visits):
        at_buff.append(_join(at_buff[-1], loops, float(core.BUFF_WAIT))[0])
    ends = [places[0] / core.WALK] + [_join(steps, homeward, 0.0)[0] for steps in at_buff]
    steps = np.ceil(np.min(ends, 0) - TOLERANCE)  # [S]
    sizes = np.array([bin(subset).count("1") for subset in range(len(steps))])
    scores = core.ARRIVAL + core.PER_STEP_LEFT * (max_step - steps) + core.PER_TREASURE * sizes
    scores[steps > max_step] = -1.0
    best = int(scores.argmax())
    if scores[best] < 0:
        return Optimum(0.0, 0, [])
    chosen = int(np.argmin([way[best] for way in ends]))
    tables = _Tables(inner, from_start, from_buff, between[ids, BUFF], between[ids, end], loops, homeward, at_buff)
    route = [point if point >= 0 else int(ids[-point - 1]) for point in _route(tables, best, chosen, end)]
    return Optimum(float(scores[best]), int(steps[best]), route)


class _Tables(NamedTuple):
    inner: np.ndarray
    from_start: np.ndarray
    from_buff: np.ndarray
    to_buff: np.ndarray
    to_end: np.ndarray
    loops: np.ndarray
    homeward: np.ndarray
    at_buff: list[np.ndarray]


def _route(tables: _Tables, subset: int, visits: int, end: int) -> list[int]:
    """The order behind an entry: treasures as -1 - n, with n their place in the list."""
    if visits == 0:
        return [*_order(tables.inner, tables.from_start, tables.to_end, subset), end]
    before = int(_join(tables.at_buff[visits - 1], tables.homeward, 0.0)[1][subset])
    route = [BUFF, *_order(tables.inner, tables.from_buff, tables.to_end, subset ^ before), end]
    for visit in range(visits - 1, 0, -1):
        earlier = int(_join(tables.at_buff[visit - 1], tables.loops, float(core.BUFF_WAIT))[1][before])
        route = [BUFF, *_order(tables.inner, tables.from_buff, tables.to_buff, before ^ earlier), *route]
        before = earlier
    return [*_order(tables.inner, tables.from_start, tables.to_buff, before), *route]


def _order(inner: np.ndarray, table: np.ndarray, leave: np.ndarray, subset: int) -> list[int]:
    """The treasures of `subset` in the order of the shortest tour; `leave`: units from each to where it goes on."""
    order: list[int] = []
    while subset:
        members = [n for n in range(table.shape[1]) if subset >> n & 1]
        last = min(members, key=lambda n: table[subset, n] + leave[n])
        order.insert(0, -1 - last)
        subset ^= 1 << last
        leave = inner[:, last]
    return order


@njit(cache=True)
def _held_karp(first: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """float64 `[S, k]`: the shortest tour through a subset that ends at each of its members. first: `[k]`, inner: `[k, k]`."""
    count = first.shape[0]
    table = np.full((1 << count, max(count, 1)), np.inf)
    for subset in range(1, 1 << count):
        for last in range(count):
            if not (subset >> last) & 1:
                continue
            rest = subset ^ (1 << last)
            best = first[last] if rest == 0 else np.inf
            for other in range(count):
                if (rest >> other) & 1:
                    best = min(best, table[rest, other] + inner[other, last])
            table[subset, last] = best
    return table


def _ending(table: np.ndarray, leave: np.ndarray, directly: float) -> np.ndarray:
    """`[S]`: the shortest tour through a subset that goes on to some place; `directly`: through nothing."""
    if not len(leave):
        return np.array([directly])
    ways = (table + leave).min(1)
    ways[0] = directly
    return np.asarray(ways)


@njit(cache=True)
def _fast_steps(units: float) -> float:
    """Steps for a way that begins with the buff."""
    return units / core.BUFFED_WALK if units <= FAST else core.BUFF_STEPS + (units - FAST) / core.WALK


@njit(cache=True)
def _join(before: np.ndarray, ways: np.ndarray, at_least: float) -> tuple[np.ndarray, np.ndarray]:
    """For each subset the least of before[part] + max(fast steps of ways[the others], at_least), and that part; `[S]` each."""
    result = np.full(before.shape[0], np.inf)
    parts = np.zeros(before.shape[0], np.int64)
    after = np.array([max(_fast_steps(way), at_least) for way in ways])
    for subset in range(before.shape[0]):
        part = subset
        while True:
            steps = before[part] + after[subset ^ part]
            if steps < result[subset]:
                result[subset], parts[subset] = steps, part
            if part == 0:
                break
            part = (part - 1) & subset
    return result, parts
