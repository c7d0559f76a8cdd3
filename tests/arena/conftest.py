"""Algorithms that need no training, and runs with models of them."""

from __future__ import annotations

import json

import pytest

from kaimesh.arena import evaluate
from kaimesh.contract import structs
from kaimesh.process.run_dir import RunDir
from tests.arena import fake

ALGORITHMS = {
    "vectorised": ("fake.VectorisedAgent", "fake.vectorised_workflow"),
    "unit": ("fake.UnitAgent", "fake.vectorised_workflow"),
    "kaiwu": ("fake.Kaiwu", "fake.workflow"),
    "kaiwu2": ("fake.KaiwuG2", "fake.workflow"),
    "master": ("boards.Master", "fake.vectorised_workflow"),
    "counting": ("boards.Counting", "fake.vectorised_workflow"),
    "walker": ("walkers.VectorisedWalker", "fake.vectorised_workflow"),
    "kaiwu_walker": ("walkers.Kaiwu", "fake.workflow"),
}
ATTACHED = ("ObsData", "ActData", "observation_process", "action_process")


@pytest.fixture(autouse=True)
def algorithms(tmp_path, monkeypatch, request):
    text = ""
    for name, (cls, workflow) in ALGORITHMS.items():
        agents = "".join(f'{role}_agent = "tests.arena.{cls}"\n' for role in ("actor", "learner", "aisrv"))
        text += f'[{name}]\n{agents}train_workflow = "tests.arena.{workflow}"\n'
    path = tmp_path / "algo_conf.toml"
    path.write_text(text)
    monkeypatch.setenv("algo_conf", str(path))
    module = getattr(request.module, "PROTOCOL", fake)
    monkeypatch.setattr(structs, "_protocol", {name: getattr(module, name) for name in ATTACHED})
    monkeypatch.delenv("KAIMESH_FROM", raising=False)


@pytest.fixture
def make_run(tmp_path):
    """make_run(app, algo="vectorised", ids=(1,), extra="")"""

    def make(app, algo="vectorised", ids=(1,), extra=""):
        run = RunDir(tmp_path / "run")
        run.prepare()
        run.conf.write_text(f'[app]\napp = "{app}"\nalgo = "{algo}"\n{extra}')
        for id in ids:
            (run.ckpt / f"model.ckpt-{id}.txt").write_text(str(id))
        return run

    return make


@pytest.fixture
def result(capsys):
    """result(*arguments, code=0): what evaluate prints as JSON."""

    def of(*arguments, code=0):
        found = evaluate.main([*map(str, arguments), "--json"])
        out = capsys.readouterr()
        assert found == code, out.err
        return json.loads(out.out)

    return of
