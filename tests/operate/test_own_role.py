"""A process of one's own in a mesh: started, shown, killed, restarted, replaced by newer code, stopped, resumed."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaimesh import CALLER_VARIABLE
from kaimesh.config.own_roles import OwnRole
from kaimesh.config.roles import role_of
from tests.harness import free_ports
from tests.operate.conftest import ROOT, Mesh, _mesh

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh with the toy, whose package lies in the folder in which the command is typed."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine").mkdir()
    (folder / "mine" / "toy.py").write_text(TOY.read_text())
    port, monitor, page = free_ports(3)
    for mesh in _mesh(folder / "runs"):
        mesh.environ[CALLER_VARIABLE] = str(folder)
        mesh.settings |= {
            "roles.toy.package": "mine.toy",
            "roles.toy.addresses": f'["127.0.0.1:{port}"]',
            "roles.toy.work": "turns",
            "roles.toy.settings": "{turn_seconds = 0.02}",
            "monitor_addr": f"127.0.0.1:{monitor}",
            "monitor_page_port": str(page),
        }
        mesh.start()
        yield mesh


def code_of(mesh: Mesh) -> Path:
    return mesh.runs.parent / "mine" / "toy.py"


def test_it_is_started_after_the_others_and_shown_like_them(own: Mesh) -> None:
    own.until(lambda: own.process("toy_0")["throughput"])
    row = own.process("toy_0")
    assert (row["health"], row["restarts"], row["throughput_unit"]) == ("ok", 0, "turns/s")
    assert str(row["port"]) in own.settings["roles.toy.addresses"]
    told = json.loads(own.call("status", "--json").stdout)
    assert "toy_0" in {process["name"] for process in told["processes"]}
    table = own.call("status").stdout
    assert "toy_0" in table
    assert "turns/s" in table
    begun = {name: own.published(name)["started"] for name in ("buffer_0", "learner_0", "aisrv_0", "toy_0")}
    assert list(begun.values()) == sorted(begun.values())
    assert "toy_0 |" in own.call("logs", "toy").stdout


def test_a_monitor_shows_it_on_its_page(own: Mesh) -> None:
    words = [
        "-m",
        "kaimesh.operate.cluster.monitor",
        "--conf",
        str(own.run / "conf.toml"),
        "--runs",
        str(own.runs / "watched"),
    ]
    environ = {**own.environ, "KAIMESH_TOKEN": (own.run / "token").read_text()}
    monitor = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)

    def page() -> str:
        connection = http.client.HTTPConnection("127.0.0.1", int(own.settings["monitor_page_port"]), timeout=20)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            connection.close()

    try:
        own.until(lambda: "turns/s" in page())
        assert "<td>toy_0<td>" in page()
    finally:
        monitor.terminate()
        assert monitor.wait(60) == 0


def test_killed_it_comes_back_and_counts_on(own: Mesh) -> None:
    before = own.published("toy_0")
    os.kill(before["pid"], signal.SIGKILL)
    own.until(lambda: own.process("toy_0")["restarts"] == 1 and own.process("toy_0")["health"] == "ok")
    after = own.published("toy_0")
    assert after["pid"] != before["pid"]
    assert after["counters"]["turns"] >= before["counters"]["turns"]
    assert own.status()["state"] == "running"


def test_stopped_and_started_again_it_runs_newer_code(own: Mesh) -> None:
    assert "toy_0 ended" in own.call("stop", "toy").stdout
    own.until(lambda: own.process("toy_0")["health"] == "done")
    code_of(own).write_text(TOY.read_text().replace("VERSION = 1", "VERSION = 2"))
    assert own.call("restart", "toy").returncode == 0
    own.until(lambda: own.published("toy_0").get("gauges", {}).get("version") == 2)
    assert own.status()["state"] == "running"


def test_it_ends_with_the_mesh_in_its_place_and_a_resumed_run_has_it_again(own: Mesh) -> None:
    done = own.call("stop", "all")
    assert done.returncode == 0, done.stderr
    assert "toy_0 ended after" in done.stdout
    assert not own.living()
    ends = {name: own.published(name)["time"] for name in ("toy_0", "aisrv_0", "learner_0", "buffer_0")}
    assert list(ends.values()) == sorted(ends.values())
    assert tomllib.loads((own.run / "conf.toml").read_text())["roles"]["toy"]["package"] == "mine.toy"

    own.settings = {}
    own.start("--resume")
    own.until(lambda: own.process("toy_0")["health"] == "ok")
    assert {role_of(process["name"]) for process in own.status()["processes"]} > {"toy", "buffer", "aisrv"}
    assert own.call("stop", "all").returncode == 0


def test_what_cannot_be_run_is_told_before_anything_starts(mesh: Mesh) -> None:
    mesh.settings |= {"roles.toy.package": "nowhere.toy", "roles.toy.stage": "7"}
    done = mesh.call("start", "--detach")
    assert done.returncode == 2
    assert "[roles.toy]: stage = 7" in done.stderr
    mesh.settings["roles.toy.stage"] = "2"
    done = mesh.call("start", "--detach")
    assert done.returncode == 2
    assert "there is no module 'nowhere', so it could not be started" in done.stderr
    assert not list(mesh.runs.glob("gym*"))


def test_the_document_shows_this_very_process() -> None:
    shown = (ROOT / "docs/how_to_add/process.md").read_text().split("```python\n")[1].split("```")[0]
    assert shown.replace("Evaluator", "Toy").replace("evaluator", "toy") == TOY.read_text()


def test_the_document_names_every_key_with_its_default() -> None:
    text = (ROOT / "docs/how_to_add/process.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]*?)`? \|", text, re.MULTILINE))
    defaults = OwnRole(package="x").model_dump(mode="json")
    wanted = {key: json.dumps(value) if value else "none" for key, value in defaults.items()}
    assert rows == {**wanted, "package": "must be given"}
