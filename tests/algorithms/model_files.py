"""Model files as numpy sees them, and such as a stranger, a crash or an attacker would make of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

HEADER = "header.json"


def content_of(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a file, whatever they are."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(bytes(arrays.pop(HEADER))), arrays


def write(
    path: Path, header: Mapping[str, Any], arrays: Mapping[str, Any], save: Callable[..., None] = np.savez
) -> None:
    """A file with any header and arrays; save: np.savez or np.savez_compressed."""
    with path.open("wb") as file:
        save(file, **{HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8)}, **arrays)


def changed(array: np.ndarray) -> dict[str, tuple[np.ndarray | None, str]]:
    """By name: a wrong array in the place of a float `array`, None: none at all; and words of the refusal."""
    flat = array.ravel()
    poisoned = {}
    for value in (np.nan, np.inf, -np.inf):
        wrong = flat.copy()
        wrong[-1] = value
        poisoned[str(value)] = (wrong.reshape(array.shape), f"not finite, {value}")
    return poisoned | {
        "missing": (None, "has no array"),
        "longer": (np.concatenate([array, array]), "and this network's is"),
        "shorter": (array[:-1], "and this network's is"),
        "scalar": (np.float32(1), "and this network's is"),
        "one more axis": (array[None], "and this network's is"),
        "float64": (array.astype(np.float64), "is float64"),
        "integers": (array.astype(np.int32), "is int32"),
        "complex": (array.astype(np.complex64), "is complex64"),
        "other byte order": (array.astype(">f4"), "is >f4"),
        "strings": (np.full(array.shape, "1.0"), "is str"),
        "bytes": (np.full(array.shape, b"1.0"), "is bytes"),
        "dates": (np.zeros(array.shape, "datetime64[s]"), "is datetime64"),
        "records": (np.zeros(array.shape, [("a", "<f4")]), "is void"),
    }


def overlapping(path: Path, times: int) -> None:
    """Adds entries to the archive's directory that all point at its first array: `times` as much as there is."""
    with zipfile.ZipFile(path, "a") as file:
        first = file.infolist()[0]
        for number in range(times):
            again = zipfile.ZipInfo(f"again{number}.npy")
            again.header_offset, again.CRC = first.header_offset, first.CRC
            again.file_size = again.compress_size = first.file_size
            file.filelist.append(again)
        file._didModify = True  # type: ignore[attr-defined]
