"""Environments of several players: who moves next, what each gets, and what is refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaimesh import envs
from kaimesh.contract.errors import ConfigError, EnvContractError, SampleError
from kaimesh.contract.spaces import Spaces
from kaimesh.envs.players import Table, mover_of, rewards_of
from tests.envs.seated import BAD_MOVERS, BAD_REWARDS, MISSING, PLAYERS, TURNS, Seated, earned

ALONE, TOGETHER = "tests.envs.seated:Seated", "tests.envs.seated:SeatedTogether"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    Seated.lives.clear()
    yield
    Seated.lives.clear()


def play(env: Any, steps: int) -> None:
    for _ in range(steps):
        env.step(np.zeros(env.num_envs, int))


def renewing(failed: list[Exception]) -> Callable[..., Any]:
    def renew(slots: range, steps: int, verb: str, error: Exception, make: Callable[[], Any]) -> Any:
        failed.append(error)
        return make()

    return renew


@pytest.mark.parametrize("app", [ALONE, TOGETHER])
def test_every_player_s_reward_and_who_moves_next(app: str) -> None:
    env = envs.make_vector(app, 2, seed=1)
    env.reset()
    assert (env.spaces.players, env.offers.players) == (PLAYERS, PLAYERS)
    for _ in range(2):
        assert env.to_play is not None
        assert env.player_rewards is not None
        assert (env.to_play.dtype, env.player_rewards.dtype) == (np.int8, np.float32)
        for step, mover in enumerate(TURNS, 1):
            assert env.to_play.tolist() == [mover] * 2
            _, rewards, terminated, _, _ = env.step(np.zeros(2, int))
            np.testing.assert_array_equal(env.player_rewards, [earned(step)] * 2)
            np.testing.assert_array_equal(rewards, [earned(step)[mover]] * 2)
            np.testing.assert_array_equal(env.true_rewards, rewards)
        assert terminated.all()
        _, rewards, *_ = env.step(np.zeros(2, int))
        assert not rewards.any()
        assert not env.player_rewards.any(), "a reset step earns nothing"
    env.close()


def test_one_player_has_neither() -> None:
    env = envs.make_vector("catch", 2)
    env.reset()
    assert env.to_play is env.player_rewards is None
    assert env.spaces.players == 1


WRONG = [*({"mover": bad} for bad in BAD_MOVERS.values()), *({"rewards": bad} for bad in BAD_REWARDS.values())]
COLLECTED = [{"mover": -1}, {"mover": PLAYERS}, {"rewards": [float("inf")] * 3}, {"rewards": [7.0] * 3}]


@pytest.mark.parametrize(("app", "wrong"), [*((ALONE, one) for one in WRONG), *((TOGETHER, one) for one in COLLECTED)])
def test_what_is_wrong_is_told_in_words(app: str, wrong: dict[str, Any]) -> None:
    """Of gymnasium's vector environment what it can collect, where whole numbers are not made of others."""
    env = envs.make_vector(app, 2, env_conf={**wrong, "at": 3}, seed=1)
    env.reset()
    play(env, 2)
    with pytest.raises(EnvContractError, match=rf"{app}: .*(to_play|rewards)") as told:
        play(env, 1)
    assert "Return" in str(told.value)
    env.close()


@pytest.mark.parametrize("wrong", [{"mover": MISSING}, {"rewards": MISSING}])
def test_what_is_missing_is_told(wrong: dict[str, Any]) -> None:
    for app in (ALONE, TOGETHER):
        Seated.lives.clear()
        env = envs.make_vector(app, 2, env_conf={**wrong, "at": 2, "which": 1}, seed=1)
        env.reset()
        play(env, 1)
        with pytest.raises(EnvContractError, match="declare players = 3"):
            play(env, 1)
        env.close()


@pytest.mark.parametrize("conf", [{"crash": True}, {"mover": 9}, {"rewards": [1.0]}, {"mover": MISSING}])
def test_a_slot_that_fails_is_made_anew_alone(conf: dict[str, Any]) -> None:
    failed: list[Exception] = []
    env = envs.make_vector(ALONE, 3, env_conf={**conf, "at": 8, "which": 1}, seed=1, renew=renewing(failed))
    env.reset()
    assert env.to_play is not None
    for step in range(24):
        before = env.to_play
        _, rewards, terminated, truncated, _ = env.step(np.zeros(3, int))
        assert env.player_rewards is not None
        if step == 8:  # 5 moves, a reset, and the third of the next episode
            assert env.aborted is not None
            assert env.aborted.tolist() == [False, True, False]
            assert (rewards[1], terminated[1], truncated[1]) == (0, False, True)
            assert not env.player_rewards[1].any()
            assert env.to_play[1] == before[1], "it stands as before"
            np.testing.assert_array_equal(env.player_rewards[[0, 2]], [earned(3)] * 2)
        else:
            assert env.aborted is None
    assert len(failed) == 1
    env.close()


def test_a_vector_environment_that_fails_is_made_anew_as_a_whole() -> None:
    failed: list[Exception] = []
    env = envs.make_vector(TOGETHER, 2, env_conf={"mover": 9, "at": 8, "which": 1}, seed=1, renew=renewing(failed))
    env.reset()
    ends = 0
    for _ in range(30):
        _, _, terminated, _, _ = env.step(np.zeros(2, int))
        ends += int(terminated.sum())
    (error,) = failed
    assert "info['to_play'] is 9" in str(error)
    assert ends > 5
    env.close()


def test_a_start_plays_and_tells() -> None:
    env = envs.make(ALONE, env_conf={"rewards": [1.0, 2.0], "at": 4})
    with pytest.raises(EnvContractError, match=r"Seated: info\['rewards'\] is \[1.0, 2.0\]"):
        envs.try_out(env, ALONE)
    assert envs.try_out(envs.make(ALONE), ALONE, lambda: envs.make(ALONE)) == ""


@pytest.mark.parametrize("players", [0, -1, 128, 2.0, "two", True])
def test_a_number_of_players_that_is_none_is_refused(players: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Seated.metadata, "players", players)
    with pytest.raises(ConfigError, match=r"metadata\['players'\]"):
        envs.make_vector(ALONE, 1)


def test_a_kaiwu_style_workflow_is_told_that_it_plays_one_side() -> None:
    with pytest.raises(ConfigError, match="3 players, and a Kaiwu-style workflow plays one side"):
        envs.facade(ALONE)


def test_spaces_travel_with_and_without_players() -> None:
    one, three = Spaces((2,), "<f4", "discrete", 2), Spaces((2,), "<f4", "discrete", 2, players=3)
    for spaces in (one, three):
        assert Spaces.from_json(json.loads(json.dumps(spaces.to_json()))) == spaces
    assert "players" not in one.to_json(), "older peers and files know no players"
    for players in (0, 128, 1.5, "2", None):
        with pytest.raises(SampleError, match="players"):
            Spaces.from_json({**json.loads(json.dumps(one.to_json())), "players": players})


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.floats(), max_size=4)
)


@given(ANYTHING, st.integers(2, 6))
def test_a_mover_is_a_player_or_refused(value: Any, players: int) -> None:
    fine = isinstance(value, int) and 0 <= value < players
    try:
        assert mover_of({"to_play": value}, players) == value
        assert fine
    except EnvContractError:
        assert not fine


@given(ANYTHING, st.integers(2, 4), st.integers(0, 1))
def test_rewards_are_finite_numbers_for_all_or_refused(value: Any, players: int, mover: int) -> None:
    with np.errstate(over="ignore"):
        fine = isinstance(value, list) and len(value) == players and np.isfinite(np.float32(value)).all()
    try:
        reward = float(value[mover]) if fine else 0.0
        np.testing.assert_array_equal(rewards_of({"rewards": value}, players, reward, mover), np.float32(value))
        assert fine
    except EnvContractError:
        assert not fine


@given(
    st.integers(2, 4).flatmap(
        lambda players: st.lists(
            st.tuples(
                ANYTHING | st.integers(0, players - 1),
                st.lists(st.floats(width=32), min_size=players, max_size=players) | ANYTHING,
            ),
            min_size=2,
            max_size=5,
        ).map(lambda rows: (players, rows))
    ),
    st.data(),
)
def test_a_batch_is_judged_slot_by_slot(told: tuple[int, list[tuple[Any, Any]]], data: st.DataObject) -> None:
    """As the functions for one environment judge each of them."""
    players, rows = told
    count = len(rows)
    table = Table(count, players)
    first = data.draw(st.lists(st.integers(0, players - 1), min_size=count, max_size=count))
    assert table.begin({"to_play": first}) == {}
    resetting = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    table.step({"to_play": first, "rewards": np.zeros((count, players))}, np.zeros(count), resetting)
    good = [isinstance(row, list) and len(row) == players for _, row in rows]
    with np.errstate(over="ignore"):
        rewards = np.float32([row[mover] if ok else 0 for (_, row), mover, ok in zip(rows, first, good, strict=True)])
    rewards[resetting] = 0
    infos = {"to_play": [mover for mover, _ in rows], "rewards": [row for _, row in rows]}
    wrong = table.step(infos, rewards, np.zeros(count, bool))
    for i, (mover, row) in enumerate(rows):
        try:
            if not resetting[i]:
                earned_here = rewards_of({"rewards": row}, players, float(rewards[i]), first[i])
            moves_next = mover_of({"to_play": mover}, players)
        except EnvContractError:
            assert i in wrong
            continue
        assert i not in wrong
        assert table.to_play[i] == moves_next
        np.testing.assert_array_equal(table.rewards[i], np.zeros(players) if resetting[i] else earned_here)
