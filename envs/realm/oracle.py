"""The best score that a configuration allows, exact over the order of treasures.

It is an upper bound that nobody can beat, for every simplification makes the way shorter: ways between pickups are
never longer than real ones (kaimesh.envs.realm.legs), steps are rounded up at the end of the way only, and the way may
cross the end's circle. What is exact: which treasures are worth their steps, in which order they are taken, when the
buff is fetched, and where flashes are used. This is Held and Karp's dynamic programme over subsets (J. SIAM 10, 1962,
equation 4); the tours between two visits of the buff are joined.

- The buff makes the next 50 steps fast; it is one more place to go to, as often as it returns.
- Of two flashes the second is at least 607 steps later; so there are at most 1 + (steps - 1) // 607, and two on one way
  between two points are worth no more than 607 steps of walking.

Shape legend: k treasures; S = 2^k subsets, bit n for the n-th treasure; F + 1 numbers of flashes, 0..F, used at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from kaimesh.envs.realm import core
from kaimesh.envs.realm.legs import legs
from kaimesh.envs.realm.map import BUFF, RealmMap

FAST = core.BUFF_STEPS * core.BUFFED_WALK  # units that the buff lasts
FLASH_AGAIN = core.FLASH_WAIT + 1  # steps from one flash to the next
TOLERANCE = 1e-6  # steps: rounding errors must not cost a whole step


class Optimum(NamedTuple):
    """The most that can be scored.

    score: nobody scores more. steps: that it takes. route: the points in order, the end last; 0 is the buff. flashes:
    how many are used at most. Where not even the end can be reached in time: 0, 0, [] and 0.
    """

    score: float
    steps: int
    route: list[int]
    flashes: int


class _Tables(NamedTuple):
    """Lengths of ways and tours. Index 0 of every array is the number of flashes that are used at most.

    Single ways, in units: inner `[2, k, k]` between treasures; to_buff, to_end `[2, k]` from a treasure.
    Tours through a subset of treasures, in units: from_start, from_buff `[F + 1, S, k]`, by the treasure where they
    end; loops `[F + 1, S]` from the buff back to it; homeward `[F + 1, S]` from the buff to the end.
    In steps, each `[F + 1, S]`: at_buff[v], until visit v + 1 of the buff; arrival[v], until the end, with v visits.
    """

    inner: np.ndarray
    to_buff: np.ndarray
    to_end: np.ndarray
    from_start: np.ndarray
    from_buff: np.ndarray
    loops: np.ndarray
    homeward: np.ndarray
    at_buff: list[np.ndarray]
    arrival: list[np.ndarray]


def optimum(
    realm: RealmMap, *, start: int, end: int, treasures: Sequence[int], max_step: int, flashes: bool = True
) -> Optimum:
    """The best that anybody could do; with flashes = False, that anybody could do without a flash.

    start, end, treasures: points, as in kaimesh.envs.realm.task.
    """
    most = int(flashes)
    ids = np.array(treasures, np.int64)
    while True:
        tables = _tables(realm, start, end, ids, 1 + max_step // core.BUFF_WAIT, most)
        least = np.min(tables.arrival, 0)  # [F + 1, S]
        latest = min(max_step, math.ceil(least[most].max()))
        possible = 1 + (latest - 1) // FLASH_AGAIN
        if not flashes or possible <= most:
            break
        most = possible
    waiting = np.maximum(np.arange(most + 1) - 1, 0)[:, None] * FLASH_AGAIN + 1
    steps = np.ceil(np.maximum(least, waiting) - TOLERANCE)  # [F + 1, S]
    sizes = np.array([bin(subset).count("1") for subset in range(steps.shape[1])])
    scores = core.ARRIVAL + core.PER_STEP_LEFT * (max_step - steps) + core.PER_TREASURE * sizes
    scores[steps > max_step] = -1.0
    used, subset = (int(index) for index in np.unravel_index(scores.argmax(), scores.shape))
    if scores[used, subset] < 0:
        return Optimum(0.0, 0, [], 0)
    visits = int(np.argmin([way[used, subset] for way in tables.arrival]))
    route = [point if point >= 0 else int(ids[-point - 1]) for point in [*_route(tables, subset, visits, used), end]]
    return Optimum(float(scores[used, subset]), int(steps[used, subset]), route, used)


def _tables(realm: RealmMap, start: int, end: int, ids: np.ndarray, visits: int, most: int) -> _Tables:
    two_flashes = FLASH_AGAIN * core.WALK  # no way is worth more
    between, leaving = (np.minimum(lengths, two_flashes) for lengths in legs(realm))
    inner = between[:, ids[:, None], ids]
    to_buff, to_end = between[:, ids, BUFF], between[:, ids, end]
    from_start = _held_karp(leaving[:, start, ids], inner, most)
    from_buff = _held_karp(between[:, BUFF, ids], inner, most)
    loops = _ending(from_buff, to_buff, np.zeros(2))
    homeward = _ending(from_buff, to_end, between[:, BUFF, end])
    at_buff = [_ending(from_start, to_buff, leaving[:, start, BUFF]) / core.WALK]
    for _ in range(1, visits):
        at_buff.append(_join(at_buff[-1], loops, float(core.BUFF_WAIT))[0])
    arrival = [_ending(from_start, to_end, leaving[:, start, end]) / core.WALK]
    arrival += [_join(steps, homeward, 0.0)[0] for steps in at_buff]
    return _Tables(inner, to_buff, to_end, from_start, from_buff, loops, homeward, at_buff, arrival)


def _route(tables: _Tables, subset: int, visits: int, flashes: int) -> list[int]:
    """The points on the way that an entry of `arrival[visits]` is the length of, in order, without the end.

    BUFF is the buff, -1 - n the n-th of the episode's treasures.
    """
    if visits == 0:
        return _order(tables.inner, tables.from_start, tables.to_end, subset, flashes)
    ways, leave, at_least = tables.homeward, tables.to_end, 0.0
    route: list[int] = []
    for visit in range(visits - 1, -1, -1):
        code = int(_join(tables.at_buff[visit], ways, at_least)[1][flashes, subset])
        part, used = divmod(code, len(ways))
        route = [BUFF, *_order(tables.inner, tables.from_buff, leave, subset ^ part, flashes - used), *route]
        subset, flashes = part, used
        ways, leave, at_least = tables.loops, tables.to_buff, float(core.BUFF_WAIT)
    return [*_order(tables.inner, tables.from_start, tables.to_buff, subset, flashes), *route]


def _order(inner: np.ndarray, table: np.ndarray, leave: np.ndarray, subset: int, flashes: int) -> list[int]:
    """The treasures of `subset`, as -1 - n, in the order of the shortest tour.

    leave: `[2, k]`, units from each treasure to where the tour goes on.
    """
    order: list[int] = []
    while subset:
        options = [(n, used) for n in range(inner.shape[1]) if subset >> n & 1 for used in range(min(flashes, 1) + 1)]
        last, used = min(options, key=lambda o: table[flashes - o[1], subset, o[0]] + leave[o[1], o[0]])
        order.insert(0, -1 - last)
        subset, flashes, leave = subset ^ 1 << last, flashes - used, inner[:, :, last]
    return order


@njit(cache=True)
def _held_karp(first: np.ndarray, inner: np.ndarray, most: int) -> np.ndarray:
    """`[F + 1, S, k]`: the shortest tour through a subset of treasures that ends at each of its members.

    first: `[2, k]`, the ways from where the tour begins. inner: `[2, k, k]`, those between treasures.
    """
    count = first.shape[1]
    table = np.full((most + 1, 1 << count, max(count, 1)), np.inf)
    for subset in range(1, 1 << count):
        for last in range(count):
            if not (subset >> last) & 1:
                continue
            rest = subset ^ (1 << last)
            for flashes in range(most + 1):
                best = np.inf
                for used in range(min(flashes, 1) + 1):
                    if rest == 0:
                        best = min(best, first[used, last])
                    for other in range(count):
                        if (rest >> other) & 1:
                            best = min(best, table[flashes - used, rest, other] + inner[used, other, last])
                table[flashes, subset, last] = best
    return table


def _ending(table: np.ndarray, leave: np.ndarray, directly: np.ndarray) -> np.ndarray:
    """`[F + 1, S]`: the shortest tour through a subset that goes on to some place. directly `[2]`: through nothing."""
    result = np.full(table.shape[:2], np.inf)
    for flashes in range(len(table)):
        for used in range(min(flashes, 1) + 1):
            if leave.shape[1]:
                result[flashes] = np.minimum(result[flashes], (table[flashes - used] + leave[used]).min(1))
            result[flashes, 0] = min(result[flashes, 0], directly[used])
    return result


@njit(cache=True)
def _fast_steps(units: float) -> float:
    """Steps for a way that begins with the buff."""
    return units / core.BUFFED_WALK if units <= FAST else core.BUFF_STEPS + (units - FAST) / core.WALK


@njit(cache=True)
def _join(before: np.ndarray, ways: np.ndarray, at_least: float) -> tuple[np.ndarray, np.ndarray]:
    """The fewest steps for each subset, `[F + 1, S]`, where a part of it is visited before the buff and the rest after.

    That is the least of before[part] + max(fast steps of ways[the rest], at_least). The second array says which part it
    was: part * (F + 1) + the flashes used in it.
    """
    numbers, subsets = before.shape
    result = np.full((numbers, subsets), np.inf)
    codes = np.zeros((numbers, subsets), np.int64)
    after = np.empty((numbers, subsets))
    for flashes in range(numbers):
        for subset in range(subsets):
            after[flashes, subset] = max(_fast_steps(ways[flashes, subset]), at_least)
    for flashes in range(numbers):
        for used in range(flashes + 1):
            for subset in range(subsets):
                part = subset
                while True:
                    steps = before[used, part] + after[flashes - used, subset ^ part]
                    if steps < result[flashes, subset]:
                        result[flashes, subset], codes[flashes, subset] = steps, part * numbers + used
                    if part == 0:
                        break
                    part = (part - 1) & subset
    return result, codes
