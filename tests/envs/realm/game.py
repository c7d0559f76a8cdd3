"""Hand-made worlds and one hero in them, for tests of the rules."""

from __future__ import annotations

import numpy as np

from kaimesh.envs.realm import core
from kaimesh.envs.realm.map import RealmMap
from kaimesh.envs.realm.task import task_of

EAST, NORTH_EAST, NORTH, NORTH_WEST, WEST, SOUTH_WEST, SOUTH, SOUTH_EAST = range(8)
FLASH = 8

# far from each other: rows of four in the lower left half of a 64 x 64 world; 0 lies in the middle
SPREAD = [(32, 32), *[(4 + 8 * (n % 4), 4 + 8 * (n // 4)) for n in range(15)]]


def open_world(size: int = 64, walls=(), points=None) -> RealmMap:
    """A free square with a wall around it. walls: (x, z, width, height) in cells. points: other than SPREAD's."""
    walkable = np.zeros((size, size), bool)
    walkable[1:-1, 1:-1] = True
    for x, z, width, height in walls:
        walkable[z : z + height, x : x + width] = False
    cells = np.array([(points or {}).get(n, cell) for n, cell in enumerate(SPREAD)])
    return RealmMap(walkable, cells, "open")


class Game:
    """One hero. `state` is read as scalars: game.x, game.flash_wait and so on."""

    def __init__(self, realm: RealmMap, seed: int = 1, **conf) -> None:
        self.world = core.world_of(realm)
        self.state = core.new_state(1, realm.size)
        self.state.random[:] = seed
        self.task = task_of("realm", {"treasure_random": 0, **conf})
        self._out = np.zeros(1, np.float32), np.zeros(1, bool), np.zeros(1, bool)
        self.reset()

    def reset(self) -> None:
        core.reset_all(self.world, self.state, self.task)

    def step(self, action: int) -> tuple[float, bool, bool]:
        for out in self._out:
            out[:] = 77  # poison
        core.step(self.world, self.state, self.task, np.array([action]), *self._out)
        return tuple(out[0].item() for out in self._out)

    def place(self, x: float, z: float) -> None:
        """Puts the hero somewhere, in units."""
        self.state.x[0], self.state.z[0] = x, z

    @property
    def position(self) -> tuple[float, float]:
        return self.x, self.z

    def __getattr__(self, name: str):
        return getattr(self.state, name)[0]
