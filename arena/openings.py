"""How games of a match begin: who sits where, and plies of chance.

Games of the same number have the same seed and opening in every seat, so that luck with an opening is shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kaimesh.arena.scene import Scene
from kaimesh.contract.errors import ConfigError

TRIES = 100  # of an opening that must not end its game


class Fixture(NamedTuple):
    """A game to be played. seat: the model's. opening: the first actions, which are nobody's choice."""

    seat: int
    seed: int
    opening: tuple[int, ...] = ()


def fixtures(scene: Scene, seats: Sequence[int], seeds: Sequence[int], plies: int) -> list[Fixture]:
    """A game of each seed in each seat, seats in turn. plies: of chance, at its beginning.

    Raises ConfigError: games hardly ever last for so many.
    """
    openings = _openings(scene, seeds, plies) if plies else [()] * len(seeds)
    return [Fixture(seat, *begun) for begun in zip(seeds, openings, strict=True) for seat in seats]


def _openings(scene: Scene, seeds: Sequence[int], plies: int) -> list[tuple[int, ...]]:
    env = scene.slot()
    count = env.spaces.action_size

    def drawn(seed: int, random: np.random.Generator) -> tuple[int, ...] | None:
        """None: the game would be over."""
        env.reset(seed=seed)
        actions = []
        for _ in range(plies):
            legal = np.ones(count, bool) if env.legal_actions is None else env.legal_actions[0]
            actions.append(int(random.choice(np.flatnonzero(legal))))
            _, _, terminated, truncated, _ = env.step(np.array(actions[-1:]))
            if terminated[0] or truncated[0]:
                return None
        return tuple(actions)

    def opening(seed: int) -> tuple[int, ...]:
        random = np.random.default_rng([seed, plies])
        for _ in range(TRIES):
            if (found := drawn(seed, random)) is not None:
                return found
        raise ConfigError(
            f"--random-plies {plies}: {TRIES} random games of {scene.app} in a row were over by then, so no game was "
            "played. Name fewer."
        )

    try:
        return [opening(seed) for seed in seeds]
    finally:
        env.close()
