"""What a draw leaves behind when the table has nothing to give."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import reverb

from kaimesh.buffer.drawing import source
from tests.harness import free_ports

SHAPE = (2, 3)
DRAWS = 300


class _Malloc(ctypes.Structure):
    """glibc's struct mallinfo2; uordblks: bytes that are in use."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def in_use() -> int:
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Malloc
    return int(mallinfo().uordblks)


@pytest.mark.parametrize("chunk", [1, 4])
def test_a_draw_that_brings_nothing_leaves_nothing_behind(chunk: int) -> None:
    server = reverb.Server([_queue()], port=free_ports(1)[0])
    dataset = source._dataset(f"localhost:{server.port}", "queue", SHAPE, chunk, 8, 1)
    for _ in range(DRAWS):
        assert drawn(dataset) == []
    before = in_use()
    for _ in range(DRAWS):
        assert drawn(dataset) == []
    assert in_use() - before < 200 * DRAWS  # it was 650 a draw
    server.stop()


@pytest.mark.parametrize("chunk", [1, 4])
def test_the_end_of_a_draw_is_told_from_items(chunk: int) -> None:
    server = reverb.Server([_queue()], port=free_ports(1)[0])
    dataset = source._dataset(f"localhost:{server.port}", "queue", SHAPE, chunk, 8, 200)
    with reverb.Client(f"localhost:{server.port}").trajectory_writer(1) as writer:
        for number in range(6):
            writer.append([np.full(SHAPE, number, np.uint8)])
            writer.create_item("queue", 1.0, writer.history[0][-1])
    items = np.concatenate([data.reshape(-1, *SHAPE) for data in drawn(dataset)])
    assert items[:, 0, 0].tolist() == list(range(6))
    server.stop()


def drawn(dataset: Any) -> list[np.ndarray]:
    """The data of a draw's chunks, up to the one without items."""
    chunks = []
    for chunk in dataset:
        if not chunk.data.shape[0]:
            return chunks
        chunks.append(chunk.data.numpy())
    raise AssertionError("the iterator was asked once more than it had something")


def _queue() -> reverb.Table:
    return reverb.Table.queue("queue", 100)
