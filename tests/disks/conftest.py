"""Meshes of fake services on disks that fail: whatever the test did, nothing of them outlives it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.disks.images import Disk, disk_or_skip
from tests.operate.conftest import Mesh, sweep

__all__ = ["sweep"]  # a fixture of every session


def end(mesh: Mesh) -> None:
    """Kills what is left of it, and waits for that."""
    processes = mesh.living()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, 10)


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A mesh of fake services, not started yet."""
    found = Mesh(tmp_path / "runs")
    yield found
    end(found)


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[..., Disk]]:
    """Makes disks, which are gone after the test."""
    made: list[Disk] = []

    def make(**options: object) -> Disk:
        disk = disk_or_skip(tmp_path, **options)  # type: ignore[arg-type]
        made.append(disk)
        return disk

    yield make
    for disk in made:
        disk.unmount()


@pytest.fixture
def disk(make_disk: Callable[..., Disk]) -> Disk:
    """An ext4 disk."""
    return make_disk()


@pytest.fixture
def on_disk(disk: Disk) -> Iterator[Mesh]:
    """A mesh whose runs lie on `disk`."""
    found = Mesh(disk.folder / "runs")
    yield found
    end(found)
