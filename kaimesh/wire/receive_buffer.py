"""The memory into which a frame is received. It grows with the bytes that arrive, not with the length announced."""

from __future__ import annotations

import contextlib
import mmap

_MAPPED_BYTES = 1 << 22  # from this size on pages are remapped: other peers would wait while half a gigabyte is copied


class ReceiveBuffer:
    """`view` is the memory. `grow` replaces it by a larger one that begins with the same bytes."""

    __slots__ = ("_mapped", "view")

    def __init__(self, size: int) -> None:
        self._mapped: mmap.mmap | None = None
        self.view = memoryview(bytearray(size))

    def grow(self, most: int) -> None:
        """Doubles the memory, to at most `most` bytes; `most` must be more than the present size."""
        size = min(2 * len(self.view), most)
        if self._mapped is not None:
            self.view.release()
            with contextlib.suppress(BufferError):  # a view of the previous frame is still in use
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
