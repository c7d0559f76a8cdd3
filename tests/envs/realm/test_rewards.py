"""Each line of the table of rewards alone, and all together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.envs.realm.rewards import Events, no_events, write_rewards

STEP = -0.005


def reward(**events) -> float:
    """Of one step in which this happened and nothing else."""
    all_events = no_events(1)
    for name, value in events.items():
        getattr(all_events, name)[0] = value
    out = np.full(1, 77, np.float32)  # poison
    write_rewards(all_events, out)
    return float(out[0])


@pytest.mark.parametrize(
    ("events", "worth"),
    [
        ({}, 0),
        ({"found": 1}, 1),
        ({"found": 2}, 2),
        ({"arrived": True}, 1.5),
        ({"arrived": True, "left": 2}, 1.5 - 1),
        ({"left": 3}, 0),
        ({"late": True, "left": 3}, -1),
        ({"closer": 1.0}, 0.02),
        ({"closer": -1.0}, -0.02),
        ({"visits": 5}, -0.05),
        ({"bumps": 1}, -0.02),
        ({"bumps": 5}, -0.1),
        ({"flashed": True}, -0.1),
        ({"flashed": True, "closer": 4.0}, 0.08 - 0.1),
        ({"flashed": True, "closer": 5.0}, 0.1),
    ],
)
def test_a_line_of_the_table_alone(events, worth):
    assert reward(**events) == pytest.approx(worth + STEP, abs=1e-6)
    assert reward(**events, first=True) == 0, "a reset is no step"


slots = st.fixed_dictionaries(
    {
        "first": st.booleans(),
        "found": st.integers(0, 13),
        "left": st.integers(0, 13),
        "closer": st.integers(-64, 64).map(float),
        "visits": st.integers(0, 5),
        "bumps": st.integers(0, 5),
        "flashed": st.booleans(),
        "arrived": st.booleans(),
        "late": st.booleans(),
    }
)


@given(st.lists(slots, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_reward_is_the_sum_of_its_lines_in_each_slot(given_slots):
    events = no_events(len(given_slots))
    for i, slot in enumerate(given_slots):
        for name in Events._fields:
            getattr(events, name)[i] = slot[name]
    out = np.full(len(given_slots), 77, np.float32)
    write_rewards(events, out)
    for got, e in zip(out, given_slots, strict=True):
        lines = [e["found"], 0.02 * e["closer"], STEP, -0.01 * e["visits"], -0.02 * e["bumps"], -1.0 * e["late"]]
        lines.append(-0.1 if e["flashed"] and e["closer"] < 5 else 0)
        lines.append(1.5 - 0.5 * e["left"] if e["arrived"] else 0)
        assert got == pytest.approx(0 if e["first"] else sum(lines), abs=1e-5)


def test_progress_cannot_be_earned_twice():
    """There and back again is worth nothing but the cost of the steps."""
    assert reward(closer=7.0) + reward(closer=-7.0) == pytest.approx(2 * STEP, abs=1e-6)
