"""From `app` to an environment: what is found, and what a wrong name is told."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env

from kaimesh import envs
from kaimesh.contract.errors import ConfigError
from kaimesh.envs.translation import Translation


@pytest.mark.parametrize(
    ("app", "hint"),
    [
        ("CartPole-v1", "did you mean 'gym:CartPole-v1'"),
        ("cach", "did you mean 'catch'"),
        ("gym:CartPol-v1", "did you mean gym:CartPole-v1"),
        ("gym:CartPole-v9", "gym:CartPole-v1"),
        (
            "gym:nothing_like_this",
            "gymnasium knows no 'nothing_like_this', so no environment was made. An id that your own module registers",
        ),
        ("ale:pongg", "did you mean ale:pong"),
        ("ale:MsPacman", "ale:ms_pacman"),
        ("gym:", "names no environment"),
        ("", "names no environment"),
        ("tests.envs.own:Countr", "did you mean tests.envs.own:Counter"),
        ("tests.envs.nowhere:Counter", "there is no module 'tests.envs.nowhere'"),
        ("tests.envs.own:not_an_environment", "gave a int; it must be, or return, a gymnasium.Env"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(app, hint):
    for make in (lambda: envs.make_vector(app, 2), lambda: envs.make(app), lambda: envs.facade(app)):
        with pytest.raises(ConfigError, match=hint.replace("(", r"\(")):
            make()


@pytest.mark.parametrize(
    ("app", "conf", "hint"),
    [
        ("gym:CartPole-v1", {"gravity": 3}, "gravity.*Remove that key"),
        ("gym:Pendulum-v1", {"gg": 3}, "gg.*Remove that key"),
        ("catch", {"row": 3}, "row.*Remove that key"),
        ("tests.envs.own:Counter", {"lenth": 3}, "lenth.*Remove that key"),
        ("ale:pong", {"frame_skip": 3}, "did you mean 'frameskip'"),
        ("ale:pong", {"autoreset_mode": "SameStep"}, "the mesh needs NEXT_STEP"),
        ("ale:pong", {"life_loss_info": True}, "use episodic_life"),
    ],
)
def test_arguments_that_an_environment_does_not_take_are_named(app, conf, hint):
    with pytest.raises(ConfigError, match=hint):
        envs.make_vector(app, 2, env_conf=conf)


@pytest.mark.parametrize(
    ("app", "hint"),
    [
        ("tests.envs.own:DictObservations", r"observation space Dict.*gymnasium\.wrappers\.FlattenObservation"),
        ("tests.envs.own:ManyActions", r"action space MultiDiscrete\(\[2 3\]\).*ActionWrapper"),
        ("gym:Blackjack-v1", r"observation space Tuple.*FlattenObservation"),
    ],
)
def test_spaces_that_cannot_be_carried_name_the_wrapper_that_helps(app, hint):
    for make in (lambda: envs.make_vector(app, 2), lambda: envs.facade(app)):
        with pytest.raises(ConfigError, match=hint):
            make()


def test_a_vector_environment_in_another_reset_mode_is_refused():
    with pytest.raises(ConfigError, match="each episode's last observation"):
        envs.make_vector("tests.envs.own:SameStep", 2)


def test_an_environment_of_ones_own_is_one_line():
    env = envs.make_vector("tests.envs.own:function", 2, env_conf={"length": 5}, max_episode_steps=4)
    env.reset()
    ends = [env.step(np.zeros(2, np.int64))[3].all() for _ in range(4)]
    assert ends == [False, False, False, True]


def test_a_module_that_registers_ids_is_imported(tmp_path, monkeypatch):
    (tmp_path / "registers_ids.py").write_text(
        "import gymnasium\ngymnasium.register('Mine-v3', entry_point='tests.envs.own:Counter', max_episode_steps=2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    env = envs.make_vector("gym:registers_ids:Mine-v3", 2, env_conf={"length": 9})
    env.reset()
    env.step(np.zeros(2, np.int64))
    assert env.step(np.zeros(2, np.int64))[3].all()
    with pytest.raises(ConfigError, match="Mine-v3"):
        envs.make("gym:registers_ids:Min-v3")


@pytest.mark.parametrize("conf", [{}, {"rows": 4, "columns": 3, "legal_actions": True}])
def test_catch_passes_gymnasiums_own_check(conf, recwarn):
    env = envs.make("catch", env_conf=conf, render_mode="rgb_array")
    env.spec = gymnasium.envs.registration.EnvSpec("Catch-v0", entry_point=lambda **_: env)
    check_env(env, skip_render_check=True)
    assert [str(w.message) for w in recwarn if "Catch" in str(w.message)] == []


def test_catch_is_won_by_being_under_the_ball():
    env = envs.make("catch")
    for seed in range(10):
        board = env.reset(seed=seed)[0].reshape(10, 5)
        steps, over = 0, False
        while not over:
            ball = int(np.argwhere(board[:-1])[0][1])
            paddle = int(np.argwhere(board[-1])[0][0])
            observation, reward, over, truncated, _ = env.step(1 + np.sign(ball - paddle))
            board = observation.reshape(10, 5)
            steps += 1
            assert not truncated
        assert (reward, steps) == (1.0, 9)
    board = env.reset(seed=1)[0].reshape(10, 5)
    away = 0 if np.argwhere(board[0])[0][0] >= 2 else 2
    for _ in range(9):
        _, reward, over, _, _ = env.step(away)
    assert (reward, over) == (-1.0, True)


@pytest.mark.parametrize("app", ["catch", "ale:pong", "gym:CartPole-v1", "gym:LunarLander-v3"])
def test_pictures(app):
    env = envs.make(app, render_mode="rgb_array")
    env.reset(seed=1)
    env.step(env.action_space.sample())
    picture = env.render()
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.std() > 0
    vector = envs.make_vector(app, 2, render_mode="rgb_array")
    vector.reset(seed=1)
    vector.step(np.ones(2, np.int64))
    pictures = vector.render()
    assert len(pictures) == 2
    assert pictures[0].shape == picture.shape


@pytest.mark.parametrize("which", ["observed", "acted"])
@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("empty", r"holds no numbers: its shape is \[0\]"),
        ("empty picture", r"holds no numbers: its shape is \[64, 0, 3\]"),
        ("complex", "is of complex128"),
        ("crossed", "has bounds that are NaN, or the lower above the upper"),
        ("nan", "has bounds that are NaN"),
        ("short bounds", "has bounds of the shapes"),
        ("too many", "has 1,099,511,627,776 values"),
    ],
)
def test_a_space_that_holds_nothing_usable_is_refused_where_it_is_looked_at(which, space, told):
    conf = {which: space}
    named = "observation" if which == "observed" else "action"
    for make in (
        lambda: envs.make_vector("tests.envs.own:Odd", 2, env_conf=conf),
        lambda: envs.facade("tests.envs.own:Odd", env_conf=conf),
    ):
        with pytest.raises(ConfigError, match=f"the {named} space {told}"):
            make()


@pytest.mark.parametrize("count", [3, 1500])
def test_discrete_observations_are_one_hot_however_many(count):
    translation = Translation(Discrete(count, start=5), Discrete(2), "x")
    seen = translation.observations(np.array([5, count + 4]))
    assert seen.dtype == np.float32
    assert np.array_equal(seen.nonzero()[1], [0, count - 1])
    assert np.array_equal(seen.sum(1), [1, 1])


@pytest.mark.parametrize(
    ("app", "numbers"),
    [
        ("tests.envs.own:Counter", [1, 2, 3]),
        ("gym:CartPole-v1", [1]),
        ("minigrid:Empty-5x5", [1, 2, 3]),
        ("catch", [1]),
    ],
)
def test_who_builds_is_told_before_each_environment(app, numbers):
    told = []
    envs.make_vector(app, 3, tell=told.append).close()
    assert told == numbers
