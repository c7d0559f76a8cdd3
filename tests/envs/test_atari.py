"""Atari's options and its scores beside a human's."""

from __future__ import annotations

import numpy as np
import pytest
from ale_py import roms

from kaimesh import envs
from kaimesh.envs.atari_scores import REFERENCES, human_normalised


def roll(conf, actions, seed=3, app="ale:breakout"):
    """Observations `[T, 4, 84, 84]` of one slot."""
    env = envs.make_vector(app, 1, env_conf=conf, seed=seed)
    env.reset()
    seen = np.stack([env.step(np.array([action]))[0][0] for action in actions])
    env.close()
    return seen


def test_sticky_actions():
    rng = np.random.default_rng(0)
    first, other = rng.integers(4, size=(2, 40))
    other[0] = first[0]
    plain = roll({}, first)
    assert np.array_equal(plain, roll({"repeat_action_probability": 0.0}, first)), "off unless asked for"
    assert not np.array_equal(plain, roll({}, other))
    assert not np.array_equal(plain, roll({"repeat_action_probability": 0.25}, first))
    stuck = {"repeat_action_probability": 1.0}
    assert np.array_equal(roll(stuck, first), roll(stuck, other)), "always stuck, nothing that is pressed later matters"


def test_a_lost_life_ends_the_episode_only_where_asked_for():
    for episodic in (False, True):
        env = envs.make_vector("ale:breakout", 2, env_conf={"episodic_life": episodic}, seed=1)
        env.reset()
        rng, lives, over, ends = np.random.default_rng(0), np.full(2, 5), np.zeros(2, bool), []
        for _ in range(700):
            _, _, terminated, truncated, infos = env.step(rng.integers(4, size=2))
            assert not truncated.any()
            assert (infos["lives"][over] == 5).all(), "an episode is followed by a new game"
            for i in np.flatnonzero(~over):
                lost = infos["lives"][i] < lives[i]
                if episodic:
                    assert terminated[i] == lost
                elif terminated[i]:
                    assert infos["lives"][i] == 0
            lives, over = infos["lives"].copy(), terminated | truncated
            ends += lives[over].tolist()
        assert ends
        assert set(ends) == ({4} if episodic else {0})
        env.close()


def test_there_are_references_for_the_57_games():
    assert len(REFERENCES) == 57
    assert set(REFERENCES) <= set(roms.get_all_rom_ids())
    assert all(reference.human > reference.random for reference in REFERENCES.values())
    for game, reference in REFERENCES.items():
        assert human_normalised(game, reference.random) == 0
        assert human_normalised(game, reference.human) == 1
    assert human_normalised("breakout", 59.3) == pytest.approx(2)
    assert human_normalised("tetris", 10) is None


def test_an_episode_is_reported_beside_a_humans():
    env = envs.make_vector("ale:riverraid", 2, max_episode_steps=90, seed=3)
    env.reset()
    rng, scores, over, told = np.random.default_rng(0), np.zeros(2), np.zeros(2, bool), []
    for _ in range(400):
        _, _, terminated, truncated, _ = env.step(rng.integers(18, size=2))
        scores = np.where(over, 0, scores + env.true_rewards)
        over = terminated | truncated
        for i in np.flatnonzero(over):
            assert envs.episode_report(env, i) == {
                "human_normalised": pytest.approx((scores[i] - 1338.5) / (17118 - 1338.5))
            }
            told.append(scores[i])
    assert len(set(told)) > 2
    env.close()
    assert "random player's 1338.5, 1 a human's 17118" in envs.notes("ale:riverraid")[0]
    assert envs.notes("ale:tetris") == envs.notes("catch") == []
    unknown = envs.make_vector("ale:tetris", 1)
    unknown.reset(seed=1)
    assert envs.episode_report(unknown) == {}
