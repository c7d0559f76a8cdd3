"""What the user's code can do wrong, one mesh each: the mesh ends by itself and says what, where and why."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.harness import Mesh

TOYS = "tests/mesh/agents/algo_conf.toml"
DEADLINE_S = 240.0  # some 25 s on a machine of two cores
AT_ONCE = 3  # a start waits more than it computes


class Case(NamedTuple):
    """A fault, which process must say so, and what it must say: the reason, and the line of the user's code."""

    fault: str
    process: str
    reason: str
    lines: tuple[str, ...]
    settings: dict[str, Any]


def raising(fault: str, process: str, where: str, **settings: Any) -> Case:
    """The toy raises in `fault`."""
    lines = (f'raise RuntimeError("broken on purpose: {fault}")', f"RuntimeError: broken on purpose: {fault}")
    return Case(fault, process, f"AgentError: {where}", lines, settings)


LOCAL = {"wrapper_type": "local"}
BROKEN_ENV = {"app": "tests.mesh.agents.envs:Broken", "max_restarts": 1}
CASES = {
    "predict": raising("predict", "aisrv_0", "actor: Toy.predict raised RuntimeError"),
    "learn": raising("learn", "learner_0", "learner: Agent.learn raised RuntimeError", algo="replay"),
    "save_model": raising("save_model", "learner_0", "learner: Agent.save_model raised RuntimeError", algo="replay"),
    "load_model": raising("load_model", "actor_0", "actor: Agent.load_model(path="),
    "constructor": raising("constructor", "learner_0", "tests.mesh.agents.toy.Toy(agent_type='learner') raised"),
    "workflow": raising("workflow", "aisrv_0", "aisrv: workflow in slot "),
    "local predict": raising("predict", "aisrv_0", "aisrv: ", **LOCAL),
    "local learn": raising("learn", "aisrv_0", "aisrv (local): Agent.learn raised RuntimeError", **LOCAL),
    "local save_model": raising("save_model", "aisrv_0", "aisrv (local): Agent.save_model raised", **LOCAL),
    "local constructor": raising("constructor", "aisrv_0", "tests.mesh.agents.toy.Toy(agent_type=", **LOCAL),
    "shape": Case(
        "shape",
        "aisrv_0",
        "SampleError: row 8: field 'feature' has shape (49,); the declared shape is (50,)",
        ("in workflow", "agent.learn(samples)"),
        {},
    ),
    "dtype": Case(
        "dtype",
        "aisrv_0",
        "SampleError: row 8: field 'turn' is float32; the declared dtype is <i8",
        ("in workflow", "agent.learn(samples)"),
        {},
    ),
    "nan in a sample": Case(
        "nan_sample",
        "aisrv_0",
        "field 'reward' of row 8 holds nan; the frame of 9 samples was refused, nothing is trained on it",
        ("in workflow", "agent.learn(samples)"),
        {"algo": "replay"},
    ),
    "nan in a loss": Case(
        "nan_loss",
        "learner_0",
        "AgentError: Agent.learn returned loss = nan at learn 3; training ends here, nothing after learn 0 was dumped",
        (),
        {"algo": "replay"},
    ),
    "nan in a loss, local": Case("nan_loss", "aisrv_0", "AgentError: Agent.learn returned loss = nan", (), LOCAL),
    "env": Case(
        "",
        "aisrv_0",
        "EnvError: the environment raised RuntimeError in step: broken on purpose: step",
        ('raise RuntimeError("broken on purpose: step")', "RuntimeError: broken on purpose: step"),
        BROKEN_ENV,
    ),
    "env, os._exit(0)": Case(
        "",
        "aisrv_0",
        "it ended with exit code 0, but its work was not done: something inside it called exit",
        (),
        {"app": "tests.mesh.agents.envs:Leaving", **LOCAL},
    ),
    "env, segmentation fault": Case(
        "",
        "aisrv_0",
        "killed by SIGSEGV: a segmentation fault in compiled code",
        ("Fatal Python error: Segmentation fault", "in step"),
        {"app": "tests.mesh.agents.envs:Leaving", "env_conf": '{how = "segfault"}', "max_restarts": 1, **LOCAL},
    ),
    "env, vectorised": Case(
        "",
        "aisrv_0",
        "EnvError: the environment raised RuntimeError in step: broken on purpose: step",
        ('raise RuntimeError("broken on purpose: step")', "RuntimeError: broken on purpose: step"),
        {"algo": "vectorised", **LOCAL, **BROKEN_ENV},
    ),
}


class End(NamedTuple):
    """How a mesh ended."""

    mesh: Mesh
    done: subprocess.CompletedProcess[str]
    seconds: float


def run(case: Case, runs: Path) -> End:
    """Starts the mesh and waits for its end."""
    mesh, began = Mesh(runs), time.monotonic()
    settings = {"algo": "toy", "app": "catch", "aisrv_count": 1, "aisrv_connect_to_kaiwu_env_count": 2} | case.settings
    if case.fault:
        settings[f"{settings['algo']}__fault"] = case.fault
    try:
        done = mesh.start("--wait", check=False, timeout_s=DEADLINE_S, algo_conf=TOYS, report_seconds=1, **settings)
    finally:
        mesh.stop()
    return End(mesh, done, time.monotonic() - began)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[End]]]:
    pool = ThreadPoolExecutor(AT_ONCE)
    folder = tmp_path_factory.mktemp("ends")
    yield {name: pool.submit(run, case, folder / str(i)) for i, (name, case) in enumerate(CASES.items())}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", CASES)
def test_the_mesh_ends_and_says_where_the_users_code_broke(ends: dict[str, Future[End]], name: str) -> None:
    case, (mesh, done, _) = CASES[name], ends[name].result()
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 1, said
    reason = json.loads(mesh.run.result.read_text())["reason"]
    assert reason.startswith(f"failed: {case.process}"), reason
    assert case.reason in reason
    for line in case.lines:
        assert line in done.stderr, f"{line!r} is missing in\n{done.stderr}"
    assert "Traceback" not in done.stdout, "the view has lines, not tracebacks"


def test_nothing_was_dumped_from_what_a_bad_learn_left(ends: dict[str, Future[End]]) -> None:
    for name in ("learn", "nan in a loss", "local learn", "nan in a loss, local"):
        mesh = ends[name].result().mesh
        assert [path.name for path in mesh.run.ckpt.glob("model.ckpt-*")] == ["model.ckpt-0.txt"]


def test_an_environment_that_raises_is_tried_again(ends: dict[str, Future[End]]) -> None:
    log = (ends["env"].result().mesh.run.logs / "aisrv_0.log").read_text()
    assert log.count("aisrv_0 ends: EnvError") == 2, "max_restarts = 1"
    assert log.count("broken on purpose: step") >= 2
