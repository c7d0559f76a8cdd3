"""What the realm tells an evaluation about an episode, see kaimesh.envs.reports."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kaimesh.envs.realm.core import State
from kaimesh.envs.realm.map import RealmMap
from kaimesh.envs.realm.oracle import Optimum, optimum


def report(realm: RealmMap, state: State, i: int) -> dict[str, float]:
    """Of environment i, whose episode is over: its score as a share of the best that anybody could do with that start,
    end, treasures and time, flashes and buffs included; whether the hero arrived; what he missed, bumped into and used.

    Where not even arriving is possible in time, the share is 1.
    """
    asked = np.flatnonzero(state.asked[i])
    best = _optimum(realm, int(state.start[i]), int(state.end[i]), tuple(asked.tolist()), int(state.max_step[i]))
    score = float(state.score[i])
    return {
        "share_of_optimum": score / best.score if best.score else 1.0,
        "arrived": bool(state.over[i]) and score > 0.0,  # after a timeout the score is 0
        "treasures_missed": len(asked) - int(state.treasures[i]),
        "bumps": int(state.bumps[i]),
        "flashes": int(state.flashes[i]),
        "buffs": int(state.buffs[i]),
        "treasures": int(state.treasures[i]),
        "optimum": best.score,
        "optimum_steps": best.steps,
    }


@lru_cache(maxsize=4096)  # a millisecond each with 9 treasures, 50 with 13; there are 1287 sets of 5
def _optimum(realm: RealmMap, start: int, end: int, treasures: tuple[int, ...], max_step: int) -> Optimum:
    return optimum(realm, start=start, end=end, treasures=treasures, max_step=max_step)
