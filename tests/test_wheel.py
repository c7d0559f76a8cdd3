"""The project as an installed package: one top level, `kaimesh`, and a command that works in any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

import kaimesh
from tests.harness import free_ports
from tests.test_architecture import COMPAT, GROUND, ROOMS, sources
from tests.test_how_to_add import shown

ROOT = Path(__file__).resolve().parent.parent
COPIED = (
    "kaimesh",
    *ROOMS,
    COMPAT,
    "conf",
    "diy",
    "tests",
    "benchmarks",
    "pyproject.toml",
    "LICENSE",
    "NOTICE",
    "README.md",
)
DATA = (
    "envs/realm/story.js",
    "arena/show/page.html",
    "arena/show/page.js",
    "learner/learner.proto",
    "config/conf/algo_conf.toml",
    "config/conf/configure_app.toml",
    "py.typed",
)
OWN_APP = ("--app", "corridor:Corridor", "--set", "max_episode_steps=100")


class Installed(NamedTuple):
    """The wheel's files, and the folder that they were unpacked into."""

    names: list[str]
    folder: Path

    def run(self, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Python with these words, in `cwd`; third-party packages are those of this Python."""
        environ = {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "150"}
        return subprocess.run(
            [sys.executable, *words], cwd=cwd, env=environ, capture_output=True, text=True, timeout=240
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    checkout, wheels, folder = (tmp_path_factory.mktemp(name) for name in ("checkout", "wheels", "installed"))
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, checkout)
    code = f"from setuptools import build_meta; print(build_meta.build_wheel({str(wheels)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
        return Installed(wheel.namelist(), folder)


def test_a_wheels_top_level_is_kaimesh_alone(installed: Installed) -> None:
    names = installed.names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"kaimesh"}
    assert {name.split("/")[1] for name in names if name.startswith("kaimesh/")} == {
        *GROUND, *ROOMS, COMPAT, "__init__.py", "__main__.py", "agent.py", "py.typed"
    }  # fmt: skip
    ours = {source.module.replace(".", "/") for source in sources()}
    assert not ours - {name.removesuffix(".py").removesuffix("/__init__") for name in names}
    assert not {f"kaimesh/{data}" for data in DATA} - set(names)


def test_a_wheel_has_the_version_and_the_command(installed: Installed, tmp_path: Path) -> None:
    (metadata,) = installed.folder.glob("*.dist-info")
    assert metadata.name == f"kaimesh-{kaimesh.__version__}.dist-info"
    script = "[console_scripts]\nkaimesh = kaimesh.__main__:main\n"
    assert (metadata / "entry_points.txt").read_text() == script
    assert f"## [{kaimesh.__version__}] - " in (ROOT / "CHANGELOG.md").read_text()
    assert installed.run(tmp_path, "-m", "kaimesh", "--version").stdout == f"kaimesh {kaimesh.__version__}\n"
    shown = installed.run(tmp_path, "-m", "kaimesh", "--help").stdout
    commands = "start stop restart status logs evaluate play replay cluster config"
    assert not [command for command in commands.split() if f"│ {command} " not in shown]


@pytest.mark.mesh
def test_an_installed_mesh_runs_where_it_is_called(installed: Installed, tmp_path: Path) -> None:
    """From the delivered configuration to an evaluated model, in a folder that holds just an environment."""
    (tmp_path / "corridor.py").write_text(shown("environment.md", "python"))
    keys = ("buffer_addrs", "buffer_ingest_addrs", "model_pool_addr", "learner_addr", "actor_addrs")
    ports = [f"--set={key}=127.0.0.1:{port}" for key, port in zip(keys, free_ports(5), strict=True)]
    said = installed.run(tmp_path, "-m", "kaimesh", "status")
    assert said.returncode == 2
    assert "start one with kaimesh start" in said.stderr
    said = installed.run(tmp_path, "-m", "kaimesh", "start", "--wait", *OWN_APP, "--max-env-steps", "5000", *ports)
    assert said.returncode == 0, said.stdout + said.stderr
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"corridor.py", "runs"}
    said = installed.run(tmp_path, "-m", "kaimesh", "evaluate", "--episodes", "2", "--json", "--record", "played")
    result = json.loads(said.stdout)
    assert (result["app"], result["algo"], len(result["each"])) == ("corridor:Corridor", "ppo", 2)
    assert len(list((tmp_path / "played").iterdir())) == 2


def test_every_program_finds_the_delivered_conf(installed: Installed, tmp_path: Path) -> None:
    """A training in one process, and a process of a mesh; each ends at the key that is wrong."""
    serial = "from kaimesh.operate.train_test import main; main('ppo', '')"
    said = installed.run(tmp_path, "-c", serial, "--set", "mine=1").stderr
    assert "unknown key 'mine'" in said
    said = installed.run(tmp_path, "-c", serial, "--set", "mine").stderr
    assert "--set 'mine' is not key=value" in said
    said = installed.run(tmp_path, "-c", "import os, runpy; os.environ['algo'] = 'mine'; "
                         "runpy.run_module('kaimesh.learner', run_name='__main__')")  # fmt: skip
    assert "algo = 'mine' is not in" in said.stdout + said.stderr


def test_an_own_conf_is_taken_before_the_delivered_one(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/configure_app.toml").write_text('[app]\nmine = 1\nalgo_conf = "conf/algo_conf.toml"\n')
    said = installed.run(tmp_path, "-m", "kaimesh", "config", "files").stdout.splitlines()
    assert said == [
        str(tmp_path / "conf/configure_app.toml"),
        str(installed.folder / "kaimesh/config/conf/algo_conf.toml"),
    ]
    said = installed.run(tmp_path, "-m", "kaimesh", "start").stderr
    assert "unknown key 'mine'" in said
    assert "1 problem;" in said
    assert "## `[ppo]`" in installed.run(tmp_path, "-m", "kaimesh", "config", "docs").stdout


def test_the_command_of_a_checkout_finds_modules_where_it_is_typed(tmp_path: Path) -> None:
    """Its processes, too: one of them looks for the environment."""
    (tmp_path / "corridor.py").write_text(shown("environment.md", "python"))
    code = f"import sys; sys.path.append({str(ROOT)!r}); from kaimesh.__main__ import main; main()"
    words = [sys.executable, "-c", code, "start", "--app", "corridor:Corridorr", f"--set=runs_dir={tmp_path}/runs"]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert said.returncode == 2
    assert "did you mean corridor:Corridor" in said.stderr
    assert not (tmp_path / "runs").exists()
