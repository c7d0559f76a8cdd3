"""The page docs/add_a_game.md: its game runs as it stands there, in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.aisrv.rollout import Group
from kaimesh.arena.face import face_of
from kaimesh.process.meter import Meter
from tests.aisrv.test_players import Asked

PAGES = Path(__file__).resolve().parent.parent / "docs"
APP = "chomp:Chomp"


def code(page: str) -> str:
    return (PAGES / page).read_text().split("```python\n")[1].split("```\n")[0]


@pytest.fixture
def chomp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with the page's file, on the path of this process."""
    (tmp_path / "chomp.py").write_text(code("add_a_game.md"))
    monkeypatch.syspath_prepend(tmp_path)
    return iter([None])


def test_both_languages_show_the_same_game() -> None:
    assert code("add_a_game.md") == code("add_a_game.zh-CN.md")


@pytest.mark.usefixtures("chomp")
def test_the_mesh_plays_it() -> None:
    assert envs.try_out(envs.make(APP), APP, lambda: envs.make(APP)) == ""
    env = envs.make_vector(APP, 4, env_conf={"rows": 2, "columns": 3}, seed=1)
    assert (env.spaces.obs_shape, env.spaces.obs_dtype, env.spaces.players) == ((2, 3, 3), "|i1", 2)
    seen, _ = env.reset()
    rng, won = np.random.default_rng(0), np.zeros(2)
    for _ in range(200):
        assert env.legal_actions is not None
        assert env.to_play is not None
        np.testing.assert_array_equal(seen[:, 0, 0, 1:], np.eye(2)[env.to_play])
        np.testing.assert_array_equal(seen[..., 0].reshape(4, 6), env.legal_actions)
        over = ~env.legal_actions.any(1)
        actions = (env.legal_actions * rng.random((4, 6))).argmax(1)
        seen, _, terminated, _, _ = env.step(actions)
        assert env.player_rewards is not None
        assert not env.player_rewards[over].any()
        assert (np.sort(env.player_rewards[terminated]) == [-1, 1]).all()
        won += (env.player_rewards > 0).sum(0)
    assert (won > 5).all()
    env.close()


@pytest.mark.usefixtures("chomp")
def test_a_rollout_has_the_columns_that_the_page_names() -> None:
    class Eats(Asked):
        """The last piece that is left."""

        def receive(self) -> Any:
            acts, version = super().receive()
            acts.action[:] = np.where(self.asked[-1].legal_act, np.arange(12), 0).max(1)
            return acts, version

    agent, meter = Eats(), Meter("aisrv_0")
    group = Group(envs.make_vector(APP, 2), agent, 13, meter, run_id=0, seed=1)
    for _ in range(14):
        group.advance()
    (unroll,) = agent.sent
    assert (unroll.reward.shape, unroll.to_play.shape) == ((2, 13, 2), (2, 14))
    np.testing.assert_array_equal(unroll.reward[0, 11], [1, -1])  # player 1 ate the twelfth piece
    assert meter.gauges["return_seat_0"] == -meter.gauges["return_seat_1"] == 1.0


@pytest.mark.usefixtures("chomp")
def test_its_rules_can_be_searched_and_player_0_wins() -> None:
    import chomp  # type: ignore[import-not-found]

    def best(position: Any) -> float:
        """What the player to move gets with perfect play."""
        mover = position.current_player()
        worth = []
        for action in position.legal_actions():
            after = position.clone()
            after.apply_action(action)
            worth.append(after.returns()[mover] if after.is_terminal() else -best(after))
        return max(worth)

    env = envs.make(APP, env_conf={"rows": 3, "columns": 3})
    env.reset()
    assert best(env.unwrapped.position()) == 1.0  # type: ignore[attr-defined]
    assert best(chomp.Position(np.ones((1, 1), bool))) == -1.0


@pytest.mark.usefixtures("chomp")
def test_a_person_sees_the_bar() -> None:
    env = envs.make_vector(APP, 1, seed=1)
    seen, _ = env.reset()
    face = face_of(env)
    assert [face.press(key) for key in "alz"] == [0, 11, None]
    env.step(np.array([6]))
    assert [line[0].text for line in face.picture(seen[0], 80, 20, True)] == ["a b c d", "e f . .", "i j . ."]
    assert face.status() == "player 1 to move; a is poisoned"
    env.close()
