"""treasure_sets: what training sees and what is held out from it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from kaimesh.contract.errors import ConfigError
from kaimesh.envs.realm.facade import RealmFacade
from kaimesh.envs.realm.task import ALL, TEST, TRAIN, is_in, task_of
from kaimesh.envs.realm.vector import Realm

FREE = range(3, 16)  # with start 2 and end 1


def sets_of(number: int) -> list[int]:
    return [sum(1 << point for point in points) for points in combinations(FREE, number)]


@pytest.mark.parametrize("number", range(14))
def test_every_set_is_of_one_part(number):
    for treasures in sets_of(number):
        assert is_in(ALL, treasures)
        assert is_in(TRAIN, treasures) != is_in(TEST, treasures)


@pytest.mark.parametrize(("number", "sets"), [(3, 286), (5, 1287), (7, 1716), (9, 715)])
def test_a_fifth_is_held_out_and_no_point_is_favoured(number, sets):
    held_out = [treasures for treasures in sets_of(number) if is_in(TEST, treasures)]
    deviation = np.sqrt(sets * 0.2 * 0.8)
    assert abs(len(held_out) - 0.2 * sets) < 3 * deviation
    for point in FREE:  # the share of sets with this point, held out and in all
        share = np.mean([treasures >> point & 1 for treasures in held_out])
        assert abs(share - number / 13) < 4 * np.sqrt(0.25 / len(held_out))


def test_the_parts_never_change():
    """Runs of last year must not be evaluated on what they were trained on."""
    assert [n for n, treasures in enumerate(sets_of(5)[:60]) if is_in(TEST, treasures)] == FIRST_HELD_OUT


FIRST_HELD_OUT = [10, 11, 36, 40, 41, 42, 48, 54]


def drawn(env: Realm, rounds: int) -> set[int]:
    env.reset(seed=5)
    seen = set()
    for _ in range(rounds):
        env.reset()
        seen |= set((env.state.asked.astype(np.int64) << np.arange(16)).sum(1).tolist())
    return seen


@pytest.mark.parametrize(("preset", "number"), [("realm", 9), ("realm-mini", 5)])
def test_episodes_meet_all_sets_of_their_part_and_no_others(preset, number):
    for name, part in (("all", ALL), ("train", TRAIN), ("test", TEST)):
        seen = drawn(Realm(64, preset=preset, treasure_sets=name), 200)
        assert seen == {treasures for treasures in sets_of(number) if is_in(part, treasures)}


def test_a_number_without_a_set_is_not_drawn():
    seen = drawn(Realm(64, treasure_num=[12, 13], treasure_sets="train"), 40)
    assert seen == {treasures for number in (12, 13) for treasures in sets_of(number) if is_in(TRAIN, treasures)}
    assert not any(is_in(TRAIN, treasures) for treasures in sets_of(13))


def test_all_draws_as_if_there_were_no_parts():
    both = [Realm(8, treasure_num=[0, 13], **conf) for conf in ({}, {"treasure_sets": "all"})]
    for env in both:
        env.reset(seed=3)
    assert np.array_equal(both[0].state.asked, both[1].state.asked)
    assert task_of("realm", {}).sets == ALL


@pytest.mark.parametrize("value", ["unseen", 1, None])
def test_a_part_that_there_is_not(value):
    with pytest.raises(ConfigError, match=r"treasure_sets = .* must be one of all, train, test"):
        task_of("realm", {"treasure_sets": value})


def test_a_part_without_a_set_is_refused():
    with pytest.raises(ConfigError, match=r"treasure_sets = 'train' has no set of 13\.\.13 treasures"):
        task_of("realm", {"treasure_num": 13, "treasure_sets": "train"})
    task_of("realm", {"treasure_id": list(FREE), "treasure_sets": "train"})  # nothing is drawn


def test_a_workflow_that_names_treasures_stays_in_its_part():
    facade = RealmFacade("realm", env_conf={"treasure_sets": "train"}, seed=1)
    for _ in range(40):
        facade.reset({"diy": {"treasure_num": 9}})
        treasures = sum(1 << int(point) for point in np.flatnonzero(facade.env.state.asked[0]))
        assert is_in(TRAIN, treasures)
