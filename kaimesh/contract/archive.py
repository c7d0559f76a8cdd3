"""Reads `.npz` files that may come from somebody else: an archive of named arrays, uncompressed and without pickle."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.contract.errors import AgentError

NPY = ".npy"  # the end of an array's name in the archive
_npy: Any = np.lib.format  # without types
# What a file of somebody else can raise in numpy, zipfile and json; a shape that no memory holds among them.
_DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    MemoryError,
    OverflowError,
    RecursionError,
    SyntaxError,
    tokenize.TokenError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, whose members are together no larger than the file: what a member declares, is there.

    Raises AgentError, also for what the block raises because of the file: there is none, or it is damaged.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no regular file")  # opening a pipe would wait for whoever writes to it
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("it is compressed, and such a file may unpack to any size")
            if sum(member.file_size for member in members) > path.stat().st_size:
                raise ValueError("it declares more bytes than it has")
            if len({member.filename for member in members}) < len(members):
                raise ValueError("two of its arrays have the same name")
            yield file
    except FileNotFoundError:
        raise AgentError(
            f"there is no model {path}; nothing was loaded. Give the id of a model that was saved."
        ) from None
    except _DAMAGE as error:
        raise AgentError(
            f"{path} is damaged or no model of this algorithm ({error}); nothing was loaded. Load another one."
        ) from error


def array_of(file: zipfile.ZipFile, name: str) -> np.ndarray:
    """The array of that name."""
    with file.open(name + NPY) as data:
        array: np.ndarray = _npy.read_array(data, allow_pickle=False)
    return np.asarray(array, order="C")


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a file that `np.savez` wrote, by name, in the file's order; such as a model of another person's.

    Raises AgentError: there is no such file, or it is damaged, or compressed: 3 MB may unpack to 3 GB.
    """
    with opened(Path(path)) as file:
        return {name: array_of(file, name) for name in (name.removesuffix(NPY) for name in file.namelist())}
