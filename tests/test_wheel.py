"""The project as a wheel: one top level, `kaimesh`, with every room in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.test_architecture import GROUND, ROOMS, sources

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("kaimesh", *ROOMS, "diy", "tests", "benchmarks", "pyproject.toml", "LICENSE", "NOTICE", "README.md")


def test_a_wheels_top_level_is_kaimesh_alone(tmp_path: Path) -> None:
    checkout, wheels, installed = (tmp_path / name for name in ("checkout", "wheels", "installed"))
    checkout.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, checkout)
    code = f"from setuptools import build_meta; print(build_meta.build_wheel({str(wheels)!r}))"
    wheels.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        wheel.extractall(installed)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"kaimesh"}
    assert {name.split("/")[1] for name in names if name.startswith("kaimesh/")} == {
        *GROUND, *ROOMS, "__init__.py", "agent.py"
    }  # fmt: skip
    ours = {source.module.replace(".", "/") for source in sources()}
    assert not ours - {name.removesuffix(".py").removesuffix("/__init__") for name in names}
    for data in ("envs/realm/story.js", "arena/show/page.html", "arena/show/page.js", "learner/learner.proto"):
        assert f"kaimesh/{data}" in names
    code = "import kaimesh.agent, kaimesh.actor.client, kaimesh.envs; print(kaimesh.__path__[0])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(installed / "kaimesh"), done.stderr
