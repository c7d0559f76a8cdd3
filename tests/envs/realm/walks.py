"""Heroes that walk, and what their features and rewards should be, computed from the game's own state."""

from __future__ import annotations

import math

import numpy as np

from kaimesh.envs.realm.features import RealmFeatures
from kaimesh.envs.realm.map import RealmMap
from kaimesh.envs.realm.vector import Realm
from kaimesh.envs.vector import MeshVectorEnv


class Walk:
    """`count` heroes of the Realm and what RealmFeatures makes of them; `state` is the game's own."""

    def __init__(self, count: int = 1, seed: int = 1, *, preset: str = "realm-mini", **conf) -> None:
        self.realm = Realm(count, preset=preset, observation="bytes", **conf)
        self.size, self.state, self.world = self.realm.map.size, self.realm.state, self.realm.world
        self.env = MeshVectorEnv(self.realm, preset)
        self.features = RealmFeatures(count, self.env.spaces, self.size)
        self.observations, _ = self.env.reset(seed=seed)
        self.seen = self.features.reset(self.observations)
        self.terminated = self.truncated = np.zeros(count, bool)

    def step(self, actions) -> np.ndarray:
        """The shaped rewards."""
        actions = np.asarray(actions)
        self.observations, rewards, self.terminated, self.truncated, _ = self.env.step(actions)
        results = self.terminated, self.truncated
        self.seen, shaped = self.features.step(self.observations, actions, rewards, *results)
        return shaped

    def place(self, x: float, z: float) -> None:
        """Puts the first hero anywhere, in units, and starts his episode there, also off the middle of a cell."""
        self.state.x[0], self.state.z[0] = x, z
        observations, *_ = self.realm._observe(self.world, self.state)
        nothing = np.zeros(1, bool)
        self.features._past.over[:] = True
        self.seen, _ = self.features.step(observations[None], np.zeros(1, int), np.zeros(1), nothing, nothing)


def on_map(tmp_path, realm: RealmMap, **conf) -> Walk:
    """A hero on that map."""
    path = tmp_path / "map.json"
    realm.save(path)
    return Walk(map_file=str(path), **conf)


def cell_of(walk: Walk, i: int) -> tuple[int, int]:
    """Row and column."""
    return int(walk.state.z[i] // 500), int(walk.state.x[i] // 500)


def way(walk: Walk, i: int, point: int) -> int:
    """In cells, as far as it is told."""
    return min(int(walk.world.distances[point][cell_of(walk, i)]), 2 * walk.size - 1)


def target(walk: Walk, i: int) -> int:
    """The point to go for: the treasure with the shortest way, the lowest number among equals; without one, the end."""
    there = [n for n in range(1, 16) if walk.state.present[i, n]]
    return min(there, key=lambda n: way(walk, i, n)) if there else int(walk.state.end[i])


def wanders(walk: Walk, rng: np.random.Generator) -> np.ndarray:
    """Actions so that everything happens: mostly towards the targets, else at random, into walls, flashes."""
    actions = rng.integers(0, 8, len(walk.seen))
    for i in range(len(actions)):
        row, column = cell_of(walk, i)
        field = np.pad(walk.world.distances[target(walk, i)].astype(int), 1, constant_values=65535)
        around = [field[row + 1 + dz, column + 1 + dx] for dx, dz in ((1, 0), (0, 1), (-1, 0), (0, -1))]
        if rng.random() < 0.8:
            actions[i] = 2 * int(np.argmin(around))
    return actions + 8 * (rng.random(len(actions)) < 0.05)


def rays(walk: Walk, x: float, z: float) -> np.ndarray:
    """What the 16 rays from (x, z), in cells, see / 12 cells, felt every half cell."""
    angle, far = np.arange(16)[:, None] * math.pi / 8, np.arange(1, 25) / 2
    columns = np.floor(np.round(x + np.cos(angle) * far, 9)).astype(int)  # [16, 24]
    rows = np.floor(np.round(z + np.sin(angle) * far, 9)).astype(int)
    return np.cumprod(walk.world.ground[rows + 25, columns + 25], axis=1).sum(1) / 24
