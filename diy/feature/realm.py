"""The realm ("Back to the Realm"): features from what the contest shows, and the rewards that are learned from.

definition.py calls this file for observations that have `treasure_pos`; docs/realm.md describes the game. All of it
runs in aisrv, in the workflow's thread. What a reward must remember is in a `Shaping`, one for each episode.

The features, float32 `[F]`. To add your own, append them to the list in `features` below; nothing else needs to change.

| numbers | what |
|---|---|
| 2 | x and z as shares of the world |
| 2 | x and z as shares of the cell that the hero is in; who pushes against a wall stays at the cell's edge |
| 64 + 256 | his column and row in 32 stripes each, and his tile of 16 x 16, one-hot: so a network learns a fixed map |
| 1 | 1 if the flash is ready |
| 5 each | end, buff, treasures 1..15: is it there, cosine and sine of its direction, straight distance, way |
| 16 + 5 | the target of the next steps: which one it is, one-hot, and the same five numbers of it |
| 121 | 11 x 11 cells around the hero: 1 free, 0 wall |
| 8 | how far the hero sees in each direction before a wall, up to 25 cells |
| 8 | for each direction, whether the place where a flash would land, 16 cells away, is free |
| 25 | 5 x 5 cells around the hero: how often he was there |

The target is the treasure with the shortest way, or the end if there is none left.

The reward of a step is the sum of these terms, where 1 is 100 points of the contest's score. The first four are that
score itself. The others help on the way to it, and are yours to change (`Shaping` below).

treasure    +1 for each one taken: the score's 100.
arrival     +1.5: the score's 150.
timeout     -1 for each treasure taken before: the score drops to 0, so what was collected is lost.
step        -0.002: the score's 0.2 per step left.
progress    0.03 for each cell by which the way to the target became shorter. The terms above come too rarely to begin
            with. A step is one or two cells, so this must outweigh the small terms below. Walking in circles gains
            nothing, for what is gained on the way there is lost on the way back. When a treasure is taken, from up to
            1000 units away, the rest of the way to it counts as well.
repetition  -0.005 x `memory_map` where the hero now stands (0.2 per visit, at most 1). He should not stay or come back
            without need; it is small, because some ways lead through old places.
bump        -0.01 for a move of 500 units or less: a wall stopped him. Without this, pushing against a wall would cost
            no more than walking.
flash       -0.1 for a flash after which the way is not 8 cells shorter. It is ready only every 606 steps, so one that
            walking could replace is wasted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kaimesh.agent import Observation

from ..config import Config

VIEW, MIDDLE = 51, 25  # cells of a map's side, and where the hero is
WINDOW = 5  # cells to each side in the window of walls
FLASH_CELLS = 16  # how far a flash goes
BUMP_UNITS = 500  # a move of so many or fewer was stopped by a wall
STRIPES, TILES = 32, 16

# The eight directions as (row, column) of a map: East first, then counter-clockwise.
STEPS = np.array([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)])  # [8, 2]
_rays = MIDDLE + np.arange(1, MIDDLE + 1)[:, None, None] * STEPS  # [25, 8, 2]: the cells seen in each direction
_goals = MIDDLE + np.rint(STEPS * (FLASH_CELLS / np.linalg.norm(STEPS, axis=1))[:, None]).astype(int)  # [8, 2]


def is_realm(raw_obs: Observation) -> bool:
    """Whether this observation is the realm's."""
    return hasattr(raw_obs.feature, "treasure_pos")


def features(raw_obs: Observation) -> np.ndarray:
    """float32 `[F]`, see the table above."""
    seen = raw_obs.feature
    place = np.array([seen.norm_pos.x, seen.norm_pos.z])
    column, row = (place * STRIPES).astype(int)
    tile_x, tile_z = (place * TILES).astype(int)
    target = _target(_ways(raw_obs))
    free = np.asarray(seen.obstacle_map, np.float32).reshape(VIEW, VIEW)
    visits = np.asarray(seen.memory_map, np.float32).reshape(VIEW, VIEW)
    rows, columns = _rays[..., 0], _rays[..., 1]
    sight = np.cumprod(free[rows, columns], axis=0).sum(0) / MIDDLE  # [8]
    parts: list[np.ndarray | list[float]] = [
        place,
        place * Config.WORLD % 1,
        _one_hot(column, STRIPES),
        _one_hot(row, STRIPES),
        _one_hot(tile_z * TILES + tile_x, TILES**2),
        [raw_obs.legal_act[1]],
        *map(_towards, (seen.end_pos, seen.buff_pos, *seen.treasure_pos)),
        _one_hot(target, 16),
        _towards(seen.treasure_pos[target - 1] if target else seen.end_pos),
        _around(free, WINDOW).reshape(-1),
        sight,
        free[_goals[:, 0], _goals[:, 1]],
        _around(visits, 2).reshape(-1),
    ]
    vector: np.ndarray = np.concatenate(parts).astype(np.float32)
    return vector


def legal_actions(raw_obs: Observation) -> np.ndarray:
    """bool `[16]`: the contest says [may walk, may flash]; actions 0..7 walk, 8..15 flash."""
    return np.repeat(np.asarray(raw_obs.legal_act, bool), 8)


def _towards(relative: Any) -> list[float]:
    """relative: kaimesh.envs.realm.records.RelativePosition."""
    if relative.direction == 0:  # not there
        return [0.0, 0.0, 0.0, 1.0, 1.0]
    angle = (relative.direction - 1) * math.pi / 4
    return [1.0, math.cos(angle), math.sin(angle), relative.l2_distance / 5, relative.grid_distance]


def _one_hot(number: int, size: int) -> np.ndarray:
    row: np.ndarray = np.arange(size) == number
    return row


def _around(cells: np.ndarray, radius: int) -> np.ndarray:
    part = slice(MIDDLE - radius, MIDDLE + radius + 1)
    window: np.ndarray = cells[part, part]
    return window


class Shaping:
    """The rewards of one episode, see the list above. raw_obs: its first observation.

    totals: the sum of each term so far. Look at them in TensorBoard before you change a weight.
    """

    TREASURE, ARRIVAL, STEP = 1.0, 1.5, -0.002
    PROGRESS, REPETITION, BUMP, FLASH = 0.03, -0.005, -0.01, -0.1
    FLASH_SAVES = 8  # cells

    def __init__(self, raw_obs: Observation) -> None:
        self._ways = _ways(raw_obs)
        self._treasures = self._flashes = 0
        self._place: tuple[float, float] | None = None  # in units; the first observation does not tell it
        self.totals: dict[str, float] = {}

    def reward(self, raw_obs: Observation, score: object, terminated: int, truncated: int, env_info: Any) -> float:
        """The reward of a step, from what `env.step` returned."""
        del score  # env_info has the same numbers
        game = env_info.game_info
        place, ways = (game.pos.x, game.pos.z), _ways(raw_obs)
        target = _target(self._ways)
        saved = self._ways[target] - ways.get(target, 0.0)  # a target that was taken has no way left
        saved *= 2 * Config.WORLD  # now in cells: a grid_distance of 1 is twice the world's size
        visits = raw_obs.feature.memory_map[MIDDLE * VIEW + MIDDLE]
        flashed = game.talent_count > self._flashes
        bumped = self._place is not None and not flashed and math.dist(place, self._place) <= BUMP_UNITS
        terms: dict[str, float] = {
            "treasure": self.TREASURE * (game.treasure_count - self._treasures),
            "arrival": self.ARRIVAL * terminated,
            "timeout": -self.TREASURE * game.treasure_count * truncated,
            "step": self.STEP,
            "progress": self.PROGRESS * saved,
            "repetition": self.REPETITION * visits,
            "bump": self.BUMP * bumped,
            "flash": self.FLASH * (flashed and saved < self.FLASH_SAVES),
        }
        self._ways, self._treasures, self._flashes, self._place = ways, game.treasure_count, game.talent_count, place
        for name, value in terms.items():
            self.totals[name] = self.totals.get(name, 0.0) + value
        return sum(terms.values())


def _target(ways: dict[int, float]) -> int:
    return min(ways, key=lambda point: ways[point])


def _ways(raw_obs: Observation) -> dict[int, float]:
    """`grid_distance` of each treasure that is there, by its number; if none is, of the end, under 0."""
    treasures = enumerate(raw_obs.feature.treasure_pos, start=1)
    ways = {point: seen.grid_distance for point, seen in treasures if seen.direction != 0}
    return ways or {0: raw_obs.feature.end_pos.grid_distance}
