"""Tells errors of a disk (full, read-only, over quota, failing) from other errors, and names the disk.

Code that writes files of a run calls `trouble` with the OSError: if it returns words, the process waits for the disk;
any other error is a fault.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from kaimesh.contract.errors import MeshError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CAUSES = {
    errno.ENOSPC: "is full",
    errno.EDQUOT: "has no room left for this user (quota)",
    errno.EFBIG: "takes no larger file (a limit of this user, see ulimit -f)",
    errno.EROFS: "is read-only",
    errno.EIO: "fails (input/output error, see dmesg)",
    errno.ENODEV: "is gone",
    errno.ENXIO: "is gone",
    errno.ESTALE: "is gone (stale network file handle)",
    errno.ENOTCONN: "is gone (not connected)",
}


class DiskTrouble(MeshError):
    """A disk accepts no more writes.

    A caller that can wait tries again; the message names the disk and its free space.
    """


def trouble(error: BaseException, path: Path) -> str:
    """In words, the disk and its fault, if `error` or one of its causes is a disk's; "": it is another error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _CAUSES:
            return words(path, _CAUSES[cause.errno])
        cause = cause.__cause__ or cause.__context__
    return state(path)  # some libraries lose the errno


def state(path: Path) -> str:
    """What is wrong with the disk of `path`, by asking the file system and without writing; "": nothing is known."""
    try:
        found = os.statvfs(_existing(path))
    except OSError as error:
        return words(path, _CAUSES.get(error.errno or 0, "cannot be asked"))
    if found.f_flag & os.ST_RDONLY:
        return words(path, _CAUSES[errno.EROFS])
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail  # some are reserved for root
    no_room = found.f_blocks > 0 and blocks == 0  # a file system without a limit reports no blocks at all
    no_inodes = found.f_files > 0 and found.f_ffree == 0
    return words(path, _CAUSES[errno.ENOSPC]) if no_room or no_inodes else ""


def probe(folder: Path) -> str:
    """What is wrong with the disk of `folder`, found by writing a file: some errors do not show otherwise."""
    file = folder / f".probe.{os.getpid()}.tmp"
    try:
        file.write_bytes(b"x")
        file.unlink()
    except OSError as error:
        return trouble(error, folder)
    return ""


def words(path: Path, why: str) -> str:
    """`the disk of /data (mounted at /data) is full: 0 bytes and 12 inodes free`."""
    place = _existing(path)
    mount = place
    while not os.path.ismount(mount) and mount != mount.parent:
        mount = mount.parent
    try:
        found = os.statvfs(place)
    except OSError:
        return f"the disk of {place} (mounted at {mount}) {why}"
    inodes = f" and {found.f_favail:,} inodes" if found.f_files else ""
    return f"the disk of {place} (mounted at {mount}) {why}: {found.f_bavail * found.f_frsize:,} bytes{inodes} free"


def sync(path: Path) -> None:
    """fsync of a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _existing(path: Path) -> Path:
    """`path`, or the nearest of its parents that is there."""
    place = path.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    return place if place.is_dir() else place.parent
