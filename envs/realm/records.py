"""What Kaiwu's workflows read of a step, under the names of generation G1; made only when it is read.

A `Moment` keeps the numbers of one step, so that an observation stays what it was while the game goes on. Where the
contract has a list of numbers, it is a list of Python numbers.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from kaimesh.envs.realm import views
from kaimesh.envs.realm.core import ARRIVAL, BUFF_STEPS, FULL_MEMORY, PER_STEP_LEFT, PER_TREASURE, RADIUS, State, World
from kaimesh.envs.realm.map import BUFF, CELL, POINTS
from kaimesh.envs.realm.views import VIEW

HERO_ID, TREASURE, BUFF_ORGAN, FLASH_TALENT = 112, 1, 2, 1
FRAMES_PER_STEP = 3


class Position(NamedTuple):
    """x to the East, z to the North."""

    x: float
    z: float


class RelativePosition(NamedTuple):
    """Where something lies: `direction` 1 East .. 8 South-East counter-clockwise; classes 1..5 of its straight distance
    and of its way; its way in cells / (2 * size). What is not there has direction 0, classes 5 and exactly 1.0.
    """

    direction: int
    l2_distance: int
    path_distance: int
    grid_distance: float


ABSENT = RelativePosition(0, views.CLASSES, views.CLASSES, 1.0)


class Score(NamedTuple):
    """`score`: what treasures and arrival were worth so far; `total_score` adds the steps left, and is 0 after a
    timeout.
    """

    score: float
    total_score: float
    treasure_count: int
    buff_count: int
    talent_count: int


class Talent(NamedTuple):
    """The flash: `status` 1 is ready; `cooldown` in steps."""

    talent_type: int
    status: int
    cooldown: int


class Hero(NamedTuple):
    """`pos` in whole units; `speed_up` 1 while the buff lasts."""

    hero_id: int
    pos: Position
    speed_up: int
    talent: Talent


class Organ(NamedTuple):
    """A treasure (`sub_type` 1) or the buff (2): `status` 1 is there, 0 is taken; `cooldown` in steps.

    The place is not told.
    """

    sub_type: int
    config_id: int
    status: int
    pos: Position
    cooldown: int


class FrameState(NamedTuple):
    """`frame_no` is 1 + 3 per step; `heroes` has one."""

    frame_no: int
    heroes: list[Hero]
    organs: list[Organ]


class GameInfo(NamedTuple):
    """The game in numbers; `treasure_count` are collected ones; `pos` in whole units."""

    score: float
    total_score: float
    step_no: int
    pos: Position
    treasure_count: int
    treasure_score: float
    buff_count: int
    talent_count: int
    buff_remain_time: int
    buff_duration: int


class Moment:
    """The numbers of environment 0 after one step. memory: uint8 `[51, 51]` visits around the hero."""

    def __init__(self, world: World, state: State, arrived: bool, late: bool) -> None:
        self.world = world
        self.x, self.z = state.x[0].item(), state.z[0].item()
        self.step, self.start, self.end = int(state.step[0]), int(state.start[0]), int(state.end[0])
        self.asked, self.present = state.asked[0].tolist(), state.present[0].tolist()
        self.buff_left, self.buff_wait = state.buff_left[0].item(), state.buff_wait[0].item()
        self.flash_wait = state.flash_wait[0].item()
        self.counts = state.treasures[0].item(), state.buffs[0].item(), state.flashes[0].item()
        self.column, self.row = int(self.x // CELL), int(self.z // CELL)
        self.memory = state.memory[0, self.row : self.row + VIEW, self.column : self.column + VIEW].copy()
        left = state.max_step[0].item() - self.step
        self.points_won = PER_TREASURE * self.counts[0] + ARRIVAL * arrived
        self.total_score = 0.0 if late else self.points_won + PER_STEP_LEFT * left

    @property
    def size(self) -> int:
        """Cells per side of the world."""
        return int(self.world.walkable.shape[0])

    @property
    def frame_no(self) -> int:
        """1 at the start, then 3 per step."""
        return 1 + FRAMES_PER_STEP * self.step

    @property
    def score(self) -> Score:
        """What `step` returns as score."""
        return Score(self.points_won, self.total_score, *self.counts)

    @property
    def position(self) -> Position:
        """In whole units."""
        return Position(int(self.x), int(self.z))

    def relative(self, point: int, there: bool = True) -> RelativePosition:
        """Where a point lies, seen from the hero."""
        if not there:
            return ABSENT
        far_x, far_z = self.world.points[point, 0] - self.x, self.world.points[point, 1] - self.z
        cells, size = int(self.world.distances[point, self.row, self.column]), self.size
        return RelativePosition(
            views.direction_to(far_x, far_z),
            views.straight_class(far_x, far_z, size),
            views.way_class(cells, size),
            views.way_share(cells, size),
        )

    def marked(self, points: list[int]) -> list[int]:
        """A flat 51 x 51 map with 1 at the cells of these points."""
        cells = [0] * (VIEW * VIEW)
        for point in points:
            x, z = self.world.points[point] // CELL
            row, column = int(z) - self.row + RADIUS, int(x) - self.column + RADIUS
            if 0 <= row < VIEW and 0 <= column < VIEW:
                cells[row * VIEW + column] = 1
        return cells


class Feature:
    """`obs.feature`. Flat maps reshape to `[51, 51]` as `[25 + dz][25 + dx]`."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment

    @cached_property
    def norm_pos(self) -> Position:
        """Units / the world's length, 0..1, with the fraction of a unit."""
        length = self._moment.size * CELL
        return Position(self._moment.x / length, self._moment.z / length)

    @cached_property
    def grid_pos(self) -> Position:
        """The cell; Kaiwu's axes are swapped here: x is the row."""
        return Position(self._moment.row, self._moment.column)

    @cached_property
    def start_pos(self) -> RelativePosition:
        """Where the episode began."""
        return self._moment.relative(self._moment.start)

    @cached_property
    def end_pos(self) -> RelativePosition:
        """Where it shall end."""
        return self._moment.relative(self._moment.end)

    @cached_property
    def buff_pos(self) -> RelativePosition:
        """The buff, absent until it returns."""
        return self._moment.relative(BUFF, self._moment.buff_wait == 0)

    @cached_property
    def treasure_pos(self) -> list[RelativePosition]:
        """15 entries, the point's number - 1; absent: no treasure is there, or no longer."""
        present = self._moment.present
        return [self._moment.relative(n, present[n] != 0) for n in range(1, POINTS)]

    @cached_property
    def obstacle_map(self) -> list[int]:
        """1 passable, 0 wall or outside."""
        moment = self._moment
        window = moment.world.ground[moment.row : moment.row + VIEW, moment.column : moment.column + VIEW]
        return window.reshape(-1).tolist()  # type: ignore[no-any-return]

    @cached_property
    def treasure_map(self) -> list[int]:
        """1 where a treasure lies."""
        return self._moment.marked([n for n in range(1, POINTS) if self._moment.present[n]])

    @cached_property
    def end_map(self) -> list[int]:
        """1 at the end."""
        return self._moment.marked([self._moment.end])

    @cached_property
    def memory_map(self) -> list[float]:
        """0.2 per visit, at most 1; the visit of this step is not yet counted."""
        return (self._moment.memory.reshape(-1) / FULL_MEMORY).tolist()  # type: ignore[no-any-return]


class Observation:
    """`obs`: `feature`, and `legal_act` as [1, 1 if the flash is ready else 0]."""

    def __init__(self, moment: Moment) -> None:
        self.feature = Feature(moment)
        self.legal_act = [1, int(moment.flash_wait == 0)]


class EnvInfo:
    """`env_info`: `frame_state` and `game_info`."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment

    @cached_property
    def frame_state(self) -> FrameState:
        """The hero and what lies in the world."""
        moment = self._moment
        talent = Talent(FLASH_TALENT, int(moment.flash_wait == 0), moment.flash_wait)
        hero = Hero(HERO_ID, moment.position, int(moment.buff_left > 0), talent)
        nowhere = Position(0, 0)
        organs = [Organ(TREASURE, n, moment.present[n], nowhere, 0) for n in range(1, POINTS) if moment.asked[n]]
        organs.append(Organ(BUFF_ORGAN, BUFF, int(moment.buff_wait == 0), nowhere, moment.buff_wait))
        return FrameState(moment.frame_no, [hero], organs)

    @cached_property
    def game_info(self) -> GameInfo:
        """The game in numbers."""
        moment = self._moment
        treasures, buffs, flashes = moment.counts
        return GameInfo(
            score=moment.points_won,
            total_score=moment.total_score,
            step_no=moment.step,
            pos=moment.position,
            treasure_count=treasures,
            treasure_score=PER_TREASURE * treasures,
            buff_count=buffs,
            talent_count=flashes,
            buff_remain_time=moment.buff_left,
            buff_duration=BUFF_STEPS,
        )
