"""The pages docs/how_to_add/environment.md and game.md: their examples run as they stand there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.arena.face import face_of
from kaimesh.config import load
from tests.arena.person import Person

ROOT = Path(__file__).resolve().parent.parent


def shown(page: str, language: str) -> str:
    """The first block of code in that language."""
    return (ROOT / "docs/how_to_add" / page).read_text().split(f"```{language}\n")[1].split("```\n")[0]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the pages' files, on the path of this process and of its children."""
    (tmp_path / "corridor.py").write_text(shown("environment.md", "python"))
    (tmp_path / "nim.py").write_text(shown("game.md", "python"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("app", "conf"), [("corridor:Corridor", {"length": 8}), ("nim:Nim", {"stones": 9})])
def test_an_environment_of_a_page_is_one_of_the_mesh(own: Path, app: str, conf: dict[str, int]) -> None:
    del own
    env = envs.make_vector(app, 3, env_conf=conf, seed=1)
    ends, best = 0, -np.inf
    env.reset()
    for step in range(300):
        legal = env.legal_actions
        actions = np.full(3, step % 2) if legal is None else (legal * np.arange(legal.shape[1])).argmax(1)
        _, _, terminated, _, _ = env.step(actions if legal is not None else np.ones(3, int))
        ends += int(terminated.sum())
        best = max(best, float(env.true_rewards.max()))
    assert ends > 20
    assert best == 1.0
    assert env.offers.success_return is not None
    env.close()


def test_the_configuration_of_a_page_is_valid(own: Path) -> None:
    (own / "conf.toml").write_text(shown("environment.md", "toml"))
    app = load(own / "conf.toml", environ={}).app
    assert (app.app, app.max_episode_steps, app.env_conf) == ("corridor:Corridor", 100, {"length": 8})


def test_the_game_of_a_page_has_a_face(own: Path) -> None:
    del own
    env = envs.make_vector("nim:Nim", 1, seed=1)
    observations, _ = env.reset()
    face = face_of(env)
    assert type(face).__name__ == "NimFace"
    (line,) = face.picture(observations[0], 80, 24, True)
    assert len(line[0].text) == int(observations[0].argmax())
    assert [face.press(key) for key in "13x"] == [0, 2, None]
    env.close()


def test_a_person_plays_the_game_of_a_page(own: Path) -> None:
    del own
    person = Person("--app", "nim:Nim", "--seed", "1")
    try:
        person.sees("stones", "1-3 take stones")
        person.type("1" * 15)
        person.sees("The episode is over")
        person.type("q")
        assert person.leaves() == 0
    finally:
        person.close()
