"""Unrolls become games: every position of an episode is drawn from one row, with the targets of the whole episode."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms.muzero import games
from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.games import Collector
from kaimesh.algorithms.muzero.targets import Games, Targets, n_step, targets
from kaimesh.contract import stacking
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MODEL_VERSION, POSITIONS, PRIORITY, RUN_ID, TO_PLAY
from kaimesh.contract.errors import SampleError
from kaimesh.contract.spaces import Spaces
from tests.algorithms.muzero.stream import Episode, board, told, unrolls
from tests.algorithms.muzero.test_targets import straightforward


def episodes_of(data: st.DataObject, slots: int) -> list[list[Episode]]:
    ends = st.sampled_from(["terminated", "truncated", "aborted"])
    return [
        [
            Episode(slot, number, data.draw(st.integers(1, 25)), data.draw(ends))
            for number in range(data.draw(st.integers(1, 4)))
        ]
        for slot in range(slots)
    ]


def collected(collector: Collector, all_unrolls: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    parts = [collector(unroll) for unroll in all_unrolls]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_every_position_is_drawn_once_with_the_targets_of_its_episode(data: st.DataObject) -> None:
    players, n, steps = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    config = Config(window=data.draw(st.integers(1, 12)), n_step=n, unroll_steps=steps, gamma=0.9)
    episodes = episodes_of(data, 3)
    rows = collected(Collector(board(players), config), list(unrolls(episodes, players, data.draw(st.integers(1, 9)))))
    games.check(rows, games.specs(board(players), config))
    value = n_step(rows["reward"], rows["length"], rows["terminated"], 0.9, n).values(rows["root_value"])
    stored = Games(
        rows["action"], rows["policy"], rows["reward"], rows.get(TO_PLAY), rows["length"], rows["terminated"]
    )
    game, start = np.nonzero(np.arange(config.row_length) < rows[POSITIONS][:, None])
    found = targets(stored, value, game, start, steps, np.random.default_rng(0))
    seen = set()
    for b, (name, i) in enumerate(rows["obs"][game, start]):
        assert (name, i) not in seen
        seen.add((name, i))
        slot, number = int(name) // 1000, int(name) % 1000
        if number < len(episodes[slot]):
            one = Targets(*(column[b : b + 1] for column in found))
            _compare(one, episodes[slot][number], int(i), players, n, steps)
        assert rows[RUN_ID][game[b]] == slot
    whole = {(e.slot * 1000 + e.number, i) for one in episodes for e in one for i in range(e.length)}
    assert whole <= seen


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_frames_of_stacks_are_stored_once_and_come_back(data: st.DataObject) -> None:
    deep = data.draw(st.integers(2, 4))
    config = Config(window=data.draw(st.integers(1, 12)), n_step=2, unroll_steps=2)
    spaces = board(1)._replace(obs_shape=(deep, 2))
    episodes, steps = episodes_of(data, 2), data.draw(st.integers(1, 9))
    whole = list(_stacked(list(unrolls(episodes, 1, steps)), deep))
    single = []
    for unroll in whole:
        frames = np.zeros((2, steps + deep, 2), np.float32)
        for t in range(steps + 1):
            stacking.write(frames, t, unroll["obs"][:, t])
        single.append({**{name: column for name, column in unroll.items() if name != "obs"}, stacking.FRAMES: frames})
    plain = collected(Collector(spaces, config), whole)
    rows = collected(Collector(spaces, config), single)
    assert rows[stacking.FRAMES].shape[1:] == (config.row_length - 1 + deep, 2)
    again = stacking.restored(Batch(rows)).columns
    games.check(again, games.specs(spaces, config))
    there = np.arange(config.row_length) < plain["length"][:, None]
    np.testing.assert_array_equal(again["obs"][there], plain["obs"][there])
    for name in set(plain) - {"obs"}:
        np.testing.assert_array_equal(again[name], plain[name])


def _stacked(found: list[dict[str, np.ndarray]], deep: int) -> Iterator[dict[str, np.ndarray]]:
    """The unrolls with the `deep` newest observations of the episode in each, zeros before its first."""
    newest = np.zeros((2, deep, 2), np.float32)
    begins = np.ones(2, bool)
    for unroll in found:
        stacks = np.zeros((*unroll["obs"].shape[:2], deep, 2), np.float32)
        for t in range(stacks.shape[1]):
            before = np.where(begins[:, None, None], np.float32(0), newest)
            stacks[:, t] = np.concatenate([before[:, 1:], unroll["obs"][:, t, None]], 1)
            if t < stacks.shape[1] - 1:  # the last one is the next unroll's first
                newest, begins = stacks[:, t], ~unroll["mask"][:, t]
        yield {**unroll, "obs": stacks}


def _compare(found: Targets, episode: Episode, i: int, players: int, n: int, steps: int) -> None:
    """The targets of `steps` steps from position i against those of the whole episode, one at a time."""
    tells = [told(episode, k, players) for k in range(episode.length)]
    reward, value = (np.stack([getattr(one, name) for one in tells]) for name in ("reward", "root_value"))
    terminated = episode.end == "terminated"
    for k in range(steps + 1):
        there = i + k < episode.length
        assert found.policy_mask[0, k] == there
        assert found.value_mask[0, k] == (there or terminated)
        if there:
            np.testing.assert_array_equal(found.policy[0, k], tells[i + k].policy)
        if there or terminated:
            wanted = straightforward(reward, value, terminated, i + k, 0.9, n)
            np.testing.assert_allclose(found.value[0, k], wanted, rtol=1e-5, atol=1e-5)
        if k == 0:
            continue
        known = i + k - 1 < episode.length
        assert found.reward_mask[0, k - 1] == (known or terminated)
        if known:
            np.testing.assert_array_equal(found.reward[0, k - 1], tells[i + k - 1].reward)
            assert found.action[0, k - 1] == tells[i + k - 1].action
        elif terminated:
            assert (found.reward[0, k - 1] == 0).all()
        assert found.mover_mask[0, k - 1] == (there and players > 1)
        if there and players > 1:
            assert found.mover[0, k - 1] == tells[i + k].to_play


def test_no_row_before_a_game_ends() -> None:
    collector = Collector(board(2), Config(window=9, n_step=0))
    several = list(unrolls([[Episode(0, 0, 7, "terminated")]], 2, 4))
    first = collector(several[0])
    assert {len(column) for column in first.values()} == {0}
    assert collector.open_steps == 4
    second = collector(several[1])
    assert second["length"] == 7
    assert second["terminated"]
    assert second[POSITIONS] == 7
    assert second[MODEL_VERSION] == 0
    assert (second["obs"][0, 7:] == 0).all()


def test_another_life_of_a_slot_begins_with_nothing() -> None:
    """A slot with a new run id takes over nothing of the one before."""
    collector = Collector(board(1), Config(window=9, n_step=0))
    first = next(unrolls([[Episode(0, 0, 7, "terminated")]], 1, 4))
    other = next(unrolls([[Episode(1, 0, 2, "terminated")]], 1, 4))
    assert len(collector(first)["obs"]) == 0
    found = collector(other)
    assert found["length"] == 2
    assert found["obs"][0, 0, 0] == 1000


def test_priorities_are_of_the_positions_that_are_drawn() -> None:
    config = Config(window=3, n_step=1, unroll_steps=1, gamma=1.0, priority_max_share=1.0, priority_floor=0.5)
    collector = Collector(board(1), config)
    rows = collected(collector, list(unrolls([[Episode(0, 0, 8, "terminated")]], 1, 4)))
    tells = [told(Episode(0, 0, 8, "terminated"), k, 1) for k in range(8)]
    values = [float(one.root_value[0]) for one in tells] + [0.0]
    errors = [abs(float(one.reward[0]) + values[k + 1] - values[k]) for k, one in enumerate(tells)]
    np.testing.assert_allclose(rows[PRIORITY][:2], [max(errors[:3]) + 0.5, max(errors[3:]) + 0.5], rtol=1e-5)


def test_rows_that_are_too_large_are_refused() -> None:
    with pytest.raises(ValueError, match=r"window = 64 makes samples of .* Lower window"):
        games.specs(Spaces((210, 160, 3), "|u1", "discrete", 4), Config())


def test_samples_of_other_settings_are_refused() -> None:
    config = Config(window=9, n_step=0)
    rows = collected(Collector(board(1), config), list(unrolls([[Episode(0, 0, 7, "terminated")]], 1, 4)))
    with pytest.raises(SampleError, match=r"'obs' of the samples is <f4 \[9, 2\], but learning needs <f4 \[10, 2\]"):
        games.check(rows, games.specs(board(1), Config(window=10, n_step=0)))
    rows["root_value"][0, 1] = np.nan
    with pytest.raises(FloatingPointError, match="'root_value' is not finite in game 0"):
        games.check(rows, games.specs(board(1), config))
