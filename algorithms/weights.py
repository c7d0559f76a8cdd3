"""The file of a model: named arrays and a header that says what they are for, as an uncompressed `.npz` without pickle.

The same arrays and header always give the same bytes.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.contract.errors import AgentError
from kaimesh.contract.json_text import finite, json_text

_HEADER = "header.json"
# What a file of somebody else can raise in numpy, zipfile and json; a shape that no memory holds among them.
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    MemoryError,
    RecursionError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def save(path: Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes `arrays`, and `header` (plain JSON data) in an array of its own, to `path`."""
    text = json_text(header, sort_keys=True).encode()
    with path.open("wb") as file:
        np.savez(file, **{_HEADER: np.frombuffer(text, np.uint8)}, **dict(sorted(arrays.items())))


def load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of `path`.

    Raises AgentError: there is no such file, or it is damaged or was not written by `save`.
    """
    arrays = _read(path, None)
    return _decoded(path, arrays.pop(_HEADER)), arrays


def header_of(path: Path) -> dict[str, Any]:
    """The header alone. Raises AgentError as `load`."""
    return _decoded(path, _read(path, _HEADER)[_HEADER])


def _read(path: Path, only: str | None) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files if only in (None, name)}
            return found if _HEADER in found else {_HEADER: file[_HEADER]}
    except FileNotFoundError:
        raise AgentError(
            f"there is no model {path}; nothing was loaded. Give the id of a model that was saved."
        ) from None
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _decoded(path: Path, text: np.ndarray) -> dict[str, Any]:
    try:
        header = finite(json.loads(bytes(text)))  # older files have Infinity, where `save` writes null
        if not isinstance(header, dict):
            raise TypeError(f"its header is a {type(header).__name__}")
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return header


def _damaged(path: Path, error: Exception) -> AgentError:
    return AgentError(
        f"{path} is damaged or no model of this algorithm ({error}); nothing was loaded. Load another one."
    )


def check(path: Path, header: Mapping[str, Any], wanted: Mapping[str, Any], keys: Mapping[str, str]) -> None:
    """Compares a loaded header with the one that this process would write; `keys` says what to change, by entry.

    Raises AgentError: they differ; the message names each entry, both values and the remedy.
    """
    wanted = json.loads(json_text(wanted))  # tuples become lists, as in the file
    problems = [
        f"{name} is {header.get(name)!r} in the file and {value!r} here ({keys.get(name, 'another version wrote it')})"
        for name, value in wanted.items()
        if header.get(name) != value
    ]
    if problems:
        raise AgentError(
            f"{path} does not fit this run: {'; '.join(problems)}. Nothing was loaded. Correct these, or load another "
            "model."
        )
