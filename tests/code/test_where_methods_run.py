"""Which method of a folder's agent runs in which process of a mesh, as docs/kaiwu.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.code.copies import Change, copy
from tests.code.faults import AGENT, BASE, DEFINITION, WORKFLOW
from tests.code.idioms import IDIOMS
from tests.harness import Mesh

TRACE = """import functools
import os
from kaiwudrl.common.config.config_control import CONFIG


def traced(function):
    @functools.wraps(function)
    def call(*args, **named):
        with open(f"log/where_{os.getpid()}.txt", "a") as file:
            file.write(f"{function.__name__} {CONFIG.svr_name}\\n")
        return function(*args, **named)

    return call
"""
IMPORT = "from diy.config import Config\n"
CHANGES = (
    Change("diy/trace.py", "", TRACE),
    Change(AGENT, IMPORT, f"{IMPORT}from diy.trace import traced\n"),
    Change(AGENT, "    # no super()", "    @traced\n    # no super()"),
    *(
        Change(AGENT, f"    @{name}_wrapper\n", f"    @{name}_wrapper\n    @traced\n")
        for name in ("predict", "learn", "save_model", "load_model")
    ),
    Change(DEFINITION, IMPORT, f"{IMPORT}from diy.trace import traced\n"),
    Change(DEFINITION, "@attached\n", "@attached\n@traced\n"),
    # what is not wrapped needs the newest weights in the workflow's own process
    Change(WORKFLOW, 'load_model(id="latest")\n', 'load_model(id="latest")\n        agent.values([0.0] * 16, 1)\n'),
)
WHERE = {
    "__init__": {"aisrv", "actor", "learner"},
    "predict": {"actor"},
    "learn": {"learner"},
    "save_model": {"learner"},
    "load_model": {"actor", "aisrv"},
    "observation_process": {"aisrv"},
    "action_process": {"aisrv"},
    "sample_process": {"aisrv"},
    "SampleData2NumpyData": {"aisrv"},
    "NumpyData2SampleData": {"learner"},
}


@pytest.mark.long
def test_each_method_runs_where_the_page_says(tmp_path: Path, mesh: Mesh) -> None:
    root = copy(BASE, tmp_path / "code", *CHANGES)
    mesh.start("--code", str(root), "--detach", **IDIOMS[BASE].settings)
    mesh.wait_for_state("running")
    mesh.wait_for("actor_0", "models_loaded", 3, timeout_s=400)
    mesh.wait_for("aisrv_0", "models_loaded", 1, timeout_s=400)
    mesh.stop()
    found: dict[str, set[str]] = {}
    for path in (mesh.run.root / "code/log").glob("where_*.txt"):
        for line in path.read_text().splitlines():
            method, process = line.split()
            found.setdefault(method, set()).add(process)
    assert found == WHERE
    assert not (root / "log").exists()
