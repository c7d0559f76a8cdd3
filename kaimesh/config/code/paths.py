"""Leads absolute paths of users' code to places of the run: those in the user's own folder to the overlay, and Kaiwu's
(/data/..., /workspace/...) to folders of the run, where this machine has none.

Python's own functions that take paths are replaced for this. What compiled code opens by itself is not led; PyTorch's
`save` is (kaimesh/process/torch_habits).
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ONE = (
    "access", "chdir", "chmod", "listdir", "lstat", "mkdir", "open", "readlink", "remove", "rmdir", "scandir", "stat",
    "truncate", "unlink", "utime",
)  # fmt: skip
_TWO = ("link", "rename", "replace", "symlink")
_CHANGING = ("chmod", "truncate", "utime")  # what a link leads to, if it is given one
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_TRUNC
_SETS = ("supports_dir_fd", "supports_effective_ids", "supports_fd", "supports_follow_symlinks")
_OPEN = builtins.open  # Python's own
FOREIGN = ("/data", "/workspace")  # the tops of absolute paths that Kaiwu's containers have


_literal: list[None] = []  # an item for each `literally` that is entered


@contextmanager
def literally() -> Iterator[None]:
    """A context in which paths lead where they say: for those who look at the user's folder itself."""
    _literal.append(None)
    try:
        yield
    finally:
        _literal.pop()


class Paths:
    """root: the user's folder. overlay: where it is led. places: a folder of the run by Kaiwu's path for it. outside:
    for the rest of Kaiwu's paths.
    """

    def __init__(self, root: Path, overlay: Path, places: Mapping[str, Path], outside: Path) -> None:
        self._root, self._overlay, self._outside = str(root), str(overlay), str(outside)
        self._foreign = tuple(top for top in FOREIGN if not os.path.lexists(top))
        self._places = {key: str(place) for key, place in places.items()}
        self._run = os.path.dirname(self._overlay)  # may lie below the user's folder itself
        self._starts = (self._root, *self._foreign)

    def lead(self, path: Any) -> Any:
        """Where `path` leads; itself, if it leads nowhere else, or is no path of text."""
        text = path if type(path) is str else os.fspath(path) if isinstance(path, os.PathLike) else None
        if not isinstance(text, str) or not text.startswith(self._starts) or _literal:
            return path
        text = os.path.normpath(text)
        if _below(text, self._run):
            return path
        if _below(text, self._root):
            return self._overlay + text[len(self._root) :]
        top = next((top for top in self._foreign if _below(text, top)), None)
        if top is None:
            return path
        for key, place in self._places.items():
            if _below(text, key):
                return place + text[len(key) :]
        parts = text.split("/")  # "", data, projects, <app>, ...
        if parts[1:3] == ["data", "projects"] and len(parts) > 3:
            return os.path.join(self._overlay, *parts[4:])
        return self._outside + text

    def own(self, path: Any, keep: bool = True) -> None:
        """Makes a link of the overlay that leads to a file of the user's a file of its own, before it is written.

        keep: with what is in it.
        """
        try:
            text = os.path.abspath(os.fspath(path))
        except TypeError:  # an open file
            return
        if not isinstance(text, str) or not _below(text, self._overlay) or not os.path.islink(text):
            return
        target = os.path.realpath(text)
        if _below(target, self._overlay) or not os.path.isfile(target):
            return
        os.unlink(text)
        if keep:
            with _OPEN(target, "rb") as theirs, _OPEN(text, "wb") as own:
                shutil.copyfileobj(theirs, own)

    def install(self) -> None:
        """Replaces Python's functions, in this process."""
        for top in self._foreign:
            os.makedirs(self._outside + top, exist_ok=True)
        for name in _ONE:
            _put(name, self._leading(getattr(os, name), changing=name in _CHANGING, opening=name == "open"))
        for name in _TWO:
            _put(name, self._leading_two(getattr(os, name)))
        opened = self._opening(builtins.open)
        builtins.open = io.open = opened

    def _leading(self, function: Callable[..., Any], changing: bool, opening: bool) -> Callable[..., Any]:
        lead, own = self.lead, self.own

        @functools.wraps(function)
        def call(path: Any = ".", *args: Any, **named: Any) -> Any:
            path = lead(path)
            if changing or (opening and (args[0] if args else named.get("flags", 0)) & _WRITES):
                own(path)
            return function(path, *args, **named)

        return call

    def _leading_two(self, function: Callable[..., Any]) -> Callable[..., Any]:
        lead = self.lead

        @functools.wraps(function)
        def call(src: Any, dst: Any, *args: Any, **named: Any) -> Any:
            return function(lead(src), lead(dst), *args, **named)

        return call

    def _opening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        lead, own = self.lead, self.own

        @functools.wraps(function)
        def call(file: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
            place = lead(file)
            if mode not in ("r", "rb", "rt") and not isinstance(place, int) and set(mode) & set("wax+"):
                own(place, keep="w" not in mode)
            try:
                return function(place, mode, *args, **named)
            except OSError as error:
                if place is not file:
                    error.add_note(
                        f"{file} is led to {place}. Put the file into the code root, and name it from there."
                    )
                raise

        return call


def _put(name: str, function: Callable[..., Any]) -> None:
    original = getattr(os, name)
    for one in _SETS:
        found = getattr(os, one)
        if original in found:
            found.add(function)
    setattr(os, name, function)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
