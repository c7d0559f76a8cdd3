"""Memory for a frame on its way in, which grows with the bytes that have come and never with those that were only announced."""

from __future__ import annotations

import contextlib
import mmap

_MAPPED_BYTES = 1 << 22  # from here on pages are moved, not copied: others would wait for a copy of half a gigabyte


class Room:
    """`view` is the memory; what was written there stays, at the same place of the new `view`, when it grows."""

    __slots__ = ("_mapped", "view")

    def __init__(self, size: int) -> None:
        self._mapped: mmap.mmap | None = None
        self.view = memoryview(bytearray(size))

    def grow(self, most: int) -> None:
        """Twice as large, and no larger than `most`, which is more than it is."""
        size = min(2 * len(self.view), most)
        if self._mapped is not None:
            self.view.release()
            with contextlib.suppress(BufferError):  # somebody still reads the frame before
                self._mapped.resize(size)
            old, self.view = memoryview(self._mapped), memoryview(self._mapped)
            if len(old) == size:
                return
        else:
            old = self.view
        if size < _MAPPED_BYTES:
            self.view = memoryview(bytearray(size))
        else:
            self._mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self.view = memoryview(self._mapped)
        self.view[: len(old)] = old
