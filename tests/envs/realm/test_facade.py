"""The Kaiwu face: names, types and behaviour of contract 3.2, 5.4, 5.9 and the checklist."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh import envs
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.envs.realm import core
from kaimesh.envs.realm.atlas import find
from kaimesh.envs.realm.facade import RealmFacade
from kaimesh.envs.realm.vector import Realm, RealmEnv
from tests.envs.realm.game import EAST, FLASH, NORTH, WEST, open_world

APPS = ["realm", "realm-mini"]


def usr_conf(**diy):
    return {"diy": diy}


def facade(tmp_path, walls=(), points=None, **conf) -> RealmFacade:
    """In the open world of the tests: start at cell (12, 4), end at (4, 4), point 3 at (20, 4)."""
    open_world(walls=walls, points=points).save(tmp_path / "open.json")
    return RealmFacade("realm", env_conf={"map_file": str(tmp_path / "open.json"), **conf}, seed=1)


def test_every_name_of_an_observation_and_its_type():
    env = envs.facade("realm", seed=1)
    obs = env.reset(usr_conf=usr_conf(start=2, end=1, treasure_random=1, treasure_num=13, talent_type=1))
    feature = obs.feature
    assert obs.legal_act == [1, 1]
    assert 0 <= feature.norm_pos.x <= 1
    assert 0 <= feature.norm_pos.z <= 1
    assert type(feature.grid_pos.x) is int
    assert len(feature.treasure_pos) == 15
    for relative in (feature.start_pos, feature.end_pos, feature.buff_pos, *feature.treasure_pos):
        types = [type(value) for value in relative]
        assert types == [int, int, int, float]
        assert 0 <= relative.direction <= 8
        assert 1 <= relative.l2_distance <= 5
        assert 1 <= relative.path_distance <= 5
        assert 0 <= relative.grid_distance <= 1
    for name in ("obstacle_map", "treasure_map", "end_map"):
        values = getattr(feature, name)
        assert isinstance(values, list)
        assert len(values) == 51 * 51
        assert {type(value) for value in values} == {int}
    assert {type(value) for value in feature.memory_map} == {float}
    assert feature.treasure_pos[0].direction == feature.treasure_pos[1].direction == 0, "the end's and the start's"
    assert [treasure.grid_distance for treasure in feature.treasure_pos].count(1.0) == 2


def test_every_name_of_a_step_and_its_type():
    env = envs.facade("realm", seed=1)
    env.reset(usr_conf())
    frame_no, _, score, terminated, truncated, info = env.step(FLASH + EAST)
    assert (type(frame_no), type(terminated), type(truncated)) == (int, int, int)
    assert (terminated | truncated, terminated or truncated, bool(np.logical_or(terminated, truncated))) == (
        0,
        0,
        False,
    )
    assert (score.score, score.treasure_count, score.buff_count, score.talent_count) == (0, 0, 0, 1)
    assert score.total_score == pytest.approx(0.2 * 1999)
    assert info.frame_state.frame_no == 4
    (hero,) = info.frame_state.heroes
    assert (hero.hero_id, hero.speed_up) == (112, 0)
    assert (hero.talent.talent_type, hero.talent.status, hero.talent.cooldown) == (1, 0, 606)
    assert hero.pos == info.game_info.pos
    assert type(hero.pos.x) is int
    organs = {organ.config_id: organ for organ in info.frame_state.organs}
    assert len(organs) == 10, "nine treasures and the buff"
    assert {organ.sub_type for n, organ in organs.items() if n} == {1}
    assert {(organ.pos.x, organ.pos.z, organ.status, organ.cooldown) for organ in organs.values()} == {(0, 0, 1, 0)}
    assert organs[0].sub_type == 2
    game_info = info.game_info
    assert (game_info.step_no, game_info.treasure_count, game_info.treasure_score) == (1, 0, 0)
    assert (game_info.talent_count, game_info.buff_count) == (1, 0)
    assert (game_info.buff_remain_time, game_info.buff_duration) == (0, 50)
    assert game_info.total_score == score.total_score
    assert game_info.score == score.score


def test_frames_count_from_1_by_3(tmp_path):
    env = facade(tmp_path)
    env.reset(usr_conf())
    assert [env.step(NORTH)[0] for _ in range(4)] == [4, 7, 10, 13], "frame 1 was the first observation's"


def test_the_score_of_a_whole_episode(tmp_path):
    env = facade(tmp_path)
    obs = env.reset(usr_conf(treasure_random=0, treasure_id=[3, 9], max_step=1000))
    there = [[p.grid_distance == 1.0 for p in obs.feature.treasure_pos].count(False)]
    scores, totals = [0.0], [200.0]
    for n in range(1, 100):
        _, obs, score, terminated, truncated, info = env.step(EAST if n <= 5 else WEST)
        there.append([p.grid_distance == 1.0 for p in obs.feature.treasure_pos].count(False))
        scores.append(score.score)
        totals.append(score.total_score)
        if terminated:
            break
        assert totals[n] == pytest.approx(0.2 * (1000 - n) + 100 * score.treasure_count), "it runs during the episode"
    assert (n, truncated) == (15, 0)
    taken = np.diff(there)
    assert (np.diff(scores)[:-1] == -100 * taken[:-1]).all(), "a treasure fewer, 100 more"
    assert taken.sum() == -1
    assert scores[-1] == 250
    assert totals[-1] == pytest.approx(150 + 0.2 * (1000 - n) + 100) == pytest.approx(env.score)
    organs = {organ.config_id: organ.status for organ in info.frame_state.organs}
    assert organs == {3: 0, 9: 1, 0: 1}
    assert info.game_info.treasure_score == 100


def test_a_timeout_is_truncated_with_0(tmp_path):
    env = facade(tmp_path)
    env.reset(usr_conf(treasure_random=0, treasure_id=[3], max_step=6))
    results = [env.step(EAST) for _ in range(6)]
    assert [result[3:5] for result in results] == [(0, 0)] * 5 + [(0, 1)]
    assert results[-1][2].total_score == 0
    assert env.score == 0


def test_grid_pos_has_its_axes_swapped_and_norm_pos_does_not(tmp_path):
    env = facade(tmp_path)
    feature = env.reset(usr_conf()).feature
    assert (feature.grid_pos.x, feature.grid_pos.z) == (4, 12)
    assert (feature.norm_pos.x, feature.norm_pos.z) == (6250 / 32000, 2250 / 32000)


def test_relative_positions(tmp_path):
    env = facade(tmp_path)
    feature = env.reset(usr_conf(treasure_random=0, treasure_id=[3, 15])).feature
    assert feature.end_pos == (5, 1, 1, 8 / 128)
    assert feature.treasure_pos[2] == (1, 1, 1, 8 / 128)
    assert feature.treasure_pos[14] == (3, 3, 2, 32 / 128), "at cell (20, 28): North is the nearest eighth"
    assert feature.start_pos == (1, 1, 1, 0.0), "he stands on it"
    assert feature.treasure_pos[4] == (0, 5, 5, 1.0), "nothing is there"
    assert feature.buff_pos == (2, 4, 2, 48 / 128)


def test_the_buff_in_all_its_places(tmp_path):
    env = facade(tmp_path, points={0: (16, 4)})
    env.reset(usr_conf())
    for _ in range(2):
        _, obs, score, _, _, info = env.step(EAST)
    assert (score.buff_count, info.game_info.buff_count) == (1, 1)
    assert info.game_info.buff_remain_time == 50
    assert info.frame_state.heroes[0].speed_up == 1
    assert info.frame_state.organs[-1][1:] == (0, 0, (0, 0), 454)
    assert obs.feature.buff_pos == (0, 5, 5, 1.0)
    before = obs.feature.norm_pos.x
    _, obs, _, _, _, info = env.step(EAST)
    assert (obs.feature.norm_pos.x - before) * 32000 == pytest.approx(980)
    assert info.game_info.buff_remain_time == 49


def test_legal_act_after_a_flash(tmp_path):
    env = facade(tmp_path)
    env.reset(usr_conf())
    flags = [env.step(FLASH + NORTH if n == 0 else (NORTH, 6)[n % 2])[1].legal_act for n in range(610)]
    assert {first for first, _ in flags} == {1}
    assert [ready for _, ready in flags] == [0] * 606 + [1] * 4


def test_the_maps_are_views_as_stated(tmp_path):
    env = facade(tmp_path, walls=[(14, 6, 1, 1)])
    env.reset(usr_conf(treasure_random=0, treasure_id=[3, 7]))
    _, obs, *_ = env.step(EAST)  # now in cell (13, 4)
    maps = {
        name: np.array(getattr(obs.feature, f"{name}_map")).reshape(51, 51)
        for name in ("obstacle", "treasure", "end", "memory")
    }
    assert maps["obstacle"][25 + 2, 25 + 1] == 0
    assert maps["obstacle"][25, 25] == 1
    assert np.argwhere(maps["treasure"]).tolist() == [[25, 25 + 7], [25 + 8, 25 + 7]]
    assert np.argwhere(maps["end"]).tolist() == [[25, 25 - 9]]
    assert np.argwhere(maps["memory"]).tolist() == [[25, 25 - 1]]
    assert maps["memory"].max() == pytest.approx(0.2)


def test_an_observation_stays_what_it_was(tmp_path):
    kept, read = facade(tmp_path), facade(tmp_path)
    conf = usr_conf(treasure_random=0, treasure_id=[3])

    def everything(obs):
        feature = obs.feature
        names = [name for name in dir(feature) if not name.startswith("_")]
        assert len(names) == 10
        return {name: getattr(feature, name) for name in names}, list(obs.legal_act)

    later = [kept.reset(conf)] + [kept.step(EAST)[1] for _ in range(8)]
    assert [everything(read.reset(conf))] + [everything(read.step(EAST)[1]) for _ in range(8)] == [
        everything(obs) for obs in later
    ]


@pytest.mark.parametrize("app", APPS)
@given(seed=st.integers(0, 2**31), actions=st.lists(st.integers(0, 15), min_size=1, max_size=250))
@settings(max_examples=15, deadline=None)
def test_both_faces_play_the_same_game(app, seed, actions):
    conf = {"treasure_num": 5, "max_step": 120}
    kaiwu = envs.facade(app, env_conf=conf, seed=seed)
    vector = Realm(1, preset=app, observation="floats", **conf)
    single = RealmEnv(preset=app, observation="floats", **conf)
    obs, total = kaiwu.reset(), 0.0
    rows = vector.reset(seed=seed)[0]
    assert np.array_equal(rows[0], single.reset(seed=seed)[0])
    for action in actions:
        _, obs, score, terminated, truncated, _ = kaiwu.step(action)
        rows, rewards, ends, cuts, _ = vector.step(np.array([action]))
        row, reward, end, cut, info = single.step(action)
        total += reward
        assert np.array_equal(rows[0], row)
        assert (rewards[0], ends[0], cuts[0]) == (reward, end, cut) == (reward, terminated, truncated)
        assert row[:2] == pytest.approx(obs.feature.norm_pos)
        assert info["legal_act"].tolist() == [True] * 8 + [bool(obs.legal_act[1])] * 8
        maps = [np.array(getattr(obs.feature, f"{name}_map")) for name in ("obstacle", "treasure", "end", "memory")]
        assert np.allclose(row[-4 * 51 * 51 :], np.concatenate(maps))
        assert total == pytest.approx(kaiwu.score, abs=1e-3)
        for n, relative in enumerate(obs.feature.treasure_pos, 1):
            numbers = row[12 + 6 * n : 18 + 6 * n]
            assert numbers[0] == (relative.direction > 0) == (relative.grid_distance < 1)
            angle = math.radians(45 * (relative.direction - 1))
            direction = (math.cos(angle), math.sin(angle)) if relative.direction else (0, 0)
            distances = relative.l2_distance / 5, relative.path_distance / 5, relative.grid_distance
            assert numbers[1:] == pytest.approx((*direction, *distances), abs=1e-6)
        if terminated or truncated:
            assert (score.total_score, vector.step(np.array([0]))[1][0]) == (pytest.approx(kaiwu.score), 0)
            kaiwu.reset()
            single.reset()
            total = 0.0


def test_episodes_of_one_seed_differ_and_are_repeatable():
    one, two = (envs.facade("realm", seed=5) for _ in range(2))
    sets = [[p.direction > 0 for p in env.reset().feature.treasure_pos] for env in (one, two, one, two)]
    assert sets[0] == sets[1] != sets[2] == sets[3]


@pytest.mark.parametrize(
    ("conf", "reason"),
    [
        ({"start": 0}, "start = 0"),
        ({"end": 2}, "another point than start"),
        ({"treasure_random": 0, "treasure_id": [1]}, "treasure_id"),
        ({"max_step": 3000}, "max_step = 3000"),
        ({"colour": 1}, "no key 'colour'"),
    ],
)
def test_a_bad_usr_conf_is_told_once_and_reset_returns_none(conf, reason, caplog):
    slept = []
    env = RealmFacade("realm-mini", seed=1, sleep=slept.append)
    with caplog.at_level(logging.ERROR):
        assert [env.reset(usr_conf(**conf)) for _ in range(3)] == [None] * 3
        assert len(caplog.records) == 1
        assert reason in caplog.text
        assert slept == [1.0] * 3
        assert env.step(0) == env.step(1) == (None, None, None, None, True, None)
    assert env.reset(usr_conf()).legal_act == [1, 1], "a good one plays"
    assert env.step(0)[0] == 4


@pytest.mark.parametrize("conf", ["start", {"diy": 3}, 5])
def test_a_usr_conf_that_is_no_mapping(conf):
    env = RealmFacade("realm-mini", seed=1, sleep=lambda seconds: None)
    assert env.reset(conf) is None


def test_a_refused_reset_draws_nothing():
    one, two = (RealmFacade("realm", seed=5, sleep=lambda seconds: None) for _ in range(2))
    assert one.reset(usr_conf(start=99)) is None
    same = [[p.direction for p in env.reset().feature.treasure_pos] for env in (one, two)]
    assert same[0] == same[1]


def test_no_step_after_an_end(tmp_path):
    env = facade(tmp_path)
    env._sleep = lambda seconds: None
    assert env.step(0) == (None, None, None, None, True, None), "not before a reset either"
    env.reset(usr_conf(max_step=1))
    assert env.step(0)[4] == 1
    assert env.step(0)[4] is True
    env.reset(usr_conf())
    assert env.step(0, stop_game=True)[3:5] == (0, 1)
    assert env.step(0)[0] is None


def test_what_usr_conf_does_not_name_is_as_configured():
    env = RealmFacade("realm", env_conf={"start": 5, "treasure_num": 4, "max_step": 50}, seed=1)
    env.reset(usr_conf(end=7))
    assert env.env.task[:2] == (5, 7)
    assert (env.env.task.most, env.env.task.max_step) == (4, 50)
    env.reset(usr_conf(treasure_id=[3]))
    assert env.env.task.fixed_ids == [3]
    env.reset({"env_conf": {"max_step": 9}})
    assert (env.env.task.most, env.env.task.max_step) == (4, 9)
    env.reset({"max_step": 8})
    assert env.env.task.max_step == 8
    env.reset()
    assert (env.env.task.end, env.env.task.max_step) == (1, 50)
    assert RealmFacade("realm", max_episode_steps=70).env.task.max_step == 70
    with pytest.raises(ConfigError, match="start = 77"):
        RealmFacade("realm", env_conf={"start": 77})


@pytest.mark.parametrize("act", [10, np.int64(10), np.array(10), np.array([10]), [10], (10,), np.float32(10), [10, 99]])
def test_any_form_of_an_action(act, tmp_path):
    env = facade(tmp_path)
    env.reset(usr_conf())
    assert env.step(act)[-1].game_info.pos == (6250, 2250 + core.FLASH)


@pytest.mark.parametrize("act", [16, -1, 0.5, "1", None, [], np.nan])
def test_an_action_that_there_is_not(act):
    env = envs.facade("realm-mini", seed=1)
    env.reset()
    with pytest.raises(AgentError, match="act = "):
        env.step(act)


def test_it_takes_attributes_and_knows_its_spaces():
    env = envs.facade("realm", seed=1)
    env.F = 3
    assert env.F == 3
    assert env.spaces == envs.spaces_of(envs.make_vector("realm", 1))
    assert find("realm") is env.env.map
    env.close()
