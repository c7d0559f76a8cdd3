"""A disk that fills, or turns read-only, under a running mesh: it waits, says which disk it is,
and goes on by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.disks.conftest import end
from tests.disks.images import Disk
from tests.harness import wait_until
from tests.operate.conftest import Mesh

GOES_ON_S = 5.0


def says_which(mesh: Mesh, disk: Disk, why: str) -> None:
    """The view, `status` and `status --json` name the disk; every process lives and none was restarted."""
    mesh.until(lambda: why in mesh.status()["disk"])
    said = " ".join(mesh.call("status").stdout.split())
    assert f"(mounted at {disk.folder}) {why}" in said
    assert "bytes" in said
    rows = mesh.status()["processes"]
    assert [row["name"] for row in rows if row["pid"] is None or row["restarts"]] == []
    assert mesh.status()["state"] == "running"


@pytest.mark.parametrize("what", ["bytes", pytest.param("inodes", marks=pytest.mark.long)])
def test_a_full_disk_pauses_the_mesh_and_room_lets_it_go_on(disk: Disk, on_disk: Mesh, what: str) -> None:
    on_disk.start()
    (disk.fill if what == "bytes" else disk.fill_inodes)()
    says_which(on_disk, disk, "is full")
    if what == "bytes":  # its own file is overwritten in place
        on_disk.until(lambda: on_disk.published("keeper_0")["state"] == "waiting")
    refused = on_disk.call("start", "--detach")
    assert (refused.returncode, "running already" in refused.stderr) == (2, True)
    disk.empty()
    before = on_disk.status()["env_steps"]
    wait_until(lambda: on_disk.status()["env_steps"] > before and not on_disk.status()["disk"], GOES_ON_S, "it goes on")
    assert "is full" in (on_disk.run / "logs" / "keeper_0.log").read_text()
    disk.fill()  # a run that is stopped on a full disk has its result
    says_which(on_disk, disk, "is full")
    stopped = on_disk.call("stop", "all")
    assert stopped.returncode == 0, stopped.stderr
    assert on_disk.result()["reason"] == "stopped"
    status = on_disk.status()
    assert (status["state"], status["reason"]) == ("ended", "stopped")
    assert on_disk.call("status").returncode == 0
    assert not on_disk.living()


@pytest.fixture
def failing(make_disk: Callable[..., Disk]) -> Iterator[tuple[Disk, Mesh]]:
    """A disk that the kernel makes read-only at its first error."""
    disk = make_disk(options="errors=remount-ro")
    mesh = Mesh(disk.folder / "runs")
    yield disk, mesh
    end(mesh)


@pytest.mark.long
def test_a_disk_that_turns_read_only_ends_nothing_and_the_mesh_can_be_stopped(failing: tuple[Disk, Mesh]) -> None:
    disk, mesh = failing
    mesh.start()
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(["mount", "-o", "remount,abort", str(disk.folder)], check=True, capture_output=True)
    mesh.until(lambda: mesh.call("status").stdout.count("read-only") or mesh.status()["disk"])
    kept = {row["name"] for row in mesh.status()["processes"] if row["pid"]}
    assert len(kept) == 6, "nobody ended"
    stopped = mesh.call("stop", "all")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert not mesh.living()
    said = mesh.call("status")
    assert (said.returncode, "dead" in said.stdout, "Traceback" in said.stderr) == (0, True, False)


@pytest.mark.parametrize("why", ["is full", pytest.param("is read-only", marks=pytest.mark.long)])
def test_a_start_on_a_disk_that_takes_nothing_says_so_and_leaves_nothing(disk: Disk, on_disk: Mesh, why: str) -> None:
    runs: Path = on_disk.runs
    runs.mkdir()
    if why == "is full":
        disk.fill_inodes()
        disk.empty()
        (disk.folder / "ballast").mkdir()
        disk.empty()
        disk.fill()
    else:
        disk.read_only(True)
    done = on_disk.call("start", "--detach")
    assert done.returncode == 1
    assert f"(mounted at {disk.folder}) {why}" in done.stderr
    assert "Nothing was started. Free some space there, or set runs_dir" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in runs.iterdir() if path.name != ".start.lock"] == []
    assert not on_disk.living()


@pytest.mark.long
def test_restarts_on_a_full_disk_are_counted_and_excused(disk: Disk, on_disk: Mesh) -> None:
    """`max_restarts` is 5, and seven are killed; mesh.json says so as soon as it can."""
    on_disk.start()
    disk.fill()
    says_which(on_disk, disk, "is full")
    for _ in range(7):
        pid = on_disk.process("aisrv_0")["pid"]
        os.kill(pid, signal.SIGKILL)
        on_disk.until(lambda pid=pid: on_disk.process("aisrv_0")["pid"] not in (None, pid))
        on_disk.until(lambda: on_disk.process("aisrv_0")["health"] == "ok")
    disk.empty()
    on_disk.until(lambda: not on_disk.status()["disk"])
    wait_until(lambda: on_disk.process("aisrv_0")["restarts"] == 7, GOES_ON_S, "all are counted")
    assert on_disk.status()["state"] == "running"
