"""What a step in the Realm is worth to a learner. 1 is about what a treasure scores (100 points).

treasure     +1 each: 100 points.
arrival      +1.5: 150 points. Those for the steps left are in the cost of each step: paid at the end, they would make a
             learner that discounts the future leave early.
left behind  -0.5 per treasure at arrival: leaving early must not look good to a learner that discounts the future.
too late     -1: the score is lost; but only what happens at the end, not all that was collected.
progress     0.02 per cell by which the way to the target became shorter; less for a longer one. The only term that is
             felt at every step. Between two pickups it sums up to no more than the way, whatever the detours.
step         -0.005: 0.2 points are lost per step, which is 0.002; a little more, to hurry.
repetition   -0.01 per earlier visit of the cell, at most 5: against walking in circles.
bump         -0.02, and as much more for each in a row, up to 5: a step against a wall is lost, and an agent that does
             not explore may push against it for ever.
flash        -0.1 for a flash that did not bring the target at least 5 cells nearer: it is ready again after 606 steps.

"Target" is the treasure with the shortest way, or the end when none is left, as it was before the step; what is taken
is 0 cells away. Whatever the shaping is, returns in logs and evaluations are true scores.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

TREASURE = 1.0
ARRIVAL, LEFT_BEHIND = 1.5, -0.5
TOO_LATE = -1.0
PROGRESS = 0.02
STEP = -0.005
REPETITION = -0.01
BUMP = -0.02
FLASH_MISUSE, GOOD_FLASH = -0.1, 5.0


class Events(NamedTuple):
    """What happened to N heroes in a step; every array is `[N]`.

    first: bool, it was no step but a reset: the rest means nothing. found: int64 treasures picked up. left: int64
    treasures that are still there. closer: float64 cells by which the way to the target became shorter. visits: int64
    earlier ones of the cell that the hero stands on now, at most 5. bumps: int64, in a row with this one, at most 5; 0:
    it was none. flashed: bool. arrived, late: bool, how the episode ended.
    """

    first: np.ndarray
    found: np.ndarray
    left: np.ndarray
    closer: np.ndarray
    visits: np.ndarray
    bumps: np.ndarray
    flashed: np.ndarray
    arrived: np.ndarray
    late: np.ndarray


def no_events(count: int) -> Events:
    """Room for the events of `count` heroes."""
    kinds = {"closer": float, **dict.fromkeys(("found", "left", "visits", "bumps"), np.int64)}
    return Events(*(np.zeros(count, kinds.get(name, bool)) for name in Events._fields))


@njit(cache=True)
def write_rewards(events: Events, out: np.ndarray) -> None:
    """Writes the sums of the table's lines to float32 `[N]`; 0 for a reset."""
    for i in range(out.shape[0]):
        if events.first[i]:
            out[i] = 0.0
            continue
        reward = STEP + TREASURE * events.found[i] + PROGRESS * events.closer[i]
        reward += REPETITION * events.visits[i] + BUMP * events.bumps[i]
        if events.arrived[i]:
            reward += ARRIVAL + LEFT_BEHIND * events.left[i]
        if events.late[i]:
            reward += TOO_LATE
        if events.flashed[i] and events.closer[i] < GOOD_FLASH:
            reward += FLASH_MISUSE
        out[i] = reward
