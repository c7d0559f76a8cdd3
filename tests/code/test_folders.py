"""Agent folders in every generation's idioms train unchanged, with --code.

Each was written from docs/kaiwu.md's table of what Kaiwu's frameworks offer, and is what a contestant would have.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from kaimesh.config.code import Code
from kaimesh.contract.errors import ConfigError
from kaimesh.envs import registry
from tests.code.copies import copy, digest, train
from tests.code.idioms import IDIOMS, Idiom
from tests.harness import Mesh

QUICK = ("namespace_exit", "g3_local")  # by train_test.py, in the default set
LONG = pytest.mark.long


def made(name: str, tmp_path: Path) -> tuple[Idiom, Path]:
    """The folder, in a place of its own. Skips: it needs PyTorch, or a game that there is not."""
    idiom = IDIOMS[name]
    if idiom.torch and importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch: ./tools/setup.sh torch")
    root = copy(idiom.base or name, tmp_path / "code", *idiom.changes)
    app = Code.read(root).app
    try:
        registry.resolve(app)
    except ConfigError:
        pytest.skip(f"there is no environment {app}")
    return idiom, root


@pytest.mark.parametrize("name", IDIOMS)
def test_its_generation_is_found(name: str, tmp_path: Path) -> None:
    idiom = IDIOMS[name]
    code = Code.read(copy(idiom.base or name, tmp_path / "code", *idiom.changes))
    assert code.generation == idiom.generation, code.why
    assert code.pairs == (idiom.generation == "G2a")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else LONG) for name in IDIOMS])
def test_it_trains_in_one_process(name: str, tmp_path: Path) -> None:
    idiom, root = made(name, tmp_path)
    before = digest(root)
    done = train(root, tmp_path / "runs", idiom.settings)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Train test succeed" in said
    assert digest(root) == before
    run = tmp_path / "runs" / "train_test"
    saved = {path.name for path in (run / "ckpt").glob("model.ckpt-*")}
    assert f"model.ckpt-1{idiom.suffix}" in saved or f"model.ckpt-50{idiom.suffix}" in saved, saved
    if name == "spin_on_none":
        refused = [line for line in said.splitlines() if "returns None" in line]
        assert len(refused) == 1, said
        assert "treasure_id" in refused[0]


@LONG
@pytest.mark.parametrize("name", IDIOMS)
def test_it_trains_in_a_mesh(name: str, tmp_path: Path, mesh: Mesh) -> None:
    """The predictor's models get newer, the user's saves arrive, and the folder is as it was, byte by byte."""
    idiom, root = made(name, tmp_path)
    before = digest(root)
    mesh.start("--code", str(root), "--detach", **idiom.settings)
    mesh.wait_for_state("running")
    if idiom.local:
        mesh.wait_for("aisrv_0", "learner_steps", 3)
    else:
        mesh.wait_for("actor_0", "models_loaded", 3, timeout_s=400)
        first = int(mesh.of("actor_0")["model_version"])
        mesh.until(lambda: mesh.of("actor_0").get("model_version", 0) > first, "a newer model predicts", 400)
    mesh.stop()
    assert digest(root) == before
    files = [path.name for path in mesh.run.root.rglob("model.ckpt-*") if path.suffix == idiom.suffix]
    assert len({re.sub(r"\D", "", name) for name in files}) > 1, files
    ended = json.loads(mesh.run.mesh.read_text())
    assert "fail" not in str(ended.get("reason")), mesh.logs()
