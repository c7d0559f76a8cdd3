"""A user's packages and modules may be called like any room of ours: a mesh starts from a folder full of them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.harness import ROOT, Mesh
from tests.test_architecture import GROUND, ROOMS

NAMES = (*ROOMS, *GROUND, "diy", "tests", "tools", "benchmarks", "cli", "keeper", "agent")
OWN = set(NAMES) - {"diy", "tests"}  # these two are the user's own name, and the tests' own
ENVIRONMENT = """
import gymnasium, numpy as np
{imports}

class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), {{}}

    def step(self, action):
        self.t += 1
        return self.observation_space.sample(), float(action), self.t == 20, False, {{}}
"""
# How a name is taken in the user's folder: the file that holds something, and how it is imported.
KINDS = {
    "module": ("{}.py", "from {} import MINE as mine_{}"),
    "regular": ("{}/thing.py", "from {}.thing import MINE as mine_{}"),
    "namespace": ("{}/thing.py", "from {}.thing import MINE as mine_{}"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_ours_are_free_for_users(kind: str, tmp_path: Path, mesh: Mesh) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    place, statement = KINDS[kind]
    for name in sorted(OWN):
        path = folder / place.format(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"MINE = {name!r}\n")
        if kind == "regular":
            (path.parent / "__init__.py").touch()
    lines = [f"{statement.format(name, name)}\nassert mine_{name} == {name!r}" for name in sorted(OWN - {"envs"})]
    environment = folder / ("envs.py" if kind == "module" else "envs/mine.py")
    environment.write_text(ENVIRONMENT.format(imports="\n".join(lines)))
    app = f"envs{'' if kind == 'module' else '.mine'}:Mine"
    flags = [word for key, value in mesh.settings.items() for word in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [ROOT / "tools/start.sh", "--wait", "--max-seconds", "5", "--app", app, "--set", "aisrv_count=1", *flags],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, text=True, capture_output=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{mesh.logs()}"
    assert json.loads(mesh.run.result.read_text())["learner_steps"] > 0
    assert mesh.internal_errors() == {}
