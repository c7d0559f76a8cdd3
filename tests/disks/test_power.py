"""The power is cut under a running mesh: what the disk holds then is resumed.

The disk is mounted so that ext4 does not guess which renamed files should be written first (noauto_da_alloc): files
that were written without fsync come back empty.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from kaimesh.training import checkpoint
from tests.disks.conftest import end
from tests.disks.images import Disk
from tests.harness import Mesh as RealMesh
from tests.operate.conftest import Mesh

CUTS = 8


@pytest.fixture
def honest(make_disk: Callable[..., Disk], request: pytest.FixtureRequest) -> Disk:
    """A disk without ext4's guesses, on which metadata is committed each second;
    of so many megabytes (a small one is quickly copied).
    """
    return make_disk(options="noauto_da_alloc,commit=1", size=getattr(request, "param", 32) << 20)


@pytest.fixture
def mesh(honest: Disk) -> Iterator[Mesh]:
    """A mesh of fake services on it."""
    found = Mesh(honest.folder / "runs")
    yield found
    end(found)


@pytest.mark.long
def test_a_mesh_whose_power_was_cut_is_resumed(honest: Disk, mesh: Mesh, tmp_path: Path) -> None:
    mesh.start()
    os.sync()  # the run is there; what comes from now on is not asked for
    mesh.until(lambda: mesh.status()["env_steps"] > 300)
    honest.copy(tmp_path / "cut.img")
    end(mesh)
    honest.power_is_back(tmp_path / "cut.img")
    done = mesh.call("start", "--resume", "--wait", "--max-env-steps", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert mesh.result()["reason"] == "max_env_steps"
    assert not list(mesh.run.rglob(".*.tmp"))
    assert not mesh.living()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("honest", [256], indirect=True)
def test_training_goes_on_after_each_of_many_cuts(honest: Disk, tmp_path: Path) -> None:
    """Each cut comes at another moment of the training; a learn count never goes back by more than a durable dump's
    interval.
    """
    mesh = RealMesh(honest.folder / "runs")
    cut = tmp_path / "0.img"
    try:
        mesh.start(
            "--detach", app="catch", aisrv_count=1, aisrv_connect_to_kaiwu_env_count=8, buffer_checkpoint_seconds=2
        )
        for number in range(CUTS):
            mesh.wait_for(
                "learner_0", "learner_steps", mesh.counter("learner_0", "learner_steps") + 3 + 40 * (number % 3)
            )
            os.sync() if number == 0 else None
            honest.copy(cut)
            _kill(mesh)
            honest.power_is_back(cut)
            cut = tmp_path / f"{number + 1}.img"
            mesh.cli("start", "--resume", "--detach")
            mesh.wait_for_state("running")
            mesh.wait_for("aisrv_0", "env_steps", mesh.counter("aisrv_0", "env_steps") + 500)
            newest = checkpoint.models(mesh.run.ckpt)[-1]
            checkpoint.verify(mesh.run.ckpt, newest)
        mesh.cli("stop", "all")
        assert mesh.run.result.exists()
    finally:
        _kill(mesh)


def _kill(mesh: RealMesh) -> None:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(word.startswith(str(mesh.runs)) for word in process.cmdline()):
                process.kill()
                found.append(process)
    psutil.wait_procs(found, 20)
