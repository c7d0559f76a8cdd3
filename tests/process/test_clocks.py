"""Ages and intervals that a jump of the wall clock does not change; both clocks are given."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from kaimesh.process import clocks
from kaimesh.process.clocks import SteadyClock, age_s, read_on, stamp

SECONDS = st.floats(0.0, 1e6)
JUMPS = st.lists(st.tuples(SECONDS, st.floats(-1e8, 1e8)), max_size=10)  # seconds that pass, then by how much it is set


class Machine:
    """Its two clocks."""

    def __init__(self) -> None:
        self.wall_s, self.clock_s = 1.7e9, 500.0

    def wall(self) -> float:
        return self.wall_s

    def clock(self) -> float:
        return self.clock_s

    def live(self, seconds: float, jump: float) -> None:
        self.wall_s += seconds + jump
        self.clock_s += seconds


@given(JUMPS)
def test_a_file_is_as_old_as_it_is_whatever_the_wall_clock_says(jumps: list[tuple[float, float]]) -> None:
    machine = Machine()
    written = stamp(machine.wall(), machine.clock)
    for seconds, jump in jumps:
        machine.live(seconds, jump)
    age = age_s(written, machine.wall(), machine.clock)
    assert math.isclose(age, sum(seconds for seconds, _ in jumps), abs_tol=1e-3)
    assert math.isclose(read_on(written, machine.wall(), machine.clock), 1.7e9 + age, abs_tol=1e-3)


@given(JUMPS, JUMPS)
def test_a_steady_clock_goes_on_in_the_next_life_of_its_process(
    first: list[tuple[float, float]], second: list[tuple[float, float]]
) -> None:
    machine = Machine()
    clock = SteadyClock({}, machine.wall, machine.clock)
    for seconds, jump in first:
        machine.live(seconds, jump)
    kept = clock.stamp()
    machine.live(5.0, -1e7)  # while nobody lives to see it
    clock = SteadyClock(kept, machine.wall, machine.clock)
    for seconds, jump in second:
        machine.live(seconds, jump)
    passed = 5.0 + sum(seconds for seconds, _ in (*first, *second))
    assert math.isclose(clock(), 1.7e9 + passed, abs_tol=1e-2)


def test_what_another_start_of_the_machine_wrote_is_as_old_as_the_wall_clock_says() -> None:
    written = {"time": 100.0, "clock": 900.0, "boot": "another"}
    assert age_s(written, 160.0, lambda: 950.0) == 60.0
    assert age_s({"time": 100.0}, 160.0) == 60.0
    assert age_s({"time": 100.0}, 40.0) == 0.0
    assert age_s({}, 160.0) == age_s({"time": None, "clock": "x", "boot": clocks.boot()}, 160.0) == math.inf
