"""A model file that is damaged or of somebody else's making is refused in words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms import weights
from kaimesh.contract.errors import AgentError

WHOLE = {"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 3), np.float32)}


def written(path: Path) -> bytes:
    weights.save(path, {"layers": [3, 4]}, WHOLE)
    return path.read_bytes()


def array_of(shape: str) -> bytes:
    """A `.npy` whose header says more than there is."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode()


def packed(header: bytes, name: str = "header.json.npy", compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr(name, header)
    return buffer.getvalue()


def text(value: str) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.frombuffer(value.encode(), np.uint8))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        packed(text("[1, 2]")),
        packed(text('"x"')),
        packed(text("[" * 100_000)),
        packed(text("{}"), "another.npy"),
        packed(array_of("(1099511627776, 1048576)")),
        packed(array_of("(-1,)")),
        packed(b"\x80\x04."),  # a pickle
        packed(text("{}"), compression=zipfile.ZIP_DEFLATED)[:60],
    ],
    ids=["nothing", "2 bytes", "a list", "a word", "deep", "other name", "huge", "negative", "a pickle", "cut off"],
)
def test_what_is_no_model_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.ckpt-1.npz"
    path.write_bytes(content)
    with pytest.raises(AgentError, match="is damaged or no model of this algorithm"):
        weights.load(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bytes_raise_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("models") / "model.npz"
    content = bytearray(written(path))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        header, _ = weights.load(path)
    except AgentError:
        return
    assert isinstance(header, dict)
