"""Loads a user's modules from the overlay, compiled under the paths of his own files, so that breakpoints and
tracebacks name these.

Which module wins: one of the user's folder before all others, also where his is a folder without `__init__.py` and
another one, anywhere on the path, has one; but a folder without a source in it, or with the name of a module of
Python's own, hides nothing. Of the packages that compat/ has, the user's come first, and what they lack is found there.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from itertools import islice
from pathlib import Path
from types import CodeType, ModuleType

from kaimesh import ROOT
from kaimesh.config.code.generation import parsed
from kaimesh.config.code.overlay import files

COMPAT = Path(os.path.realpath(Path(__file__))).parents[3] / "compat"
if not COMPAT.is_dir():  # installed as a package
    COMPAT = Path(__file__).parents[2] / "compat"
_MOST_LOOKED_AT = 500  # files of a folder that is looked through for a source


class Loader(SourceFileLoader):
    """Loads a module of the overlay; its code has the path of the user's own file. No bytecode is kept."""

    def __init__(self, name: str, path: str, own: str) -> None:
        super().__init__(name, path)
        self._own = own

    def get_code(self, fullname: str) -> CodeType:
        """Compiled from the source."""
        del fullname
        code: CodeType = compile(self.get_data(self.path), self._own, "exec", dont_inherit=True)
        return code


class Finder(MetaPathFinder):
    """Finds the modules of the overlay, and those of compat/. root: the user's folder."""

    def __init__(self, overlay: Path, root: Path, compat: Path = COMPAT) -> None:
        self.overlay, self._root, self._compat = str(overlay), str(root), str(compat)
        self._merged = frozenset(path.name for path in compat.iterdir() if path.is_dir())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See MetaPathFinder."""
        top = fullname.partition(".")[0]
        if path is None:
            return self._merge(self._of_the_user(fullname, target), fullname, [self._compat])
        inside = [place for place in path if self._is_inside(place)]
        if not inside and top not in self._merged:
            return None
        rest = [place for place in path if place not in inside] if top in self._merged else []
        found = PathFinder.find_spec(fullname, inside, target) if inside else None
        return self._merge(self._as_the_users(found), fullname, rest)

    def _of_the_user(self, name: str, target: ModuleType | None) -> ModuleSpec | None:
        """A top module of the overlay."""
        found = PathFinder.find_spec(name, [self.overlay], target)
        if found is not None and found.loader is None and not self._counts(name):
            return None
        return self._as_the_users(found)

    def _counts(self, name: str) -> bool:
        """Whether a folder without __init__.py is meant to be a package."""
        if name in sys.stdlib_module_names:
            return False
        sources = Path(self.overlay, name).rglob("*")
        return any(one.suffix == ".py" for one in islice(sources, _MOST_LOOKED_AT))

    def _merge(self, found: ModuleSpec | None, fullname: str, rest: list[str]) -> ModuleSpec | None:
        """`found`, with the package of the same name in the folders `rest` after it, if compat/ has its top package."""
        if fullname.partition(".")[0] not in self._merged:
            return found
        ours = PathFinder.find_spec(fullname, rest) if rest else None
        if found is None or ours is None or not ours.submodule_search_locations:
            return found or ours
        places = [*(found.submodule_search_locations or ()), *ours.submodule_search_locations]
        merged = ModuleSpec(fullname, found.loader, origin=found.origin, is_package=True)
        merged.has_location = found.has_location
        merged.submodule_search_locations = list(places)
        return merged

    def _as_the_users(self, found: ModuleSpec | None) -> ModuleSpec | None:
        """`found`, to be compiled under the path of the user's own file."""
        if found is None or not isinstance(found.loader, SourceFileLoader) or found.origin is None:
            return found
        own = os.path.join(self._root, os.path.relpath(found.origin, self.overlay))
        found.loader = Loader(found.name, found.origin, own)
        found.cached = None
        return found

    def _is_inside(self, place: str) -> bool:
        return place == self.overlay or place.startswith(self.overlay + os.sep)


def uses(root: Path, library: str) -> bool:
    """Whether a source of the folder imports `library`, or a part of it."""
    for path, _ in files(root):
        tree = parsed(path) if path.suffix == ".py" else None
        for node in ast.walk(tree) if tree is not None else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.partition(".")[0] == library for name in names):
                return True
    return False


def enter(overlay: Path, root: Path, children: Sequence[str] = ()) -> None:
    """Makes the user's modules importable in this process, and the overlay its working folder. children: folders that
    come last on the path, for processes that the user's code starts.

    The checkout is not on the path any more, so that its folders hide none of the user's.
    """
    finder = Finder(overlay, root)
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, Finder)]
    sys.meta_path.insert(0, finder)
    checkout = os.path.realpath(ROOT)
    kept = [entry for entry in sys.path if entry and os.path.realpath(entry) not in (checkout, finder.overlay)]
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [finder.overlay, *(entry for entry in given if entry not in kept), *kept, *children]
    os.chdir(overlay)
    importlib.invalidate_caches()
