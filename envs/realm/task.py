"""What an episode asks for: Kaiwu's `usr_conf` of "Back to the Realm", checked, as plain numbers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from kaimesh.contract.errors import ConfigError
from kaimesh.envs.realm.map import PRESETS, unknown_preset

MAX_STEP = 2000
FIRST, LAST = 1, 15  # the points that may be start, end or treasure
MOST_TREASURES = LAST - FIRST - 1  # all points but start and end
KEYS = ("start", "end", "treasure_random", "treasure_num", "treasure_id", "treasure_sets", "talent_type", "max_step")
# Together these say which treasures there are: where an episode names one of them, the configuration's others do not
# count.
WHICH_TREASURES = ("treasure_random", "treasure_num", "treasure_id")
TREASURES = {"realm": 9, "realm-mini": 5}  # how many are drawn per episode, unless treasure_num says otherwise
ALL, TRAIN, TEST = 0, 1, 2
SETS = {"all": ALL, "train": TRAIN, "test": TEST}
ONE_OF = 5  # one set of treasures in so many is kept for tests, and is none of TRAIN


class Task(NamedTuple):
    """What an episode asks for. start, end: numbers of points.

    fewest, most: if `most` >= 0, so many treasures are drawn at each reset; else those of `fixed`, bit n for point n.
    max_step: the episode is truncated after this many steps. sets: which sets of treasures may be drawn: ALL, or those
    of TRAIN or TEST.
    """

    start: int
    end: int
    fewest: int
    most: int
    fixed: int
    max_step: int
    sets: int = ALL

    @property
    def fixed_ids(self) -> list[int]:
        """The treasures that are always there, as point numbers."""
        return [n for n in range(FIRST, LAST + 1) if self.fixed >> n & 1]


def task_of(preset: str, conf: Mapping[str, Any]) -> Task:
    """The task that `conf` describes, with the preset's values for what it leaves out.

    start, end: 1..15, different (2 and 1). treasure_random: 1, the default, draws treasure_num treasures, a number
    0..13 or [fewest, most]; 0 puts them at treasure_id, a list of points other than start and end. talent_type: 1, the
    flash.
    max_step: 1..2000 (2000). Naming treasure_id alone means treasure_random = 0. treasure_sets: "all"; or "train" or
    "test", if drawn treasures shall be a set of that part only, see `is_in`; a number of treasures that has no such set
    is not drawn then.
    Raises ConfigError: anything else, with the key, the value and what it may be.
    """
    if preset not in PRESETS:
        raise ConfigError(unknown_preset(preset))
    if not isinstance(conf, Mapping):
        raise _wrong("usr_conf", conf, "a mapping of keys to values")
    for key in conf:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ConfigError(
                f"realm: there is no key {key!r}{hint} It would have no effect. The keys are {', '.join(KEYS)}"
            )
    start = _whole("start", conf.get("start", 2), FIRST, LAST)
    end = _whole("end", conf.get("end", 1), FIRST, LAST)
    if start == end:
        raise _wrong("end", end, f"another point than start = {start}")
    _whole("talent_type", conf.get("talent_type", 1), 1, 1)
    fewest, most, fixed = _treasures(preset, conf, start, end)
    max_step = _whole("max_step", conf.get("max_step", MAX_STEP), 1, MAX_STEP)
    return Task(start, end, fewest, most, fixed, max_step, _sets(conf, start, end, fewest, most))


@njit(cache=True)
def is_in(sets: int, treasures: int) -> bool:
    """Whether a set of treasures, bit n for point n, belongs to `sets`: by a hash, one of five is TEST, four TRAIN.

    It depends on nothing else, neither map nor start nor end, so that what is held out stays so. The hash: C. Wellons,
    "Prospecting for Hash Functions" (2018), lowbias32.
    """
    if sets == ALL:
        return True
    word = treasures ^ (treasures >> 16)
    word = (word * 0x7FEB352D) & 0xFFFFFFFF
    word ^= word >> 15
    word = (word * 0x846CA68B) & 0xFFFFFFFF
    word ^= word >> 16
    return (word % ONE_OF == 0) == (sets == TEST)


def _sets(conf: Mapping[str, Any], start: int, end: int, fewest: int, most: int) -> int:
    name = conf.get("treasure_sets", "all")
    if not isinstance(name, str) or name not in SETS:
        raise _wrong("treasure_sets", name, f"one of {', '.join(SETS)}")
    free = [1 << point for point in range(FIRST, LAST + 1) if point not in (start, end)]
    drawn = (sum(one) for number in range(fewest, most + 1) for one in combinations(free, number))
    if most >= 0 and not any(is_in(SETS[name], treasures) for treasures in drawn):
        raise ConfigError(
            f"realm: treasure_sets = {name!r} has no set of {fewest}..{most} treasures between start = {start} and end "
            f"= {end}; take other numbers in treasure_num, or treasure_sets = 'all'"
        )
    return SETS[name]


def _treasures(preset: str, conf: Mapping[str, Any], start: int, end: int) -> tuple[int, int, int]:
    default = 0 if "treasure_id" in conf and "treasure_num" not in conf else 1
    if _whole("treasure_random", conf.get("treasure_random", default), 0, 1):
        number = conf.get("treasure_num", TREASURES[preset])
        bounds = list(number) if isinstance(number, list | tuple) else [number, number]
        if len(bounds) != 2:
            raise _wrong("treasure_num", number, f"a number 0..{MOST_TREASURES} or [fewest, most]")
        fewest, most = (_whole("treasure_num", bound, 0, MOST_TREASURES) for bound in bounds)
        if fewest > most:
            raise _wrong("treasure_num", number, "[fewest, most] with fewest <= most")
        return fewest, most, 0
    ids = conf.get("treasure_id", [])
    if not isinstance(ids, list | tuple | np.ndarray):
        raise _wrong("treasure_id", ids, "a list of points")
    numbers = [_whole("treasure_id", one, FIRST, LAST) for one in ids]
    if len(set(numbers)) != len(numbers):
        raise _wrong("treasure_id", ids, "a list without repetitions")
    if {start, end} & set(numbers):
        raise _wrong("treasure_id", ids, f"without start = {start} and end = {end}")
    return 0, -1, sum(1 << number for number in numbers)


def _whole(key: str, value: Any, low: int, high: int) -> int:
    whole = isinstance(value, int | np.integer | np.bool_) or (isinstance(value, float) and value.is_integer())
    if not whole or not low <= value <= high:
        raise _wrong(key, value, f"{low}" if low == high else f"a whole number {low}..{high}")
    return int(value)


def _wrong(key: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"realm: {key} = {value!r} must be {allowed}, or no episode can be made of it. Correct it.")
