"""What environments tell evaluations, under each of their faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.envs.realm.atlas import find
from kaimesh.envs.realm.follow import follow
from kaimesh.envs.realm.oracle import optimum
from tests.envs.own import Counter

REPORT = [
    "share_of_optimum",
    "arrived",
    "treasures_missed",
    "bumps",
    "flashes",
    "buffs",
    "treasures",
    "optimum",
    "optimum_steps",
]
CONF = {"treasure_id": [3, 7, 9], "max_step": 500}


class Telling(Counter):
    def episode_report(self) -> dict[str, float]:
        return {"count": self._count}

    @staticmethod
    def for_evaluation(conf: dict[str, Any]) -> dict[str, Any]:
        return {**conf, "length": 9}


TELLING = "tests.envs.test_evaluation:Telling"


def walk() -> tuple[Any, Any]:
    realm = find("realm-mini")
    best = optimum(realm, start=2, end=1, treasures=CONF["treasure_id"], max_step=500)
    return best, follow(realm, best, start=2, treasures=CONF["treasure_id"], max_step=500)


@pytest.mark.parametrize(("app", "preset"), [("realm-mini", {}), ("gym:kaimesh/RealmMini-v0", {})])
def test_the_realms_report_through_a_vector_environment(app, preset):
    best, walked = walk()
    env = envs.make_vector(app, 2, env_conf=CONF)
    env.reset(seed=1)
    for action in walked.actions:
        env.step(np.array([action, 8 + action % 4]))  # the second wastes his flash, and gets nowhere near
    told = envs.episode_report(env, 0)
    assert list(told) == REPORT
    assert told["optimum"] == best.score
    assert told["share_of_optimum"] == walked.score / best.score > 0.98
    assert (told["arrived"], told["treasures"], told["treasures_missed"]) == (True, 3, 0)
    other = envs.episode_report(env, 1)
    assert (other["arrived"], other["flashes"]) == (False, 1)
    assert other["treasures"] + other["treasures_missed"] == 3


def test_the_same_through_the_facade_and_as_one_environment():
    _, walked = walk()
    vector = envs.make_vector("realm-mini", 1, env_conf=CONF)
    one = envs.make("realm-mini", env_conf=CONF)
    facade = envs.facade("realm-mini", env_conf=CONF)
    for env in (vector, one, facade):
        env.reset()
    for action in walked.actions:
        vector.step(np.array([action]))
        one.step(action)
        facade.step(action)
    told = envs.episode_report(vector)
    assert told == envs.episode_report(one) == envs.episode_report(facade.env)


def test_where_nothing_can_be_won_nothing_is_missing():
    env = envs.make_vector("realm", 1, env_conf={"max_step": 1})
    env.reset(seed=1)
    env.step(np.array([0]))
    told = envs.episode_report(env)
    assert (told["optimum"], told["share_of_optimum"], told["arrived"]) == (0, 1, False)


def test_an_environment_of_ones_own():
    vector = envs.make_vector(TELLING, 2)
    vector.reset(seed=1)
    for _ in range(3):
        vector.step(np.zeros(2, int))
    assert envs.episode_report(vector, 1) == {"count": 3}
    facade = envs.facade(TELLING)
    facade.reset()
    facade.step(0)
    assert envs.episode_report(facade.env) == {"count": 1}


@pytest.mark.parametrize("app", ["gym:CartPole-v1", "catch", "tests.envs.own:Counter"])
def test_others_say_nothing(app):
    env = envs.make_vector(app, 1)
    env.reset(seed=1)
    assert envs.episode_report(env) == {}
    assert envs.for_evaluation(app, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("app", "conf", "expected"),
    [
        ("ale:pong", {"episodic_life": True, "x": 1}, {"episodic_life": False, "x": 1}),
        ("realm", {"treasure_sets": "train", "start": 3}, {"treasure_sets": "test", "start": 3}),
        ("realm-mini", {"treasure_sets": "train"}, {"treasure_sets": "test"}),
        ("gym:kaimesh/Realm-v0", {"treasure_sets": "train"}, {"treasure_sets": "test"}),
        ("realm", {"treasure_sets": "all"}, {"treasure_sets": "all"}),
        ("realm", {}, {}),
        (TELLING, {}, {"length": 9}),
    ],
)
def test_what_an_evaluation_plays(app, conf, expected):
    before = dict(conf)
    assert envs.for_evaluation(app, conf) == expected
    assert conf == before
