"""The file of a model: named arrays and a header that says what they are for, as an uncompressed `.npz` without pickle.

The same arrays and header always give the same bytes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.contract.archive import NPY, array_of, opened
from kaimesh.contract.errors import AgentError
from kaimesh.contract.finite import first_not_finite
from kaimesh.contract.json_text import finite, json_text

_HEADER = "header.json"
_npy: Any = np.lib.format  # without types
_LONGEST_HEADER = 1 << 20  # bytes
_MOST_PROBLEMS = 5  # named in one message


Like = Mapping[str, np.ndarray]  # arrays of the wanted names, shapes and dtypes, whatever their numbers
Fits = Callable[[dict[str, Any]], None]


def save(path: Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes `arrays`, and `header` (plain JSON data) in an array of its own, to `path`."""
    text = json_text(header, sort_keys=True).encode()
    with path.open("wb") as file:
        np.savez(file, **{_HEADER: np.frombuffer(text, np.uint8)}, **dict(sorted(arrays.items())))


def load(path: Path, like: Like, fits: Fits) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of `path`, which have the names, shapes and dtypes of `like`, and finite numbers only.

    fits: is given the header before any array is read, and raises if this process cannot use such a file. `like`: from
    the header, what the arrays must be like.
    Raises AgentError: there is no such file, or it is damaged, was not written by `save`, or has other arrays.
    """
    with opened(path) as file:
        header = _header(file)
        fits(header)
        return header, _arrays(path, file, like)


def header_of(path: Path) -> dict[str, Any]:
    """The header alone. Raises AgentError: there is no such file, or it is damaged, or was not written by `save`."""
    with opened(path) as file:
        return _header(file)


def _header(file: zipfile.ZipFile) -> dict[str, Any]:
    if file.getinfo(_HEADER + NPY).file_size > _LONGEST_HEADER:
        raise ValueError(f"its header has more than {_LONGEST_HEADER:,} bytes")
    with file.open(_HEADER + NPY) as data:
        text = bytes(_npy.read_array(data, allow_pickle=False))
    header = finite(json.loads(text))  # older files have Infinity, where `save` writes null
    if not isinstance(header, dict):
        raise TypeError(f"its header is a {type(header).__name__}")
    return header


def _arrays(path: Path, file: zipfile.ZipFile, like: Like) -> dict[str, np.ndarray]:
    """Reads the arrays once all of their declarations are as in `like`."""
    names = {name.removesuffix(NPY) for name in file.namelist()} - {_HEADER}
    problems = [f"it has no array {name!r}" for name in sorted(like.keys() - names)]
    problems += [f"it has an array {name!r:.80}, which this network has not" for name in sorted(names - like.keys())]
    for name in sorted(names & like.keys()):
        declared, wanted = _declared(file, name), _kind(like[name].shape, like[name].dtype)
        if declared != wanted:
            problems.append(f"its array {name!r} is {declared}, and this network's is {wanted}")
    if not problems:
        found = {name: array_of(file, name) for name in sorted(names)}
        wrong = first_not_finite({name: np.atleast_1d(array) for name, array in found.items()})
        if wrong is None:
            return found
        problems = [f"its array {wrong[0]!r} has a number that is not finite, {wrong[2]}"]
    shown = "; ".join(problems[:_MOST_PROBLEMS]) + ("; ..." if len(problems) > _MOST_PROBLEMS else "")
    raise AgentError(
        f"{path} does not fit this run: {shown}. Nothing was loaded, what was there before stays. Load another model."
    )


def _declared(file: zipfile.ZipFile, name: str) -> str:
    """The dtype and the shape that an array declares."""
    with file.open(name + NPY) as data:
        version = _npy.read_magic(data)
        read = {(1, 0): _npy.read_array_header_1_0, (2, 0): _npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"its array {name!r:.80} has format {version}")
        shape, _fortran, dtype = read(data)
    return _kind(shape, dtype)


def _kind(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{dtype.name if dtype.isnative else dtype.str} {list(shape)}"


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
