"""An ext4 disk of a test's own, in a file on a loop device: it can be filled, made read-only, and lose its power."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

ROOM = 48 << 20
_OWNER = "disk.owner"  # beside the disk: whose test it is


class Disk:
    """`folder` is where it is mounted. options: of the mount."""

    def __init__(self, place: Path, size: int = ROOM, options: str = "") -> None:
        _sweep()
        self.image, self.folder, self._options = place / "disk.img", place / "disk", options
        (place / _OWNER).write_text(str(os.getpid()))
        self.image.touch()
        os.truncate(self.image, size)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-N", "1024", str(self.image))
        self.mount()

    def mount(self) -> None:
        """On `folder`."""
        self.folder.mkdir(exist_ok=True)
        _run("mount", "-o", ",".join(filter(None, ("loop", self._options))), str(self.image), str(self.folder))

    def unmount(self) -> None:
        """Also where somebody still has a file of it open."""
        _run("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """To the last byte."""
        with (self.folder / "ballast").open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1 << 9, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size):
                        pass
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())

    def fill_inodes(self) -> None:
        """To the last file."""
        folder = self.folder / "ballast"
        folder.mkdir()
        with contextlib.suppress(OSError):
            for number in range(1 << 20):
                (folder / str(number)).touch()

    def empty(self) -> None:
        """Takes out what filled it."""
        ballast = self.folder / "ballast"
        shutil.rmtree(ballast) if ballast.is_dir() else ballast.unlink()

    def read_only(self, yes: bool) -> None:
        """As a kernel does that has met an error, and as an administrator undoes it.

        Needs no file open for writing, so: forced.
        """
        _run("mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(self.folder))

    def copy(self, target: Path) -> None:
        """What the medium holds at this moment; nothing that only the page cache has."""
        for _ in range(100):
            before = self.image.stat().st_mtime_ns
            shutil.copyfile(self.image, target)
            if self.image.stat().st_mtime_ns == before:  # nothing was written meanwhile
                return
        raise AssertionError("the disk is never at rest for the time of a copy")

    def power_is_back(self, copy: Path) -> None:
        """What a machine finds whose power was cut when `copy` was made."""
        self.unmount()
        self.image = copy
        self.mount()


def _sweep() -> None:
    """Unmounts the disks of tests that were killed."""
    for mount in Path("/proc/mounts").read_text().splitlines():
        folder = Path(mount.split()[1])
        owner = folder.parent / _OWNER
        if folder.name == "disk" and owner.is_file() and not psutil.pid_exists(int(owner.read_text() or 0)):
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


def disk_or_skip(place: Path, size: int = ROOM, options: str = "") -> Disk:
    """A disk; where nobody may mount one the test is skipped, loudly."""
    try:
        return Disk(place, size, options)
    except (OSError, FileNotFoundError) as error:
        pytest.skip(f"NOT TESTED: no ext4 image can be mounted here ({error}); run this as root with loop devices")
