"""Games of OpenSpiel in the mesh: what is seen, who moves, what is allowed and what is won is what OpenSpiel says."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pyspiel
import pytest
from gymnasium.utils.env_checker import check_env

from kaimesh import envs
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.spaces import Spaces
from kaimesh.envs.single import Single
from kaimesh.envs.spiel.seen import BINARY
from tests.envs.spiel.games import CONFS, draw, game, spiel, wanted


def self_play(name: str, games: int, slots: int, seed: int) -> None:
    """Plays random games beside OpenSpiel itself, which is asked by its slow functions."""
    env, rng = spiel(name, slots), np.random.default_rng(seed)
    whole = game(name)
    states = [whole.new_initial_state() for _ in range(slots)]
    movers = [state.current_player() for state in states]
    seen, infos = env.reset(seed=seed)
    over = np.zeros(slots, bool)
    returns = np.zeros((slots, whole.num_players()))
    ended = 0
    while ended < games:
        for i, state in enumerate(states):
            assert infos["legal_act"][i].tolist() == [
                bool(one) for one in (state.legal_actions_mask() if not over[i] else [0] * env.single_action_space.n)
            ]
            assert infos["to_play"][i] == movers[i]
            np.testing.assert_array_equal(seen[i], wanted(state, whole.num_players(), movers[i]))
            assert str(env.position(i)) == str(state)
        actions = draw(infos["legal_act"], rng)
        moved_by = list(movers)
        seen, own, terminated, truncated, infos = env.step(actions)
        for i, state in enumerate(states):
            if over[i]:
                states[i], returns[i] = whole.new_initial_state(), 0.0
                movers[i] = states[i].current_player()
                assert not infos["rewards"][i].any()
                assert not terminated[i]
                continue
            state.apply_action(int(actions[i]))
            assert terminated[i] == state.is_terminal()
            assert infos["rewards"][i].tolist() == state.rewards()
            assert own[i] == infos["rewards"][i][moved_by[i]]
            returns[i] += infos["rewards"][i]
            if terminated[i]:
                assert returns[i].tolist() == state.returns()
                ended += 1
            else:
                movers[i] = state.current_player()
        assert not truncated.any()
        over = terminated
    env.close()


@pytest.mark.parametrize("name", CONFS)
def test_random_games_are_open_spiel_s(name: str) -> None:
    self_play(name, 12 if name in ("go", "othello") else 40, 4, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("name", ["othello", "go", "mancala"])
def test_a_thousand_random_games_are_open_spiel_s(name: str) -> None:
    self_play(name, 1000, 8, seed=2)


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "symmetry"),
    [
        ("tic_tac_toe", (3, 3, 5), "|i1", "square"),
        ("connect_four", (6, 7, 5), "|i1", "mirror"),
        ("othello", (8, 8, 5), "|i1", "diagonals"),
        ("gomoku", (7, 7, 5), "|i1", "square"),
        ("go", (9, 9, 6), "|i1", "square"),
        ("mancala", (18,), "<f4", "none"),
    ],
)
def test_the_mesh_carries_them(name: str, shape: tuple[int, ...], dtype: str, symmetry: str) -> None:
    env = envs.make_vector(f"spiel:{name}", 3, env_conf=CONFS[name], seed=1)
    seen, _ = env.reset()
    assert env.spaces == Spaces(
        shape,
        dtype,
        "discrete",
        game(name).num_distinct_actions(),
        legal_actions=True,
        players=2,
        symmetry=symmetry,
    )
    assert Spaces.from_json(json.loads(json.dumps(env.spaces.to_json()))) == env.spaces
    rng, ends = np.random.default_rng(0), 0
    for _ in range(400):
        assert env.legal_actions is not None
        kept, copy = seen, seen.copy()
        seen, rewards, terminated, _, _ = env.step(draw(env.legal_actions, rng))
        assert np.array_equal(kept, copy), "observations are not overwritten by the next step"
        assert (seen.shape, seen.dtype, rewards.dtype) == ((3, *shape), np.dtype(dtype), np.float32)
        ends += int(terminated.sum())
    assert ends > 2
    env.close()


def test_mancala_lets_the_same_player_move_again() -> None:
    env = envs.make_vector("spiel:mancala", 1, seed=1)
    env.reset()
    rng, again = np.random.default_rng(0), 0
    for _ in range(100):
        assert env.legal_actions is not None
        assert env.to_play is not None
        before = env.to_play[0]
        _, _, terminated, _, _ = env.step(draw(env.legal_actions, rng))
        again += int(before == env.to_play[0] and not terminated[0])
    assert again > 5


def test_a_game_of_more_players() -> None:
    env = envs.make_vector("spiel:chinese_checkers", 2, env_conf={"players": 3}, max_episode_steps=30)
    env.reset()
    assert env.spaces.players == 3
    rng, movers, cut = np.random.default_rng(0), [], 0
    for _ in range(31):
        assert env.legal_actions is not None
        assert env.to_play is not None
        movers.append(int(env.to_play[0]))
        *_, truncated, _ = env.step(draw(env.legal_actions, rng))
        cut += int(truncated.sum())
    assert movers[:6] == [0, 1, 2, 0, 1, 2]
    assert cut == 2
    env.close()


@pytest.mark.parametrize(
    ("name", "conf", "said"),
    [
        ("backgammon", {}, "chance moves in it"),
        ("kuhn_poker", {}, "chance moves in it"),
        ("phantom_ttt", {}, "its players do not see everything"),
        ("matching_pennies_3p", {}, "move at the same time"),
        ("goofspiel", {}, "move at the same time"),
        ("tictactoe", {}, "did you mean spiel:.*tic_tac_toe"),
        ("go", {"size": 9}, "does not take env_conf.size; its parameters are board_size, handicap, komi"),
        ("go", {"board_size": "nine"}, "env_conf.board_size = 'nine' must be a whole number"),
        ("go", {"komi": True}, "env_conf.komi = True must be a number"),
        ("morpion_solitaire", {}, "no observation tensor"),
        ("connect_four", {"num_envs": 3}, "env_conf.num_envs cannot be set"),
    ],
)
def test_others_are_refused_in_a_sentence(name: str, conf: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as told:
        envs.make_vector(f"spiel:{name}", 1, env_conf=conf)
    assert f"spiel:{name}" in str(told.value)


def test_a_whole_number_is_a_number() -> None:
    env = spiel("go", komi=6)
    assert env.game.get_parameters()["komi"] == 6.0


@pytest.mark.parametrize("action", [0, -1, 9])
def test_a_move_that_is_not_allowed_is_not_played(action: int) -> None:
    env = spiel("tic_tac_toe", 2)
    env.reset()
    env.step(np.array([0, 0]))
    with pytest.raises(AgentError, match=r"played (0|-1|9) in slot 1, which is not allowed"):
        env.step(np.array([1, action]))


def test_a_limit_truncates_and_begins_again() -> None:
    env = spiel("tic_tac_toe", 2, max_episode_steps=3)
    env.reset()
    for step in range(1, 5):
        *_, terminated, truncated, infos = env.step(np.array([step, step]))
        assert truncated.tolist() == [step == 3] * 2
        assert not terminated.any()
    assert env.position(0).history() == []
    assert infos["legal_act"].all()


def test_games_may_begin_with_random_moves() -> None:
    def openings(seed: int) -> list[list[int]]:
        env = spiel("tic_tac_toe", 300, random_plies=8)
        _, infos = env.reset(seed=seed)
        assert infos["legal_act"].any(1).all(), "every game goes on"
        assert (infos["to_play"] == [len(env.position(i).history()) % 2 for i in range(300)]).all()
        assert not infos.get("rewards", np.zeros(1)).any()
        return [env.position(i).history() for i in range(300)]

    drawn = openings(1)
    assert drawn == openings(1)
    assert drawn != openings(2)
    assert {len(history) for history in drawn} >= set(range(7))
    assert envs.for_evaluation("spiel:go", {"random_plies": 4, "komi": 6.5}) == {"random_plies": 0, "komi": 6.5}
    assert envs.for_evaluation("spiel:go", {"komi": 6.5}) == {"komi": 6.5}
    for wrong in (-1, 2.0, True):
        with pytest.raises(ConfigError, match="random_plies"):
            spiel("go", random_plies=wrong)


def test_another_seed_changes_nothing_and_slots_are_their_own() -> None:
    env = spiel("connect_four", 2)
    first, _ = env.reset(seed=1)
    again, _ = env.reset(seed=2)
    np.testing.assert_array_equal(first, again)
    seen, *_ = env.step(np.array([0, 6]))
    assert not np.array_equal(seen[0], seen[1])


class Allowed(gymnasium.ActionWrapper):
    """Any number as an allowed action, for checkers that draw without looking."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        seen, info = super().reset(seed=seed, options=options)
        self._legal = np.flatnonzero(info["legal_act"])
        return seen, info

    def step(self, action: Any) -> Any:
        result = super().step(action)
        self._legal = np.flatnonzero(result[4]["legal_act"])
        return result

    def action(self, action: Any) -> int:
        return int(self._legal[int(action) % len(self._legal)])


@pytest.mark.parametrize("name", ["tic_tac_toe", "connect_four", "mancala", "go"])
@pytest.mark.filterwarnings("ignore:.*(wrapped|is different from the unwrapped|not within|infinity).*")
def test_gymnasium_s_own_check(name: str) -> None:
    check_env(Allowed(Single(spiel(name))), skip_render_check=True)


def test_text_and_pictures() -> None:
    for name in ("tic_tac_toe", "go", "mancala"):
        text = spiel(name, 2, render_mode="ansi")
        text.reset()
        assert text.render() == (str(text.position(0)), str(text.position(1)))
        drawn = spiel(name, 2, render_mode="rgb_array")
        drawn.reset()
        pictures = drawn.render()
        assert pictures is not None
        before = pictures[0].copy()
        drawn.step(np.array([0, 0]) if name != "mancala" else np.array([1, 1]))
        after = drawn.render()
        assert after is not None
        assert (after[0].dtype, after[0].ndim, after[0].shape) == (np.uint8, 3, before.shape)
        assert not np.array_equal(before, after[0])
    with pytest.raises(ConfigError, match="render_mode = 'human'"):
        spiel("go", render_mode="human")


def eligible() -> list[str]:
    kinds = pyspiel.GameType
    return [
        kind.short_name
        for kind in pyspiel.registered_games()
        if kind.dynamics == kinds.Dynamics.SEQUENTIAL
        and kind.chance_mode == kinds.ChanceMode.DETERMINISTIC
        and kind.information == kinds.Information.PERFECT_INFORMATION
        and kind.default_loadable
        and kind.provides_observation_tensor
        and kind.short_name != "quoridor"  # it prints a warning that its rules have faults
    ]


@pytest.mark.long
@pytest.mark.parametrize("name", eligible())
def test_every_other_game_plays(name: str) -> None:
    """And those that say so show zeros and ones alone."""
    env, rng = envs.make_vector(f"spiel:{name}", 2, seed=1), np.random.default_rng(0)
    seen, _ = env.reset()
    for _ in range(300):
        assert env.legal_actions is not None
        if name in BINARY:
            assert seen.dtype == np.int8
        raw = env.unwrapped
        np.testing.assert_array_equal(seen[0].size, np.prod(env.spaces.obs_shape))
        tensor = np.float32(raw.position(0).observation_tensor(0))  # type: ignore[attr-defined]
        assert np.isin(tensor, (0, 1)).all() or name not in BINARY
        seen, *_ = env.step(draw(env.legal_actions, rng))
    env.close()
