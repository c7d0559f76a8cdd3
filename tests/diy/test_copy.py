"""A copy of diy/ runs by itself, whatever it is called and wherever it lies; a feature more needs one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kaimesh.config.load import REGISTRY
from tests.harness import ROOT

LEARNS = 2


def edit(path: Path, before: str, after: str) -> None:
    """Replaces what is there exactly once."""
    text = path.read_text()
    assert text.count(before) == 1, (path, before)
    path.write_text(text.replace(before, after))


def train(folder: Path, table: str, app: str, python_path: Path) -> subprocess.CompletedProcess[str]:
    """A few learns of the algorithm `mine`, whose table is `table`."""
    conf = folder / "algo_conf.toml"
    conf.write_text(f"{REGISTRY.read_text()}\n[mine]\n{table}\n")
    settings = (f"runs_dir={folder}", f"algo_conf={conf}", f"app={app}", "aisrv_connect_to_kaiwu_env_count=2")
    words = [word for setting in settings for word in ("--set", setting)]
    return subprocess.run(
        [sys.executable, "train_test.py", "--algo", "mine", "--learns", str(LEARNS), *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(python_path)},
        text=True,
        capture_output=True,
        timeout=180,
    )


def edited_copy(where: Path) -> None:
    """Its numbers, its network and its features differ from the original's."""
    shutil.copytree(ROOT / "diy", where, ignore=shutil.ignore_patterns("__pycache__"))
    edit(where / "config.py", "HIDDEN = 64", "HIDDEN = 24")
    edit(where / "model/model.py", "for layer in range(2)", "for layer in range(3)")
    edit(
        where / "feature/realm.py",
        "        _around(visits, 2).reshape(-1),\n",
        "        _around(visits, 2).reshape(-1),\n        [0.5, 0.25],\n",
    )


def layers(folder: Path) -> list[tuple[int, ...]]:
    """Shapes of all weights of the last dumped model, but the biases."""
    with np.load(folder / f"train_test/ckpt/model.ckpt-{LEARNS}.npz") as arrays:
        return sorted(arrays[name].shape for name in arrays.files if arrays[name].ndim == 2)


@pytest.mark.long
def test_a_nested_copy_outside_of_the_checkout_runs_with_two_features_more(tmp_path: Path) -> None:
    edited_copy(tmp_path / "code/teams/red_1")
    done = train(tmp_path, 'copy_of = "diy"\npackage = "teams.red_1"', "realm-mini", tmp_path / "code")
    assert done.returncode == 0, done.stdout + done.stderr
    assert layers(tmp_path) == sorted(2 * [(595, 128), (128, 128), (128, 128)] + [(128, 16), (128, 1)])
    assert "note: mine.HIDDEN: " in done.stderr, "the preset's 128 is named"
    assert "has 24, this run 128" in done.stderr
    assert "another agent" not in done.stderr


@pytest.mark.learning
def test_a_copy_beside_the_original_runs_its_own_numbers(tmp_path: Path) -> None:
    edited_copy(tmp_path / "mine")
    done = train(tmp_path, 'copy_of = "diy"', "gym:CartPole-v1", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert layers(tmp_path) == sorted(2 * [(4, 24), (24, 24), (24, 24)] + [(24, 2), (24, 1)])


@pytest.mark.long
def test_an_observation_that_grows_later_is_an_error_in_words(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "diy", tmp_path / "mine")
    edit(
        tmp_path / "mine/feature/definition.py",
        "    if realm.is_realm(raw_obs):\n",
        "    global seen\n    seen += 1\n    if seen == 30:\n        raw_obs.feature = [*raw_obs.feature, 0.0]\n"
        "    if realm.is_realm(raw_obs):\n",
    )
    path = tmp_path / "mine/feature/definition.py"
    path.write_text(
        path.read_text().replace(
            "@attached\ndef observation_process", "seen = 0\n\n\n@attached\ndef observation_process"
        )
    )
    done = train(tmp_path, 'copy_of = "diy"', "gym:CartPole-v1", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "shape (5,); the declared shape is (4,)" in done.stderr
