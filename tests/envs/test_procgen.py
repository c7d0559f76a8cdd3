"""Procgen in NEXT_STEP mode against the games themselves: what is seen, when episodes end, what is lost."""

from __future__ import annotations

import struct

import numpy as np
import procgen
import pytest

from kaimesh import envs
from kaimesh.contract.errors import ConfigError
from kaimesh.envs.procgen import TIMEOUTS

NOTHING = 4  # the action that presses no key


def own_game(game: str, level: int, **options):
    """The game as Procgen has it, with one level only."""
    return procgen.ProcgenGym3Env(
        num=1,
        env_name=game,
        num_levels=1,
        start_level=level,
        num_threads=0,
        **{"distribution_mode": "easy", **options},
    )


def levels_of(env) -> list[int]:
    return [int(info["level_seed"]) for info in env.unwrapped._game.get_info()]


@pytest.mark.parametrize(
    ("game", "conf", "limit"),
    [
        ("bigfish", {}, 0),  # dies soon
        ("coinrun", {"distribution_mode": "hard"}, 70),
        ("leaper", {"num_levels": 3, "start_level": 5}, 25),
        ("starpilot", {"use_backgrounds": False}, 0),
    ],
)
def test_every_episode_is_the_games_own_until_its_last_observation(game, conf, limit):
    env = envs.make_vector(f"procgen:{game}", 3, env_conf=conf, max_episode_steps=limit, seed=2)
    looks = {key: value for key, value in conf.items() if key in ("distribution_mode", "use_backgrounds")}
    rng = np.random.default_rng(0)
    observations, _ = env.reset()
    games = [own_game(game, level, **looks) for level in levels_of(env)]
    steps, over, ends = np.zeros(3, int), np.zeros(3, bool), {"terminated": 0, "truncated": 0}
    for _ in range(900):
        before, actions = observations, rng.integers(15, size=3)
        observations, rewards, terminated, truncated, _ = env.step(actions)
        levels = levels_of(env)
        for i in range(3):
            if over[i]:  # the reset step
                games[i].close()
                games[i] = own_game(game, levels[i], **looks)
                steps[i] = 0
                assert (rewards[i], terminated[i], truncated[i]) == (0, False, False)
                np.testing.assert_array_equal(observations[i], games[i].observe()[1]["rgb"][0])
                continue
            games[i].act(actions[i : i + 1])
            reward, seen, first = games[i].observe()
            steps[i] += 1
            assert rewards[i] == reward[0]
            assert terminated[i] == bool(first[0])
            assert truncated[i] == (not first[0] and steps[i] == limit)
            expected = before[i] if terminated[i] else seen["rgb"][0]
            np.testing.assert_array_equal(observations[i], expected)
        over = terminated | truncated
        ends["terminated"] += int(terminated.sum())
        ends["truncated"] += int(truncated.sum())
    assert ends["terminated"] >= 2
    assert not limit or ends["truncated"] >= 2
    if conf.get("num_levels"):
        assert set(levels_of(env)) <= {5, 6, 7}
    env.close()


def test_an_episode_that_times_out_is_truncated_before_with_its_true_last_observation():
    env = envs.make_vector("procgen:maze", 1, seed=1)
    first, _ = env.reset()
    game = own_game("maze", levels_of(env)[0])
    for step in range(1, 500):
        observation, _, terminated, truncated, _ = env.step(np.array([NOTHING]))
        game.act(np.array([NOTHING]))
        assert not terminated[0]
        assert truncated[0] == (step == 499)
        assert not game.observe()[2][0]
    np.testing.assert_array_equal(observation[0], game.observe()[1]["rgb"][0])
    assert envs.episode_report(env) == {"level_complete": False}
    game.act(np.array([NOTHING]))
    assert game.observe()[2][0], "Procgen itself would have reset in the next step"
    following, reward, terminated, truncated, _ = env.step(np.array([NOTHING]))
    assert (reward[0], terminated[0], truncated[0]) == (0, False, False)
    assert not np.array_equal(following, first)
    np.testing.assert_array_equal(following[0], own_game("maze", levels_of(env)[0]).observe()[1]["rgb"][0])
    env.close()


@pytest.mark.parametrize("game", sorted(TIMEOUTS))
def test_the_known_end_of_time_is_the_games(game):
    assert TIMEOUTS[game] == timeout_in(own_game(game, 0).get_state()[0])


def timeout_in(state: bytes) -> int:
    """The field `timeout` of a game's state, as its Game::serialize writes it."""
    position = 0

    def number() -> int:
        nonlocal position
        position += 4
        return int(struct.unpack_from("<i", state, position - 4)[0])

    def text() -> None:
        nonlocal position
        length = number()
        position += length

    number(), text()
    for _ in range(17):  # options, levels, what kind of game
        number()
    for _ in range(2):  # generators of random numbers
        number(), text()
    for _ in range(4):  # the last step, the action
        number()
    return number()


def test_a_completed_level_is_reported():
    env = envs.make_vector("procgen:coinrun", 8, seed=3, max_episode_steps=300)
    env.reset()
    rng = np.random.default_rng(0)
    reports, rewards = [], []
    for _ in range(600):  # to the right, with jumps
        _, reward, terminated, truncated, _ = env.step(np.where(rng.random(8) < 0.5, 7, 8))
        for i in np.flatnonzero(terminated | truncated):
            reports.append(envs.episode_report(env, i)["level_complete"])
            rewards.append(reward[i] > 0)
    assert reports == rewards  # the coin is all there is to win
    assert 0 < sum(reports) < len(reports)
    env.close()


def test_pictures_are_those_of_what_is_seen():
    env = envs.make_vector("procgen:bigfish", 2, seed=1, render_mode="rgb_array")
    env.reset()
    rng, kept = np.random.default_rng(0), 0
    for _ in range(150):
        before = env.render()
        _, _, terminated, _, _ = env.step(rng.integers(15, size=2))
        now = env.render()
        assert [picture.shape for picture in now] == [(512, 512, 3)] * 2
        for i in np.flatnonzero(terminated):
            assert np.array_equal(before[i], now[i])
            kept += 1
    assert kept
    env.close()
    assert envs.make_vector("procgen:bigfish", 1).render() is None


@pytest.mark.parametrize(
    ("app", "conf", "hint"),
    [
        ("procgen:coinrunn", {}, "did you mean procgen:coinrun"),
        ("procgen:CoinRun", {}, "did you mean procgen:coinrun"),
        ("procgen:coinrun", {"distribution_mod": "hard"}, "did you mean 'distribution_mode'"),
        ("procgen:coinrun", {"use_sequential_levels": True}, "has no option 'use_sequential_levels'"),
        ("procgen:coinrun", {"distribution_mode": "memory"}, "has easy, hard, exploration"),
        ("procgen:coinrun", {"distribution_mode": "simple"}, "has easy, hard, exploration"),
        ("procgen:maze", {"num_levels": -1}, "num_levels = -1 must be"),
        ("procgen:maze", {"start_level": 0.5}, "start_level = 0.5 must be"),
    ],
)
def test_what_procgen_would_die_of_is_refused(app, conf, hint):
    for make in (lambda: envs.make_vector(app, 2, env_conf=conf), lambda: envs.make(app, env_conf=conf)):
        with pytest.raises(ConfigError, match=hint):
            make()


@pytest.mark.parametrize("mode", ["exploration", "hard"])
def test_modes_that_it_has_work(mode):
    env = envs.make_vector("procgen:heist", 2, env_conf={"distribution_mode": mode})
    observation, _ = env.reset(seed=1)
    assert np.array_equal(*observation) == (mode == "exploration")  # which has one level
    env.close()


def test_a_missing_library_is_named(monkeypatch):
    def broken(**_):
        raise OSError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(procgen, "ProcgenGym3Env", broken)
    env = envs.make_vector("procgen:coinrun", 1)
    with pytest.raises(ConfigError, match=r"libGL\.so\.1.*apt-get install libgl1"):
        env.reset()


def test_a_model_is_judged_on_all_levels():
    conf = {"num_levels": 200, "start_level": 40, "distribution_mode": "hard"}
    assert envs.for_evaluation("procgen:coinrun", conf) == {**conf, "num_levels": 0, "start_level": 0}
    assert envs.for_evaluation("procgen:coinrun", {}) == {}
