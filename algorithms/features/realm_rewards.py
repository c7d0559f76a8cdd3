"""What a step in the Realm is worth to a learner. 1 is about what a treasure scores (100 points).

| term | worth | reason |
|---|---|---|
| treasure | +1 each | 100 points |
| arrival | +1, and 0.002 per step left | 150 points and 0.2 per step left |
| left behind | -0.5 per treasure at arrival | leaving early must not look good to one who discounts the future |
| too late | -1 | the score is lost; but only what happens at the end, not all that was collected |
| progress | 0.02 per cell that the way to the target became shorter, or longer | the only term that is felt at every step; within an episode with one target it sums up to the way, whatever the detours |
| step | -0.005 | 0.2 points are lost per step; a little more, to hurry |
| repetition | -0.01 per earlier visit of the cell, at most 5 | walking in circles |
| bump | -0.02 | a step against a wall is lost |
| flash misuse | -0.1 | unless it brought the target at least 5 cells nearer: it is ready again after 606 steps |

"Target" is the treasure with the shortest way, or the end when none is left (features.realm.nearest_target). Whatever the
shaping is, returns in logs and evaluations are true scores.
"""

from __future__ import annotations

from numba import njit

TREASURE = 1.0
ARRIVAL, STEP_LEFT, LEFT_BEHIND = 1.0, 0.002, -0.5
TOO_LATE = -1.0
PROGRESS = 0.02
STEP = -0.005
REPETITION = -0.01
WALL = -0.02
FLASH_MISUSE, GOOD_FLASH = -0.1, 5.0

MAX_STEP = 2000


@njit(cache=True)
def reward_of(
    found: int,
    arrived: bool,
    late: bool,
    left: int,
    time_left: float,
    closer: float,
    visits: int,
    bump: bool,
    flashed: bool,
) -> float:
    """The shaped reward of one step.

    found: treasures picked up. left: treasures that are still there. time_left: share of the episode's steps. closer: cells by which
    the way to the target became shorter. visits: earlier ones of the cell that the hero stands on now.
    """
    reward = TREASURE * found + PROGRESS * closer + STEP + REPETITION * visits
    if bump:
        reward += WALL
    if flashed and closer < GOOD_FLASH:
        reward += FLASH_MISUSE
    if arrived:
        reward += ARRIVAL + STEP_LEFT * MAX_STEP * time_left + LEFT_BEHIND * left
    if late:
        reward += TOO_LATE
    return reward
