"""The loop over episodes, without files and models."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from kaimesh.arena import episodes as playing
from kaimesh.arena.episodes import AT_ONCE, Kaiwu, Vectorised, play
from kaimesh.contract import structs
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.user_agent import read_agent

SEEDS = range(1000, 1100)


class Slot:
    """Episodes of seed % 7 + 1 steps. Step t of seed s: true reward s + t, 0 when clipped; observation (s, t)."""

    legal_actions = to_play = player_rewards = None
    spaces = Spaces((2,), "<i8", "discrete", 1000)
    under_way: ClassVar[list[Slot]] = []

    def __init__(self):
        self.under_way.append(self)
        assert len(self.under_way) <= playing.AT_ONCE

    def reset(self, seed):
        self.seed, self.t = seed, 0
        return np.array([[seed, 0]], np.int64), {}

    def step(self, actions):
        assert actions.tolist() == [2 * self.seed + self.t], "each episode gets its own action"
        self.true_rewards = np.array([self.seed + self.t], np.float32)
        self.t += 1
        over = np.array([self.t > self.seed % 7])
        return np.array([[self.seed, self.t]], np.int64), np.zeros(1), over & (self.seed % 2 == 0), over, {}

    def close(self):
        self.under_way.remove(self)


class Doubling:
    sizes: ClassVar[list[int]] = []

    def exploit(self, batch):
        self.sizes.append(len(batch))
        obs = batch.columns["obs"]
        return Batch({"action": 2 * obs[:, 0] + obs[:, 1]})


class Padded(Doubling):
    pad_batches = True


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(Slot, "under_way", [])
    monkeypatch.setattr(Doubling, "sizes", [])


def told(env):
    return {"seed": float(env.seed), "steps": env.t}


def test_every_seed_is_played_once_with_its_own_score_actions_and_report():
    episodes = sorted(play(Vectorised(read_agent(Doubling()), Slot, told), SEEDS))
    assert [e.seed for e in episodes] == list(SEEDS)
    for e in episodes:
        steps = e.seed % 7 + 1
        assert e.actions.tolist() == [2 * e.seed + t for t in range(steps)]
        assert (e.actions.dtype, e.length) == (np.int64, steps)
        assert e.score == sum(e.seed + t for t in range(steps))
        assert e.report == {"seed": e.seed, "steps": steps}
    assert not Slot.under_way, "all environments are closed"
    assert max(Doubling.sizes) == AT_ONCE


def test_how_many_play_at_once_changes_nothing(monkeypatch):
    def once(count):
        monkeypatch.setattr(playing, "AT_ONCE", count)
        return sorted(
            (e.seed, e.score, e.actions.tolist()) for e in play(Vectorised(read_agent(Doubling()), Slot, told), SEEDS)
        )

    assert once(1) == once(3) == once(100)


def test_an_agent_that_wants_one_batch_size_gets_it():
    episodes = list(play(Vectorised(read_agent(Padded()), Slot, told), SEEDS[:40]))
    assert len(episodes) == 40
    assert set(Doubling.sizes) == {AT_ONCE}


class Remembering(Doubling):
    """Its state is the step, which it needs: it does not look at the observation's."""

    def initial_state(self, count):
        return {"seen": np.zeros((count, 1), np.float32)}

    def exploit(self, batch):
        np.testing.assert_array_equal(batch.columns["seen"][:, 0], batch.columns["obs"][:, 1])
        seen = batch.columns["seen"]
        action = 2 * batch.columns["obs"][:, 0] + seen[:, 0].astype(np.int64)
        return Batch({"action": action, "seen": seen + 1})


def test_every_episode_has_a_recurrent_state_of_its_own():
    episodes = list(play(Vectorised(read_agent(Remembering()), Slot, told), SEEDS))
    assert len(episodes) == len(SEEDS)


def test_who_stops_listening_leaves_nothing_open():
    episodes = play(Vectorised(read_agent(Doubling()), Slot, told), SEEDS)
    next(episodes)
    assert Slot.under_way
    episodes.close()
    assert not Slot.under_way


class Continuous(Slot):
    spaces = Spaces((2,), "<i8", "continuous", 2, (0.0, 0.0), (99.0, 99.0))

    def step(self, actions):
        assert (actions.shape, actions.dtype) == ((1, 2), np.float32)
        return super().step(np.array([2 * self.seed + self.t]))


class Floats:
    def exploit(self, batch):
        return Batch({"action": batch.columns["obs"].astype(np.float32)})


def test_continuous_actions():
    (episode,) = play(Vectorised(read_agent(Floats()), Continuous, told), [9])
    assert (episode.actions.dtype, episode.actions.tolist()) == (np.float32, [[9, 0], [9, 1], [9, 2]])


class Facade:
    spaces = SimpleNamespace(action_kind="discrete")

    def __init__(self, seed):
        self.env = self.slot = Slot()
        self.slot.reset(seed)
        self.score = 0.0

    def reset(self):
        return SimpleNamespace(seed=np.int64(self.slot.seed), t=np.int64(0))

    def step(self, act):
        self.slot.step(np.array(act))
        self.score += float(self.slot.true_rewards[0])
        over = self.slot.t > self.slot.seed % 7
        frame_no = 77 * self.slot.t  # a step may be many frames
        return (
            frame_no,
            SimpleNamespace(seed=np.int64(self.slot.seed), t=np.int64(self.slot.t)),
            None,
            0,
            int(over),
            None,
        )

    def close(self):
        self.slot.close()


class KaiwuAgent:
    def exploit(self, rows):
        return [SimpleNamespace(action=[2 * int(row.seed) + int(row.t)]) for row in rows]


class PaddedKaiwu(KaiwuAgent):
    pad_batches = True

    def exploit(self, rows):
        assert len(rows) == AT_ONCE
        return super().exploit(rows)


@pytest.mark.parametrize("agent", [KaiwuAgent(), PaddedKaiwu()])
def test_kaiwu_agents_play_the_same_episodes(monkeypatch, agent):
    monkeypatch.setattr(structs, "_protocol", {})
    vectorised = {e.seed: e for e in play(Vectorised(read_agent(Doubling()), Slot, told), SEEDS)}
    kaiwu = {e.seed: e for e in play(Kaiwu(read_agent(agent), Facade, told), SEEDS)}
    assert sorted(kaiwu) == list(SEEDS)
    for seed, e in kaiwu.items():
        assert (e.score, e.actions.tolist(), e.report) == (
            vectorised[seed].score,
            vectorised[seed].actions.tolist(),
            vectorised[seed].report,
        )
    assert not Slot.under_way


def test_an_agent_that_raises_closes_its_environments():
    class Broken:
        def exploit(self, batch):
            raise KeyError("x")

    with pytest.raises(AgentError, match=r"^Broken\.exploit raised KeyError"):
        list(play(Vectorised(read_agent(Broken()), Slot, told), SEEDS))
    assert not Slot.under_way
