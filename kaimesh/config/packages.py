"""The packages that an algorithm's code comes from: which of its dotted names do not exist, what belongs to others.

A copy of an agent that still imports the original runs the original's code without any error. So imports from another
algorithm's package are reported at the start.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from kaimesh import ROOT
from kaimesh.config import caller
from kaimesh.config.nearest import nearest

_KAIMESH = Path(__file__).resolve().parents[1]
_MESH, _ALGORITHMS = "kaimesh", "kaimesh.algorithms"  # what is in kaimesh and not in algorithms, any agent may use


def find_own_code() -> None:
    """Makes the user's own modules importable, in this process and, as each of them calls this, in those it starts.

    They are looked for first in the folder in which the command was typed (see kaimesh.config.caller), then on
    PYTHONPATH, in the working folder, and in ROOT. A user's module may have the name of one of the checkout's folders,
    such as `envs` or `buffer`; then the user's is imported, be it a package (also without `__init__.py`) or a file. The
    checkout's folders are imported as `kaimesh.envs` and so on, and never by their bare names.
    """
    given = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    typed_in, here = ([str(path.absolute())] * _is_no_room(path) for path in (caller.folder(), Path.cwd()))
    first = dict.fromkeys(entry for entry in (*typed_in, *given, *here) if entry != str(ROOT)) | {str(ROOT): None}
    sys.path[:] = [*first, *(entry for entry in sys.path if entry and entry not in first)]
    if not any(isinstance(finder, _Elsewhere) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Elsewhere())


def _is_no_room(folder: Path) -> bool:
    """Whether `folder` lies outside of kaimesh's own packages, whose files have the names of libraries (`minigrid`)."""
    real = Path(os.path.realpath(folder))
    return not any(real.is_relative_to(os.path.realpath(_KAIMESH / room)) for room in (".", *_rooms()))


class _Elsewhere(MetaPathFinder):
    """Finds modules that have the name of a folder of the checkout, but lie elsewhere."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or fullname not in _rooms():
            return None
        root = str(_KAIMESH.parent)
        spec = PathFinder.find_spec(fullname, [entry for entry in sys.path if os.path.realpath(entry) != root])
        if spec is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}; import kaimesh's own as kaimesh.{fullname}", name=fullname
            )
        return spec


@cache
def _rooms() -> frozenset[str]:
    """The folders of the checkout that are linked into kaimesh/."""
    return frozenset(path.name for path in _KAIMESH.iterdir() if path.is_symlink())


def package_of(names: Iterable[str]) -> str:
    """The package that contains all of the dotted names, apart from those of the mesh itself; "" if there is none."""
    modules = [name.split(".")[:-1] for name in names if not _is_the_meshs(name)]
    shared = modules[0] if modules else []
    while any(module[: len(shared)] != shared for module in modules) or (
        len(shared) > 1 and not _is_package(".".join(shared))
    ):
        shared = shared[:-1]
    return ".".join(shared)


def is_ours(package: str) -> bool:
    """Whether `package` belongs to an algorithm that comes with kaimesh."""
    return _within(package, _ALGORITHMS)


def _is_the_meshs(name: str) -> bool:
    return _within(name, _MESH) and not _within(name, _ALGORITHMS)


def below_kaimesh(module: str) -> str:
    """The full name of a module of kaimesh that is written without `kaimesh.`; "" for any other module."""
    first = module.partition(".")[0]
    if first not in _rooms():
        return ""
    spec = _spec(first)
    elsewhere = spec is not None and _KAIMESH.parent / first not in map(Path, spec.submodule_search_locations or ())
    return "" if elsewhere else f"{_MESH}.{module}"


def foreign(names: Mapping[str, str], others: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Descriptions of everything that an algorithm uses from other algorithms' packages, by name or by import.

    Also the relative imports, with the file of each, that would get the algorithm's own modules instead.

    names: its dotted names by key. others: packages of the other algorithms, by algorithm.
    """
    whole = package_of(names.values())
    theirs = {package: algo for algo, package in others.items() if package and not _within(whole, package)}
    package = package_of(name for name in names.values() if not _owner(name, theirs))
    found = [f"{key} = {name} ([{theirs[owner]}])" for key, name in names.items() if (owner := _owner(name, theirs))]
    imported: dict[str, dict[str, None]] = {}
    instead: dict[str, None] = {}
    for file, module in _imports(package, theirs) if package else ():
        imported.setdefault(file, {})[module] = None
        instead[_relative(package, file, module, _owner(module, theirs))] = None
    found += [f"{file} imports {', '.join(modules)}" for file, modules in imported.items()]
    return found, [one for one in instead if one]


def _relative(package: str, file: str, module: str, owner: str) -> str:
    """The import in `file` that would get the package's own counterpart of `module`, which is `owner`'s.

    "": there is none, or the package is one file.
    """
    inside, spec = module.removeprefix(owner).strip("."), _spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    places = [Path(folder, *inside.split(".")) for folder in folders or ()]
    if not any(place.is_dir() or place.with_suffix(".py").is_file() for place in places):
        return ""
    return f"in {file}: from {'.' * (len(Path(file).parts) - 1)}{inside} import ..."


def leading_nowhere(names: Mapping[str, str]) -> list[str]:
    """Descriptions of the dotted names (by key) whose module, or whose name in it, does not exist, or is a number or
    a text there. Imports no module.

    A module that may define names at run time is not checked.
    """
    return [f"{key} = {name!r}: {why}" for key, name in names.items() if (why := _why_nowhere(name))]


def _why_nowhere(dotted: str) -> str:
    module, _, name = dotted.rpartition(".")
    if not module or not all(part.isidentifier() for part in dotted.split(".")):
        return "it is no dotted name; write package.module.Name"
    if below_kaimesh(module):
        return f"modules of kaimesh are imported by their full names: write {below_kaimesh(dotted)}"
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        return (
            f"there is no module {missing!r}" if _within(module, missing) else ""
        )  # else a package of it imports that
    except Exception:  # raised by a user's __init__; reported when the module is imported
        return ""
    if spec is None:
        return f"there is no module {module!r}"
    tree = _parsed(Path(spec.origin)) if spec.origin and spec.origin.endswith(".py") else None
    bound = None if tree is None else _bound(tree)
    if tree is None or bound is None:
        return ""
    if name in bound:
        return _no_code(tree, name)
    return f"module {module!r} has no {name!r}{nearest(name, bound)}"


def _parsed(file: Path) -> ast.Module | None:
    """A module's source; None: it cannot be read, which is reported when the module is imported."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError):
        return None


def _no_code(tree: ast.Module, name: str) -> str:
    """Why `name` cannot be called: what the module last binds it to is a number, a text or the like; "": it may be."""
    last: ast.stmt | None = None
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = {target.id for target in targets if isinstance(target, ast.Name)} | {getattr(node, "name", "")}
        last = node if name in named else last
    value = last.value if isinstance(last, ast.Assign | ast.AnnAssign) else None
    return f"{name} is {ast.unparse(value)}, which is no code" if isinstance(value, ast.Constant) else ""


def _bound(tree: ast.Module) -> set[str] | None:
    """The names that a module's source defines; None: that cannot be known without running it."""
    found: set[str] = set()
    used: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.Name):
            (found if isinstance(node.ctx, ast.Store) else used).add(node.id)
        if isinstance(node, ast.Attribute):
            used.add(node.attr)
        waiting += ast.iter_child_nodes(node)
    return None if (found | used) & _AT_RUN_TIME else found


_AT_RUN_TIME = {"*", "__getattr__", "globals", "setattr", "vars", "exec", "modules"}


def _owner(name: str, theirs: Mapping[str, str]) -> str:
    return next((package for package in theirs if _within(name, package)), "")


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _spec(name: str) -> ModuleSpec | None:
    """The spec of a module; None: there is none, or a package above it cannot be imported, which is reported later."""
    try:
        return importlib.util.find_spec(name)
    except Exception:  # raised by a user's __init__
        return None


def _is_package(name: str) -> bool:
    spec = _spec(name)
    return spec is None or spec.submodule_search_locations is not None


def _imports(package: str, theirs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each import of a module of `theirs` in a file of the package, also inside functions: the file and the module."""
    spec = _spec(package)
    if spec is None:
        return
    folders = spec.submodule_search_locations
    files = [(Path(folder), path) for folder in folders or () for path in sorted(Path(folder).rglob("*.py"))]
    if folders is None and spec.origin:
        files = [(Path(spec.origin).parent, Path(spec.origin))]
    for root, path in files:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue  # reported when it is imported
        here = [*package.split("."), *path.relative_to(root).parts[:-1]]
        for module in _modules(tree, here, theirs):
            yield (str(path.relative_to(root.parent)) if folders else path.name), module


def _modules(tree: ast.AST, here: list[str], theirs: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _owner(alias.name, theirs))
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if _owner(base, theirs) and base not in theirs:
                yield base
            else:  # `from diy import config`
                yield from (name for alias in node.names if _owner(name := f"{base}.{alias.name}", theirs))
