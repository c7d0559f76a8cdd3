"""Seeds arrive where they belong: one for each slot, in the range that an environment takes."""

from __future__ import annotations

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.contract.seeds import END, training_seeds, within_31_bits
from tests.envs.own import Boxed

APPS = [
    "ale:pong",
    "procgen:coinrun",
    "gym:CartPole-v1",
    "gym:LunarLander-v3",
    "minigrid:LavaGapS5",
    "realm-mini",
    "catch",
]
LARGE = [END - 1, END, 2**63 - 1]


def first(app: str, seed: int | list[int], count: int = 1) -> np.ndarray:
    """What is seen first, and after some steps, of `count` slots."""
    env = envs.make_vector(app, count, seed=seed)
    seen = [env.reset()[0].copy()]
    seen += [env.step(np.full(count, 1))[0].copy() for _ in range(3)]
    env.close()
    return np.stack(seen)


@pytest.mark.parametrize("app", APPS)
def test_every_environment_takes_every_seed(app: str) -> None:
    seen = [first(app, seed) for seed in LARGE]
    np.testing.assert_array_equal(seen[-1], first(app, LARGE[-1]))
    first(app, training_seeds(2**40, 3, 1, 2), count=2)
    if app == "gym:LunarLander-v3":  # which never begins alike
        assert len({one.tobytes() for one in seen}) == len(LARGE)


def test_an_emulators_seed_is_reduced_for_each_slot() -> None:
    """ale-py takes seeds of 31 bits; a larger one of any slot becomes one of these."""
    env = envs.make_vector("ale:breakout", 2)
    for seed, taken in ((END - 1, [END - 1, within_31_bits(END)]), ([7, 2**50], [7, within_31_bits(2**50)])):
        np.testing.assert_array_equal(env.reset(seed=seed)[0], env.reset(seed=taken)[0])


def test_each_slot_gets_its_own_seed_and_one_generator_the_first() -> None:
    Boxed.seeds.clear()
    env = envs.make_vector("tests.envs.own:Boxed", 3, seed=[9, 4, 2**40])
    env.reset()
    assert Boxed.seeds == [9, 4, 2**40]
    env.reset()
    assert Boxed.seeds == [9, 4, 2**40], "later episodes go on in the same streams"
    one = envs.make_vector("gym:CartPole-v1", 3, seed=[9, 4, 1]).reset()[0]
    np.testing.assert_array_equal(one, envs.make_vector("gym:CartPole-v1", 3, seed=9).reset()[0])
