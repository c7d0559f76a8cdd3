"""Where the user's own modules are looked for: in the folder in which the command was typed, in every process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kaimesh import CALLER_VARIABLE, ROOT, envs
from kaimesh.config import caller
from kaimesh.config.packages import find_own_code
from kaimesh.contract.errors import ConfigError
from tests.forks import LIGHT

ROOMS = sorted(path.name for path in (ROOT / "kaimesh").iterdir() if path.is_symlink())
GROUND = ("contract", "config", "wire", "process", "training", "diy", "conf", "tools", "train_test")
# A fresh look at what is imported by which name, after find_own_code.
LOOK = """
import importlib, sys
from kaimesh.config.packages import find_own_code
from kaimesh.contract.errors import ConfigError
find_own_code()
for name in sys.argv[1:]:
    assert importlib.import_module(name).MINE == name, name
    importlib.import_module(f"kaimesh.{name}") if name not in ("diy", "conf", "tools", "train_test") else None
from kaimesh import envs
from kaimesh.arena import evaluate
assert "kaimesh" in envs.__name__ and envs.make("catch") is not None
"""


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A path of one's own, and no variables."""
    monkeypatch.setattr(sys, "path", [str(ROOT), "/library"])
    for name in (CALLER_VARIABLE, "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_callers_folder_is_first_and_the_checkout_last(tmp_path: Path, path: pytest.MonkeyPatch) -> None:
    path.chdir(ROOT)
    path.setenv("PYTHONPATH", "/given:/more")
    path.setenv(CALLER_VARIABLE, str(tmp_path))
    find_own_code()
    assert sys.path == [str(tmp_path), "/given", "/more", str(ROOT), "/library"]
    assert caller.typed("x.toml") == tmp_path / "x.toml"
    path.delenv(CALLER_VARIABLE)
    path.chdir(tmp_path)
    find_own_code()
    assert sys.path[:4] == [str(tmp_path), "/given", "/more", str(ROOT)]


@pytest.mark.parametrize("room", ["envs", "operate/cli", "kaimesh/config", "kaimesh"])
def test_a_command_typed_in_a_room_does_not_put_its_files_before_libraries(room: str, path: pytest.MonkeyPatch) -> None:
    """envs/minigrid.py is not the library `minigrid`."""
    path.chdir(ROOT / room)
    path.setenv(CALLER_VARIABLE, str(ROOT / room))
    find_own_code()
    assert sys.path == [str(ROOT), "/library"]


@pytest.mark.parametrize("kind", ["file", "package", "folder"])
def test_own_modules_may_have_the_names_of_rooms(tmp_path: Path, kind: str) -> None:
    for name in (*ROOMS, *GROUND):
        if kind != "file":
            (tmp_path / name).mkdir()
        if kind != "folder":
            where = tmp_path / name / "__init__.py" if kind == "package" else tmp_path / f"{name}.py"
            where.write_text(f"MINE = {name!r}\n")
    names = [] if kind == "folder" else ["envs", "buffer", "learner", "operate", "arena", "config", "diy", "conf"]
    done = LIGHT.run(["-c", LOOK, *names], env={**_environment(), CALLER_VARIABLE: str(tmp_path)}, timeout_s=60)
    assert done.returncode == 0, done.stderr


def test_the_folder_is_named_where_a_module_is_not_there(path: pytest.MonkeyPatch) -> None:
    path.setenv(CALLER_VARIABLE, "/typed/here")
    with pytest.raises(ConfigError, match=r"into the folder in which you type the command \(/typed/here\)"):
        envs.make("nowhere:Mine")


@pytest.mark.parametrize("module", ["mine.deep", pytest.param("mine", marks=pytest.mark.long)])
def test_start_looks_there_before_anything_runs(tmp_path: Path, module: str) -> None:
    """In the process that builds the environment, too, which is a fresh interpreter."""
    file = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    file.parent.mkdir(exist_ok=True)
    file.write_text("from gymnasium.envs.classic_control import CartPoleEnv as Mine\n")
    words = ["-m", "kaimesh.operate.cli", "start", "--set", f"runs_dir={tmp_path}/runs", "--app"]
    environ = {**_environment(), CALLER_VARIABLE: str(tmp_path)}
    done = LIGHT.run([*words, f"{module}:Mini"], env=environ, timeout_s=120)
    assert done.returncode == 2, done.stderr
    assert f"did you mean {module}:Mine?" in done.stderr


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
