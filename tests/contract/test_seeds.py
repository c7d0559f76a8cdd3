"""Streams and seeds: apart by purpose, process, life and slot, and evaluation's never one of training's."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kaimesh.arena.arguments import SEED
from kaimesh.contract.seeds import (
    END,
    EVALUATION_END,
    Purpose,
    evaluation_seeds,
    generator,
    renewed_seed,
    training_seeds,
    within_31_bits,
)

EDGES = [0, 1, 2**30, 2**31, 2**32, SEED]
NUMBERS = st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 2**20), st.sampled_from(EDGES))


@settings(max_examples=40)
@given(
    seed=NUMBERS,
    aisrv_count=st.integers(1, 16),
    slots=st.integers(1, 32),
    lives=st.lists(st.one_of(st.integers(0, 20), st.integers(0, 2**32)), min_size=1, max_size=3),
    first=NUMBERS,
    episodes=st.integers(1, 200),
)
@example(seed=1, aisrv_count=2, slots=16, lives=[0], first=SEED, episodes=20)  # met in 14 of 20
@example(seed=2**62, aisrv_count=3, slots=4, lives=[0, 1], first=2**30 - 3, episodes=9)
def test_no_episode_of_an_evaluation_was_trained_on(
    seed: int, aisrv_count: int, slots: int, lives: list[int], first: int, episodes: int
) -> None:
    places = product(range(aisrv_count), lives)
    trained = {one for index, life in places for one in training_seeds(seed, index, life, slots)}
    trained |= {renewed_seed(one, times) for one in sorted(trained)[:20] for times in (1, 2)}
    judged = evaluation_seeds(first, episodes)
    assert len(judged) == episodes
    assert not trained & set(judged)
    assert all(0 <= one < EVALUATION_END for one in judged)
    assert all(EVALUATION_END <= one < END for one in trained)


def test_every_slot_of_every_life_of_every_aisrv_has_a_seed_of_its_own() -> None:
    """By chance two of so many may be equal; these are not."""
    for seed in (0, 1, 7, 2**40):
        places = list(product(range(8), range(3)))
        seeds = [one for index, life in places for one in training_seeds(seed, index, life, 32)]
        assert len(set(seeds)) == len(seeds)


def test_a_slots_seed_does_not_depend_on_how_many_there_are() -> None:
    assert training_seeds(3, 1, 0, 4) == training_seeds(3, 1, 0, 9)[:4]
    assert training_seeds(3, 1, 0, 4) != training_seeds(4, 1, 0, 4)


def test_an_episode_is_found_again_by_its_seed() -> None:
    assert evaluation_seeds(SEED, 3) == [SEED, SEED + 1, SEED + 2]
    (far,) = evaluation_seeds(2**40 + 5, 1)
    assert evaluation_seeds(far, 1) == [far]


@given(seed=NUMBERS)
def test_what_an_emulator_takes_stays_and_the_rest_is_reduced_by_all_of_its_bits(seed: int) -> None:
    assert 0 <= within_31_bits(seed) < END
    if seed < END:
        assert within_31_bits(seed) == seed
    else:
        assert within_31_bits(seed) != within_31_bits(seed ^ 1 << 40)


def test_streams_are_apart_and_come_again() -> None:
    whose = [(), (0,), (1,), (0, 0), (0, 1), (1, 0)]
    keys = [(seed, purpose, *who) for seed in (0, 1, 2**33 + 1) for purpose in Purpose for who in whose]
    draws = {key: tuple(generator(*key).integers(0, 2**63, 2)) for key in keys}  # type: ignore[arg-type]
    assert len(set(draws.values())) == len(keys)
    assert draws == {key: tuple(generator(*key).integers(0, 2**63, 2)) for key in keys}  # type: ignore[arg-type]
    plain = {tuple(np.random.default_rng(seed).integers(0, 2**63, 2)) for seed in (0, 1, [1, 2])}
    assert not plain & set(draws.values())
