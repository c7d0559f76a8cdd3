"""Writes scalars to a TensorBoard file, also through times in which the disk is full.

tensorboardX's own writer thread would end on a full disk. TensorBoard reads a file up to its first damaged record, so a
record that was written only in part is cut off again. Once there is room, writing continues; points in between are
missing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import scalar

_NAME = "events.out.tfevents."


class Curves:
    """A file of scalars in `folder`.

    purge: TensorBoard hides the points of the folder's other files from this step on.
    """

    def __init__(self, folder: Path, purge: int = 0) -> None:
        self._folder, self._purge = folder, purge
        self._file: BinaryIO | None = None
        self._whole = 0  # bytes of complete records in the file
        self.lost = 0  # points that could not be written
        self.write(0, {})

    def write(self, step: int, values: Mapping[str, float], when: float | None = None) -> None:
        """Writes one point for each curve, at once. when: Unix seconds; None: now."""
        wall = time.time() if when is None else when
        events = [Event(wall_time=wall, step=step, summary=scalar(name, value)) for name, value in values.items()]
        try:
            self._append(events)
        except OSError:
            self.lost += len(events)
            self._cut()

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _append(self, events: Iterable[Event]) -> None:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{_NAME}{self._moment():010d}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
            self._file, self._whole = (self._folder / name).open("xb", buffering=0), 0
        records = b"".join(_record(event.SerializeToString()) for event in (*self._beginning(), *events))
        if self._file.write(records) != len(records):
            raise OSError("only a part was written")
        self._whole += len(records)

    def _moment(self) -> int:
        """The present second, or one after the newest file's: TensorBoard reads the files in the order of their names,
        and the machine's clock may have been set back.
        """
        found = (path.name.removeprefix(_NAME).partition(".")[0] for path in self._folder.glob(f"{_NAME}*"))
        newest = max((int(second) for second in found if second.isdecimal()), default=0)
        return max(int(time.time()), newest + 1)

    def _beginning(self) -> list[Event]:
        if self._whole:
            return []
        now, version = time.time(), "brain.Event:2"
        start = SessionLog(status=SessionLog.START)
        purge = [Event(wall_time=now, step=self._purge, session_log=start)] if self._purge else []
        return [Event(wall_time=now, step=self._purge, file_version=version), *purge]

    def _cut(self) -> None:
        """Cuts the file after its last complete record; if that fails, closes it: the next write begins another one."""
        if self._file is not None:
            try:
                self._file.truncate(self._whole)
                self._file.seek(self._whole)
            except OSError:
                self.close()


def _record(data: bytes) -> bytes:
    header = struct.pack("<Q", len(data))
    return header + struct.pack("<I", masked_crc32c(header)) + data + struct.pack("<I", masked_crc32c(data))
