"""usr_conf: what is taken, what is refused and why."""

from __future__ import annotations

import numpy as np
import pytest

from kaimesh.contract.errors import ConfigError
from kaimesh.envs.realm.task import Task, task_of


def test_defaults_are_the_contests():
    assert task_of("realm", {}) == Task(start=2, end=1, fewest=9, most=9, fixed=0, max_step=2000)
    assert task_of("realm-mini", {}).most == 5


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ({"start": 7, "end": 15, "max_step": 1}, (7, 15, 9, 9, 0, 1)),
        ({"treasure_random": 1, "treasure_num": 0}, (2, 1, 0, 0, 0, 2000)),
        ({"treasure_random": True, "treasure_num": 13, "treasure_id": [3]}, (2, 1, 13, 13, 0, 2000)),
        ({"treasure_num": [2, 6]}, (2, 1, 2, 6, 0, 2000)),
        ({"treasure_random": 0, "treasure_id": []}, (2, 1, 0, -1, 0, 2000)),
        ({"treasure_random": 0}, (2, 1, 0, -1, 0, 2000)),
        ({"treasure_id": [3, 15], "talent_type": 1}, (2, 1, 0, -1, 1 << 3 | 1 << 15, 2000)),
        ({"start": np.int64(3), "treasure_random": 0, "treasure_id": np.array([2])}, (3, 1, 0, -1, 1 << 2, 2000)),
        ({"start": 3.0}, (3, 1, 9, 9, 0, 2000)),
    ],
)
def test_what_a_task_may_be(conf, expected):
    assert task_of("realm", conf) == Task(*expected)


def test_fixed_ids():
    assert task_of("realm", {"treasure_id": [15, 3, 8]}).fixed_ids == [3, 8, 15]


@pytest.mark.parametrize(
    ("conf", "reason"),
    [
        ({"start": 0}, r"start = 0 must be a whole number 1\.\.15"),
        ({"start": 16}, "start = 16"),
        ({"end": "1"}, "end = '1'"),
        ({"end": None}, "end = None"),
        ({"start": 1.5}, r"start = 1\.5"),
        ({"start": 1}, "end = 1 must be another point than start = 1"),
        ({"end": 2}, "another point than start = 2"),
        ({"treasure_random": 2}, "treasure_random = 2"),
        ({"treasure_num": 14}, r"treasure_num = 14 must be a whole number 0\.\.13"),
        ({"treasure_num": -1}, "treasure_num = -1"),
        ({"treasure_num": [4, 2]}, "fewest <= most"),
        ({"treasure_num": [4]}, "treasure_num"),
        ({"treasure_random": 0, "treasure_id": 5}, "treasure_id = 5 must be a list"),
        ({"treasure_random": 0, "treasure_id": [0]}, "treasure_id = 0"),
        ({"treasure_random": 0, "treasure_id": [3, 3]}, "without repetitions"),
        ({"treasure_random": 0, "treasure_id": [2]}, "without start = 2"),
        ({"treasure_random": 0, "treasure_id": [1, 5]}, "and end = 1"),
        ({"talent_type": 2}, "talent_type = 2 must be 1"),
        ({"max_step": 0}, "max_step = 0"),
        ({"max_step": 2001}, r"max_step = 2001 must be a whole number 1\.\.2000"),
        ({"max_steps": 100}, "no key 'max_steps'; did you mean 'max_step'"),
        ([("start", 2)], "a mapping"),
    ],
)
def test_what_a_task_may_not_be(conf, reason):
    with pytest.raises(ConfigError, match=reason):
        task_of("realm", conf)
