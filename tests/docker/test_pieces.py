"""What needs no engine: names, the ledger, the page, the probe's judgement, the container's process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.config import load
from kaimesh.config.roles import ROLES
from kaimesh.contract.errors import EXIT_CONFIG, ConfigError
from kaimesh.operate.cluster import places, probe, serve, setup, stack
from kaimesh.operate.cluster.replica import name_of, number
from kaimesh.operate.cluster.tool import as_line
from kaimesh.operate.view import page
from kaimesh.operate.view.cluster import look
from kaimesh.operate.view.ledger import KEPT_LIVES, Ledger
from kaimesh.process.logs import JsonLines
from kaimesh.wire.gate import role_token
from tests.harness import ROOT


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("kaimesh-aisrv-1.kaimesh_mesh.", 0),
        ("a-b-aisrv-12.a-b_mesh.", 11),
        ("kaimesh_aisrv.3.q1w2e3r4t5y6u7i8o9p0abcde.kaimesh_mesh.", 2),
        ("5b6fa63c03dd", None),
        ("localhost.", None),
    ],
)
def test_a_containers_name_has_its_number(name: str, wanted: int | None) -> None:
    assert number(name) == wanted


def test_the_name_is_asked_of_the_dns_itself() -> None:
    asked: list[bytes] = []

    def answer(server: socket.socket) -> None:
        question, peer = server.recvfrom(512)
        asked.append(question)
        name = b"\x0fkaimesh-aisrv-2\x0ckaimesh_mesh\0"
        head = struct.pack(">6H", 1, 0x8180, 1, 1, 0, 0)
        record = struct.pack(">HHHIH", 0xC00C, 12, 1, 600, len(name)) + name
        server.sendto(head + question[12:] + record, peer)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        assert name_of("172.23.0.7", server.getsockname()) == "kaimesh-aisrv-2.kaimesh_mesh."
        thread.join()
    assert b"\x017\x010\x0223\x03172\x07in-addr\x04arpa\0" in asked[0]


def status(life: str, steps: float, name: str = "aisrv_0", **more: Any) -> dict[str, Any]:
    return {"name": name, "life": life, "counters": {"env_steps": steps}, "state": "working", **more}


def test_lives_add_up_in_any_order_and_through_the_monitors_own_death() -> None:
    ledger = Ledger({})
    assert ledger.take(status("a", 10))["counters"] == {"env_steps": 10}
    assert ledger.take(status("b", 1))["counters"] == {"env_steps": 11}
    late = ledger.take(status("a", 12))
    assert late["counters"] == {"env_steps": 13}
    assert late["restarts"] == 1
    again = Ledger({"aisrv_0": json.loads(json.dumps(late))})
    known = again.take(status("b", 2))
    assert known["counters"] == {"env_steps": 14}
    assert known["restarts"] == 1
    assert again.take(status("c", 5))["restarts"] == 2


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=5), min_size=1, max_size=3 * KEPT_LIVES))
def test_totals_never_fall_and_are_the_sum_of_the_lives(lives: list[list[int]]) -> None:
    ledger, before = Ledger({}), 0.0
    for life, increments in enumerate(lives):
        steps = 0
        for increment in increments:
            steps += increment
            total = ledger.take(status(str(life), steps))
            assert total["counters"]["env_steps"] >= before
            before = total["counters"]["env_steps"]
            assert len(total["lives"]) <= KEPT_LIVES
    assert before == sum(map(sum, lives))


def test_the_page_shows_what_is_silent_and_escapes_what_processes_say() -> None:
    statuses = {
        "aisrv_0": status("a", 5, time=1000.0, host="<b>", rates={"env_steps": 7.0}, work="env_steps", blocked_on=""),
        "learner_0": status("b", 0, name="learner_0", time=900.0, host="h", since=900.0),
    }
    text = page.html(look("catch_ppo", statuses, 1001.0))
    assert "&lt;b&gt;" in text
    assert "<b>\n" not in text
    assert "7 env_steps/s" in text
    assert "class=silent" in text


def test_the_probe_believes_only_a_fresh_good_word(tmp_path: Path) -> None:
    folder = tmp_path / "catch_ppo" / "status"
    folder.mkdir(parents=True)
    with pytest.raises(probe.NotReady, match="not said anything"):
        probe.status(tmp_path, "learner_0", 100.0)
    for state, at, wanted in (
        ("starting", 100.0, "starting"),
        ("failed", 100.0, "failed: AgentError"),
        ("working", 100.0 - probe.OLD_S - 1, "silent"),
    ):
        text = json.dumps({"state": state, "time": at, "blocked_on": "AgentError" if state == "failed" else ""})
        (folder / "learner_0.json").write_text(text)
        with pytest.raises(probe.NotReady, match=wanted):
            probe.status(tmp_path, "learner_0", 100.0)
    (folder / "learner_0.json").write_text(json.dumps({"state": "waiting", "time": 99.0}))
    assert probe.status(tmp_path, "learner_0", 100.0) == "waiting"
    (folder / "learner_0.json").write_text(json.dumps({"state": "done", "time": 0.0}))
    assert probe.status(tmp_path, "learner_0", 100.0) == "done"


def test_the_probe_asks_the_port_of_a_process_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "runs" / "catch_ppo" / "status"
    status.mkdir(parents=True)
    (status / "toy_0.json").write_text(json.dumps({"state": "working", "time": time.time()}))
    (tmp_path / "child.json").write_text(json.dumps({"name": "toy_0", "pid": 1}))
    for name, path in (("CHILD", "child.json"), ("RUNS", "runs"), ("CONF", "conf.toml"), ("MESH_CONF", "none.toml")):
        monkeypatch.setattr(places, name, tmp_path / path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        table = f'[roles.toy]\npackage = "diy.toy"\naddresses = "{address}"\nprobe = "tcp"\n'
        (tmp_path / "conf.toml").write_text(table)
        assert probe.check("toy_0") == "working; toy_addrs: accepts connections"
        assert serve.command("toy", 0)[1:3] == ["-m", "diy.toy"]
        assert probe.probe() == 0
    assert probe.probe() == 1, "the port is closed"
    monkeypatch.setenv("toy_addrs", f'["{address}", "127.0.0.1:1"]')
    (tmp_path / "conf.toml").write_text(table.replace(address, "elsewhere:1"))
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        assert probe.probe() == 0, "the variable replaces the addresses"


@pytest.mark.parametrize(
    ("quota", "wanted"), [("max 100000", None), ("250000 100000", 2), ("50000 100000", 1), ("", None)]
)
def test_the_cores_are_the_containers(tmp_path: Path, quota: str, wanted: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert serve.cpus(tmp_path / "cpu.max") == wanted
    assert serve.cpus(tmp_path / "none") is None


def test_the_token_is_made_once_and_is_the_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    setup.make_token(path, "")
    made = path.read_text()
    assert len(made) == 64
    assert path.stat().st_mode & 0o777 == 0o400
    setup.make_token(path, "")
    assert path.read_text() == made
    setup.make_token(path, "given")
    assert path.read_text() == "given"


def test_untrusted_roles_get_a_folder_with_their_own_token(tmp_path: Path) -> None:
    """What docker-compose.override.yml mounts at /mesh in their containers."""
    mesh, aisrv = tmp_path / "mesh", tmp_path / "untrusted" / "aisrv"
    mesh.mkdir()
    aisrv.mkdir(parents=True)
    setup.make_token(mesh / "token", "")
    token = (mesh / "token").read_text()
    for _ in range(2):
        assert setup.share_out(mesh, tmp_path / "untrusted") == [mesh, aisrv]
        assert (aisrv / "token").read_text() == role_token(token, "aisrv")
    assert (aisrv / "token").stat().st_mode & 0o777 == 0o400
    (mesh / "token").unlink()
    setup.make_token(mesh / "token", "another")
    setup.share_out(mesh, tmp_path / "untrusted")
    assert (aisrv / "token").read_text() == role_token("another", "aisrv"), "they change together"


def services(file: str) -> dict[str, str]:
    """The lines of each service in a file for Compose."""
    text = re.search(r"^services:\n(.*?)^\S", (ROOT / file).read_text(), re.MULTILINE | re.DOTALL)
    assert text is not None
    names, blocks = re.findall(r"^  ([\w-]+):\n", text[1], re.MULTILINE), re.split(r"^  [\w-]+:\n", text[1], flags=re.M)
    return dict(zip(names, blocks[1:], strict=True))


def test_no_container_of_environments_has_the_mesh_token() -> None:
    """In Compose and in a Swarm alike; every other container of the mesh has it."""
    swarm, compose = services("docker-compose.yml"), services("docker-compose.override.yml")
    own = {name for name, lines in swarm.items() if "secrets:" in lines}
    assert own == {"aisrv"}
    assert "source: aisrv_token, target: token" in swarm["aisrv"]
    own = {name for name, lines in compose.items() if "    volumes:" in lines}
    assert own == {"aisrv", "setup"}, "the others have x-here's"
    assert '"mesh-aisrv:/mesh:ro"' in compose["aisrv"]
    assert '"mesh:' not in compose["aisrv"]
    assert '"mesh-aisrv:/untrusted/aisrv"' in compose["setup"]


def test_an_upgrade_of_a_swarm_warns_of_the_mesh_token_where_the_file_gives_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever deploys docker-compose.yml again, as the warning says, must not be warned again."""
    swarm = services("docker-compose.yml")
    has_the_meshs = {name for name in swarm if name in ROLES and "aisrv_token" not in swarm[name]}
    monkeypatch.setattr(stack, "_wait", lambda *given: None)
    for holders in (has_the_meshs, set(ROLES)):
        made = []
        for name in swarm:
            secret = "kaimesh_token" if name in holders else f"kaimesh_{name}_token"
            spec = {"TaskTemplate": {"ContainerSpec": {"Secrets": [{"SecretName": secret}]}}}
            made.append(SimpleNamespace(name=f"k_{name}", attrs={"Spec": spec}, reload=str, update=dict))
        listed = SimpleNamespace(list=lambda filters, made=made: made)
        engine: Any = SimpleNamespace(name="k", label="l", client=SimpleNamespace(services=listed))
        said: list[str] = []
        assert stack.upgrade(engine, ROLES, "kaimesh:2", said.append) == len(swarm)
        warned = [line.split()[1] for line in said if "still holds the mesh token" in line]
        assert warned == ([] if holders == has_the_meshs else ["k_aisrv"])


def test_the_command_tells_a_roles_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIMESH_TOKEN", "the mesh's")
    assert setup.token_for("aisrv") == role_token("the mesh's", "aisrv")
    words = [sys.executable, "-m", "kaimesh.operate.cluster", "token", "king"]
    done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (EXIT_CONFIG, "")
    assert done.stderr.startswith("no role is called 'king'"), "in words: docker secret create reads the output"


def test_a_configuration_that_is_no_clusters_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[app]\nwrapper_type = "local"\naisrv_count = 1\n')
    with pytest.raises(ConfigError, match="containers would wait"):
        setup.check(load(file, environ={}))
    file.write_text('[app]\nalgo = "impala"\nreanalyse_count = 1\n')
    with pytest.raises(ConfigError, match=r"Agent has no questions, reanalyse, copies.*Set reanalyse_count = 0"):
        setup.check(load(file, environ={}))
    file.write_text('[app]\nalgo = "muzero"\nreverb_rate_limiter = "MinSize"\nreanalyse_count = 1\n')
    setup.check(load(file, environ={}))


def test_the_fingerprint_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = setup.fingerprint([tmp_path])
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert setup.fingerprint([tmp_path]) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert setup.fingerprint([tmp_path]) != first


def test_log_lines_become_text() -> None:
    line = JsonLines("learner_0", "run").line("INFO", "hello [x]", 0.0)
    assert as_line(line) == "00:00:00 INFO    learner_0 | hello [x]"
    assert as_line("plain") == "plain"
    assert as_line('{"other": 1}') == '{"other": 1}'


class Life:
    """A container's first process, with a script for the mesh's process."""

    MAIN = """
import sys
from pathlib import Path
from kaimesh.operate.cluster import places, serve
folder = Path({folder!r})
places.CHILD, places.GENERATION, places.RUNS = folder / "child.json", folder / "generation", folder
serve.command = lambda role, replica: [sys.executable, "-u", str(folder / "process.py")]
sys.exit(serve.Container("actor", 0).run())
"""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder
        (folder / "process.py").write_text(script)
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.MAIN.format(folder=str(folder))],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def test_a_crash_ends_the_container_so_that_the_engine_restarts_it(tmp_path: Path) -> None:
    life = Life(tmp_path, "import os; print('raw words'); os.kill(os.getpid(), 9)")
    assert life.line()["message"] == "raw words"
    assert life.process.wait(60) == 128 + 9


def test_the_users_error_parks_the_container_until_the_configuration_changes(tmp_path: Path) -> None:
    (tmp_path / "run" / "status").mkdir(parents=True)
    script = """
import json, os, sys; from pathlib import Path
print("here", flush=True)
if not Path("{0}/mended").exists():
    sys.exit(3)
Path("{0}/run/status/actor_0.json").write_text(json.dumps({{"state": "done", "pid": os.getpid()}}))
"""
    life = Life(tmp_path, script.format(tmp_path))
    assert life.line()["message"] == "here"
    parked = life.line()
    assert parked["level"] == "ERROR"
    assert "ended with 3" in parked["message"]
    (tmp_path / "mended").touch()
    (tmp_path / "generation").write_text("2")
    assert life.line()["message"] == "here"
    assert "is done" in life.line()["message"]
    assert life.end() == 0


@pytest.mark.parametrize("pid", ["os.getpid()", "1"])
def test_an_exit_that_nobody_meant_is_not_the_works_end(tmp_path: Path, pid: str) -> None:
    (tmp_path / "run" / "status").mkdir(parents=True)
    state = "working" if pid == "os.getpid()" else "done"  # of an earlier life
    script = f"""
import json, os; from pathlib import Path
Path("{tmp_path}/run/status/actor_0.json").write_text(json.dumps({{"state": "{state}", "pid": {pid}}}))
os._exit(0)
"""
    life = Life(tmp_path, script)
    said = life.line()
    assert said["level"] == "ERROR"
    assert "actor_0 failed: it ended with exit code 0, but its work was not done" in said["message"]
    assert life.end() == 0


def test_another_generation_starts_the_process_anew_and_a_signal_ends_it(tmp_path: Path) -> None:
    (tmp_path / "generation").write_text("1")
    script = """
import signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: (print("told", flush=True), sys.exit(0)))
print("up", flush=True)
signal.pause()
"""
    life = Life(tmp_path, script)
    assert life.line()["message"] == "up"
    (tmp_path / "generation").write_text("2")
    assert [life.line()["message"] for _ in range(3)][1:] == ["told", "up"]
    assert life.end() == 0
    assert life.line()["message"] == "told"


def test_every_role_has_a_probe_and_a_command() -> None:
    contained = {name: role for name, role in ROLES.items() if role.home != "supervisord"}
    for name in contained:
        assert serve.command(name, 1)[-2:] == ["--index", "1"]
    assert {name for name, role in contained.items() if role.probes} == set(contained) - {"aisrv", "reanalyse"}
    assert {ask for role in contained.values() for _key, ask in role.probes} <= set(probe.ASK)
    assert str(places.CURVES) in serve.command("tensorboard", 0)
    for name in ("keeper", "emperor"):
        with pytest.raises(ConfigError, match=f"no process is called '{name}'.*model_pool.*Correct its `command`"):
            serve.command(name, 0)


def test_what_the_image_copies_is_not_left_out_of_its_context() -> None:
    """.dockerignore leaves out all that it does not name, and an image without a role's code cannot be built."""
    words = [line.split() for line in (ROOT / "docker/Dockerfile").read_text().splitlines() if line.startswith("COPY ")]
    copied = {source for line in words if not line[1].startswith("--from") for source in line[1:-1]}
    named = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == named
    assert {row.package.split(".")[1] for row in ROLES.values() if row.package.startswith("kaimesh.")} <= copied
