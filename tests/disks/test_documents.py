"""Small files of a run: whatever is in them, no reader raises, and what is damaged is named once."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaimesh.config import trust
from kaimesh.contract.errors import ConfigError, MeshError
from kaimesh.operate.cli import logs as log_files
from kaimesh.operate.cli import stop
from kaimesh.operate.cli.resume import conf_of
from kaimesh.operate.cli.undo import Undo
from kaimesh.operate.local import mesh_file
from kaimesh.operate.view import progress
from kaimesh.operate.view.overview import as_json, look
from kaimesh.process import disk, documents
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.training import checkpoint
from tests.disks import damage

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMED = dict.fromkeys((*documents.Status.__annotations__, *documents.Mesh.__annotations__), ANYTHING)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run that has ended, with the files of a real one."""
    made = RunDir.create(tmp_path, "catch", "ppo")
    for name in ("aisrv_0", "learner_0"):
        meter = Meter(name, made.status / f"{name}.json")
        meter.count("env_steps", 5)
        meter.gauge("learn/loss", 0.5)
        meter.episode(1.0, 5)
        meter.publish()
    process = {"role": "aisrv", "address": "127.0.0.1:1", "pid": 2**22 + 1, "restarts": [1.0]}
    documents.write_json(
        made.mesh,
        {
            "state": "running", "reason": "", "started": 1.0, "up": 2.0,
            "limits": {"max_env_steps": 0, "max_seconds": 0.0},
            "supervisor": {"socket": "/nowhere", "pid": 1}, "processes": {"aisrv_0": process},
        },
    )  # fmt: skip
    for name in ("result.json", "history.jsonl", "supervisord.pid", "supervisord.conf"):
        (made.root / name).write_text("{}\n")
    return made


def read_everything(run: RunDir) -> None:
    """What `status`, the view and a process's start do with a run's files."""
    view = look(run)
    json.dumps(as_json(view))
    progress.plain_line(view, progress.Rates(), time.time())
    progress.table(view, time.time())
    Meter("aisrv_0", run.status / "aisrv_0.json").publish()
    RunDir(run.root).statuses()


@pytest.mark.parametrize("kind", damage.KINDS)
def test_no_damage_to_any_file_reaches_a_reader(run: RunDir, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    for path in damage.of_ours(run.root):
        before = path.read_bytes()
        damage.KINDS[kind](path)
        read_everything(run)
        if path.name in ("mesh.json", "supervisord.pid"):
            list(mesh_file.pids(run))
            stop.stop_all(run, lambda _: None)
        damage.restore(path, before)
    named = [record.getMessage().partition(" is damaged")[0] for record in caplog.records]
    assert len(set(named)) == len(named), "each is named once"
    if kind in ("empty", "garbage", "list", "folder"):
        assert {str(run.mesh), str(run.status / "aisrv_0.json")} <= set(named)


@given(content=st.fixed_dictionaries({}, optional=NAMED) | ANYTHING, in_mesh=st.booleans())
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_json_of_any_shape_reaches_a_reader(run: RunDir, content: Any, in_mesh: bool) -> None:
    path = run.mesh if in_mesh else run.status / "aisrv_0.json"
    before = path.read_bytes()
    path.write_text(json.dumps(content))
    read_everything(run)
    path.write_bytes(before)


def test_a_repaired_file_is_read_and_its_next_damage_named_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "aisrv_0.json"
    for content in ("", "", '{"state": "working"}', "", ""):
        path.write_text(content)
        found = documents.read_json(path, documents.STATUS)
        assert found == ({"state": "working"} if content else {})
    assert len(caplog.records) == 2


@pytest.mark.parametrize("content", [b"", b" \n", b"\0" * 32, b"\xff" * 32])
def test_a_damaged_token_is_told_by_a_process_and_made_anew_by_a_start(tmp_path: Path, content: bytes) -> None:
    run = RunDir.create(tmp_path, "catch", "ppo")
    (run.root / "token").write_bytes(content)
    with pytest.raises(ConfigError, match=r"token .*(empty or damaged|cannot be read)"):
        run.token()
    run.repair()
    run.prepare()
    assert len(run.token()) == 32
    assert len(list(run.root.glob("token.damaged-*"))) == 1


def test_a_start_makes_room_for_what_it_writes(run: RunDir, caplog: pytest.LogCaptureFixture) -> None:
    for path in (run.mesh, run.status / "aisrv_0.json"):
        damage.folder(path)
        (path.parent / f".{path.name}.1.2.tmp").touch()
    os.rmdir(run.user_ckpt)
    run.user_ckpt.touch()
    run.repair()
    run.prepare()
    documents.write_json(run.mesh, {})
    Meter("aisrv_0", run.status / "aisrv_0.json").publish()
    assert run.user_ckpt.is_dir()
    assert not list(run.root.rglob(".*.tmp"))
    assert "was renamed to mesh.json.damaged-" in caplog.text


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to itself"])
def test_a_start_finds_a_file_wherever_something_else_stood(run: RunDir, kind: str) -> None:
    """Logs too: who opens a pipe waits for ever, and supervisord opens them all."""
    names = (
        "logs/keeper_0.log",
        "logs/supervisord.log",
        "logs/supervisord.out",
        ".reserve",
        "supervisord.conf",
        "history.jsonl",
    )
    for name in names:
        (run.root / name).touch()
        damage.KINDS[kind](run.root / name)
    for name in ("training_state", "buffer/buffer_0"):
        (run.root / name).touch()
    for _ in range(2):  # what was renamed stays as it is
        run.repair()
        run.prepare()
    run.reserve()
    for name in names:
        (run.root / name).write_text("")
    aside = [path for path in run.root.rglob("*.damaged-*") if not path.name.startswith("x")]
    assert len(aside) == len(names) + 2, aside


def test_no_command_waits_for_a_pipe_or_follows_a_circle(run: RunDir, tmp_path: Path) -> None:
    log = run.logs / "learner_0.log"
    os.mkfifo(log)
    assert log_files.tail(log, 5) == []
    os.mkfifo(run.conf)
    with pytest.raises(ConfigError, match=r"conf\.toml .*pipe"):
        conf_of(run)
    undo = Undo(run, new=False)
    undo()
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    assert RunDir(circle).statuses() == {}
    assert not trust.is_below(circle, [run.root, circle / "x"])
    os.mkfifo(run.ckpt / "manifest.json")
    with pytest.raises(MeshError, match=r"manifest\.json is damaged"):
        checkpoint.models(run.ckpt)


def test_a_run_that_was_copied_to_the_name_latest_stays_where_it_is(run: RunDir) -> None:
    copy = run.root.parent / "latest"
    copy.unlink()
    shutil.copytree(run.root, copy)
    RunDir.latest(copy.parent).become_latest()
    assert copy.is_dir()
    assert not copy.is_symlink()
    run.become_latest()
    assert RunDir.latest(copy.parent).root == run.root


@pytest.mark.parametrize(
    ("blocks", "room_of_root", "room", "full"),
    [(0, 0, 0, False), (100, 0, 0, True), (100, 5, 0, os.geteuid() != 0), (100, 5, 5, False)],
    ids=["without a limit", "full", "root's part is free", "room"],
)
def test_a_disk_is_full_where_this_user_finds_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, room_of_root: int, room: int, full: bool
) -> None:
    found = os.statvfs(tmp_path)
    values = [*found]
    values[2:8] = [blocks, room_of_root, room, 0, 0, 0]
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(values))
    assert bool(disk.state(tmp_path)) == full


def test_a_pid_that_was_given_anew_is_a_strangers(run: RunDir) -> None:
    """Also where the stranger looks at a file of the run."""
    looks = subprocess.Popen(["tail", "-f", str(run.root / "history.jsonl")], stdout=subprocess.DEVNULL)
    try:
        (run.root / "supervisord.pid").write_text(f"{looks.pid}\n")
        documents.write_json(run.status / "learner_0.json", {"pid": looks.pid, "state": "working"})
        assert mesh_file.supervisor_pid(run) is None
        assert not mesh_file.is_ours(looks.pid, run)
        assert (look(run).state, list(mesh_file.pids(run))) == ("dead", [])
        stop.stop_all(run, lambda _: None)
        assert looks.poll() is None
    finally:
        looks.kill()
        looks.wait()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE])
def test_what_a_disk_answers_is_told_once_and_ends_no_meter(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "aisrv_0.json"
    meter = Meter("aisrv_0", path, logger=logging.getLogger("of this test"))
    meter.publish()

    def answer(*_: object, **_named: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("kaimesh.process.documents._write", answer)
        for _ in range(3):
            meter.publish()
    assert [str(tmp_path) in record.getMessage() for record in caplog.records] == [True]
    assert "bytes" in meter.snapshot()["disk"]
    meter.publish()
    assert "disk" not in meter.snapshot()


def test_on_a_full_disk_a_file_is_overwritten_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mesh.json"
    documents.write_json(path, {"state": "running", "long": "x" * 100})

    def full(*_: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("kaimesh.process.documents._write", full)
    assert "is full" in documents.publish_json(path, {"state": "ended"})
    assert json.loads(path.read_text()) == {"state": "ended"}
    assert "is full" in documents.publish_json(path, {"state": "x" * 100_000})
    assert json.loads(path.read_text()) == {"state": "ended"}, "what does not fit changes nothing"
