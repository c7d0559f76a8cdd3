"""A run in which nothing was learned says so, and is no success, unless somebody stopped it."""

from __future__ import annotations

import json

import pytest

from kaimesh.operate.local.keeper import rules
from tests.operate.conftest import Mesh

LEARNER = {"learner_0": {"role": "learner"}, "aisrv_0": {"role": "aisrv"}}
STATUSES = {
    "learner_0": {"state": "waiting", "blocked_on": "buffer: 30 of 64 samples"},
    "aisrv_0": {"state": "working"},
}


@pytest.mark.parametrize(
    ("wrapper_type", "processes", "waited"),
    [
        ("remote", LEARNER, "learner_0 waited for buffer: 30 of 64 samples"),
        ("local", {"aisrv_0": {"role": "aisrv"}}, "aisrv_0 was working"),
        (
            "remote",
            {"aisrv_0": {"role": "aisrv"}},
            "",
        ),  # the learner is another machine's: nothing is known of its learns
        ("remote", {"learner_7": {"role": "learner"}}, "learner_7 was not started"),
    ],
)
def test_what_training_waited_for(wrapper_type: str, processes: dict[str, dict[str, str]], waited: str) -> None:
    assert rules.waited_for(processes, STATUSES, wrapper_type) == waited


@pytest.mark.parametrize("reason", ["max_env_steps", "max_seconds", "finished", "stopped", "failed: x"])
@pytest.mark.parametrize("learns", [0, 1])
@pytest.mark.parametrize("waited", ["", "learner_0 waited for y"])
def test_which_ends_are_no_success(reason: str, learns: int, waited: str) -> None:
    said = rules.nothing_learned(reason, learns, waited)
    if reason in ("stopped", "failed: x") or learns or not waited:
        assert said == ""
    else:
        assert said == f"failed: nothing was learned: learner_0 waited for y (the end was: {reason})"


def test_a_run_without_a_learn_fails_and_says_what_was_missing(mesh: Mesh) -> None:
    mesh.environ["DO_learner_0"] = "wait"
    done = mesh.call("start", "--wait", "--max-env-steps", "300")
    assert done.returncode == 1, done.stdout + done.stderr
    told = "failed: nothing was learned: learner_0 waited for buffer: 30 of 64 samples (the end was: max_env_steps)"
    assert f"the run {told}" in done.stderr
    result = json.loads((mesh.run / "result.json").read_text())
    assert (result["reason"], result["learner_steps"]) == (told, 0)
    assert mesh.status()["reason"] == told
