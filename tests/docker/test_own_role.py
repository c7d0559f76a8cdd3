"""A process of one's own in containers: started, shown, killed, restarted, upgraded and stopped like the mesh's own.

It needs a package (here in diy/), a table of the configuration, and its lines for Compose: docs/how_to_add/process.md.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.cluster import Cluster
from tests.docker.test_upgrade import CHANGED, tool
from tests.harness import ROOT

pytestmark = pytest.mark.usefixtures("alone")
FILE = "docker-compose.own.yml"
TABLE = """
[roles.toy]
package = "diy.toy"
addresses = ["127.0.0.1:9100"]
work = "turns"
probe = "tcp"
settings = {turn_seconds = 0.05}
"""
BACK_S = 120.0


@pytest.fixture(scope="module")
def own(checkout: Path) -> Iterator[Cluster]:
    """A cluster with the toy, in a checkout of its own: the document's example, with the toy for the evaluator."""
    lines = (checkout / "docs/how_to_add/process.md").read_text().split("```yaml\n")[1].split("```")[0]
    (checkout / FILE).write_text(lines.replace("evaluator", "toy"))
    shutil.copy(ROOT / "tests/operate/toy.py", checkout / "diy/toy.py")
    conf = checkout / "conf/configure_app.toml"
    before = conf.read_text()
    conf.write_text(before + TABLE)
    files = f"docker-compose.yml:docker-compose.override.yml:{FILE}"
    cluster = Cluster(checkout, "kaimesh-own", COMPOSE_FILE=files)
    cluster.remove()
    try:
        cluster.up("--build")
        yield cluster
    finally:
        cluster.remove()
        conf.write_text(before)
        (checkout / FILE).unlink()
        (checkout / "diy/toy.py").unlink()


def works(report: dict[str, Any]) -> bool:
    return any(p["name"] == "toy_0" and p["health"] == "ok" and p["throughput"] for p in report["processes"])


def test_it_is_started_and_shown(own: Cluster) -> None:
    own.wait(works, BACK_S, "the toy works")
    row = own.process("toy_0")
    assert (row["throughput_unit"], row["port"]) == ("turns/s", 9100)
    said = json.loads(tool(own, "status", "--json").stdout)
    pieces = {piece["service"]: piece["health"] for piece in said["containers"]}
    assert pieces["toy"] == "healthy"
    assert set(pieces) > {"buffer", "learner", "aisrv", "monitor"}
    assert "toy_0" in tool(own, "status").stdout
    code, said_of_itself = own.container("toy").exec_run(["python", "-m", "kaimesh.operate.cluster", "probe"])
    assert (code, said_of_itself.decode().strip()) == (0, "working; toy_addrs: accepts connections")


def test_killed_and_restarted_it_comes_back(own: Cluster) -> None:
    own.wait(works, BACK_S, "the toy works")
    lives = own.process("toy_0")["restarts"]
    assert "killed" in tool(own, "kill", "toy").stdout
    own.wait(lambda r: works(r) and own.process("toy_0")["restarts"] > lives, BACK_S, "it is back after a kill")
    container = own.container("toy")
    assert container.attrs["RestartCount"] == 1, "the engine's restart policy did it"
    lives = own.process("toy_0")["restarts"]
    own.compose("restart", "toy")
    own.wait(lambda r: works(r) and own.process("toy_0")["restarts"] > lives, BACK_S, "it is back after a restart")


def test_it_is_upgraded_after_what_it_needs(own: Cluster) -> None:
    old = own.container("toy").id
    source = own.checkout / CHANGED
    text = source.read_text()
    try:
        source.write_text(text + "\n# another change\n")
        lines = tool(own, "upgrade").stdout.splitlines()
    finally:
        source.write_text(text)
    order = [line.split(":")[0] for line in lines if line.endswith(": replacing")]
    assert order[-1] == f"{own.name}-toy-1", "its stage is the last"
    assert own.container("toy").id != old
    own.wait(works, BACK_S, "the new one works")


def test_it_ends_cleanly(own: Cluster) -> None:
    own.compose("stop")
    ends = {own.engine.service_of(c): c.attrs["State"]["ExitCode"] for c in own.engine.containers()}
    assert ends["toy"] == 0
    assert not any(ends.values()), ends
