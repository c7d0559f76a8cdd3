"""Random streams and the seeds of environments, all from `random_seed` by numpy's SeedSequence and its spawn keys.

A stream's key is what it is for and whose it is, so no two uses of `random_seed` share one, and the same run draws the
same numbers again. An environment gets a seed of 31 bits, which emulators, NumPy's old generators and C programs all
take; training's are the upper half of these and evaluation's the lower half, so that no model is judged by an episode
that it was trained on, whatever `random_seed` is and however many aisrv there are.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

EVALUATION_END = 2**30  # evaluation's seeds are below it, training's from it on
END = 2**31  # what every environment takes is below it


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of every run's result: never change one, or give it away again."""

    WEIGHTS = 0  # a network's first weights
    MINIBATCHES = 1  # PPO's order of steps
    ACTING = 2  # actions that explore; by process: its index and its life
    REPLAY_SHARE = 3  # which earlier samples fill up a batch
    MIXING = 4  # how rows of several items are mixed into batches
    TRAINING = 5  # environments that are learned from; by index and life of the aisrv, and by slot
    EVALUATION = 6  # environments of evaluations whose number is no seed by itself
    REDUCED = 7  # seeds that were too large for an environment
    RENEWED = 8  # environments that were made anew in the place of another one; by how often
    POSITIONS = 9  # which positions of stored games MuZero learns from, and their images
    MEMORY = 10  # which games it draws in one process


def generator(seed: int, purpose: Purpose, *whose: int) -> np.random.Generator:
    """The stream of `random_seed` = `seed` for a purpose. whose: numbers >= 0 that tell its users apart."""
    return np.random.default_rng(_sequence(seed, purpose, *whose))


def generator_from(state: Any) -> np.random.Generator:
    """The stream that goes on from a `bit_generator.state` that a file has. Raises ValueError: it is none."""
    found = np.random.default_rng(0)
    try:
        found.bit_generator.state = state
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"{state!r:.80} is no state of a random generator: {type(error).__name__}, {error}") from error
    return found


def training_seeds(seed: int, index: int, life: int, count: int) -> list[int]:
    """The environments' seeds of one aisrv, one for each of its `count` slots, in [2^30, 2^31).

    index: the aisrv's, from 0. life: the number of its life in this run, 0 for the first. A slot's seed depends on
    these and on its own number, not on how many others there are.
    """
    keys = (_sequence(seed, Purpose.TRAINING, index, life, slot) for slot in range(count))
    return [EVALUATION_END + _bits(key) % EVALUATION_END for key in keys]


def evaluation_seeds(first: int, count: int) -> list[int]:
    """The seeds of `count` episodes from the number `first` >= 0 on, all below 2^30.

    A number below 2^30 is its own seed, so that an episode is found again by it; a larger one gives a random seed.
    """
    return [number if number < EVALUATION_END else _reduced(number) for number in range(first, first + count)]


def renewed_seed(seed: int, times: int) -> int:
    """The seed of an environment that was made anew `times` times where `seed` was the first one's.

    It is one of training's if that is.
    """
    drawn = _bits(_sequence(seed, Purpose.RENEWED, times)) % EVALUATION_END
    return drawn if seed < EVALUATION_END else EVALUATION_END + drawn


def within_31_bits(seed: int) -> int:
    """`seed` >= 0 itself if it is below 2^31, else one below 2^31 that depends on all of its bits."""
    return seed if seed < END else _bits(_sequence(seed, Purpose.REDUCED)) % END


def _reduced(number: int) -> int:
    return _bits(_sequence(number, Purpose.EVALUATION)) % EVALUATION_END


def _sequence(seed: int, purpose: Purpose, *whose: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), *whose))


def _bits(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1, np.uint64)[0])
