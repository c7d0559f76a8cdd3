"""A model file that is damaged or of somebody else's making is refused in words."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.algorithms import weights
from kaimesh.contract.errors import AgentError
from tests.algorithms.model_files import overlapping, write

LIKE = {"a": np.zeros(6, np.float32), "b": np.zeros((2, 3), np.float32)}
WHOLE = {"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 3), np.float32)}


def anything(header: dict[str, Any]) -> None:
    """Every header fits."""


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
        packed(text("{}"), compression=zipfile.ZIP_DEFLATED),
        packed(text("{}" + " " * (1 << 20))),
    ],
    ids=[
        "nothing",
        "2 bytes",
        "a list",
        "a word",
        "deep",
        "other name",
        "huge",
        "negative",
        "a pickle",
        "cut off",
        "compressed",
        "long",
    ],
)
def test_what_is_no_model_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.ckpt-1.npz"
    path.write_bytes(content)
    with pytest.raises(AgentError, match="is damaged or no model of this algorithm"):
        weights.load(path, LIKE, anything)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bytes_raise_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("models") / "model.npz"
    content = bytearray(written(path))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        header, found = weights.load(path, LIKE, anything)
    except AgentError:
        return
    assert isinstance(header, dict)
    assert all(np.isfinite(array).all() for array in found.values())


def test_what_a_file_declares_is_not_more_than_it_has(tmp_path: Path) -> None:
    """Two files that would become many times their size in memory."""
    path = tmp_path / "model.npz"
    zeros = np.zeros(25_000_000, np.float32)
    write(path, {}, {"a": zeros}, np.savez_compressed)
    assert path.stat().st_size < 200_000
    with pytest.raises(AgentError, match="it is compressed"):
        weights.load(path, {"a": zeros}, anything)
    with pytest.raises(AgentError, match="it is compressed"):
        weights.header_of(path)
    written(path)
    overlapping(path, 1000)
    with pytest.raises(AgentError, match="declares more bytes than it has"):
        weights.load(path, LIKE, anything)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "nowhere.npz").symlink_to("gone.npz")
    for name, words in {"pipe": "no regular file", "folder": "no regular file", "nowhere": "there is no model"}.items():
        with pytest.raises(AgentError, match=words):
            weights.load(tmp_path / f"{name}.npz", LIKE, anything)


def test_no_array_is_read_before_the_header_fits(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    write(path, {"kind": "other"}, {"a": np.full(6, np.nan, np.float32)})

    def refuse(header: dict[str, Any]) -> None:
        raise AgentError(f"another kind, {header['kind']}")

    with pytest.raises(AgentError, match="another kind, other"):
        weights.load(path, LIKE, refuse)
