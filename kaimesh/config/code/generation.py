"""The generations of Kaiwu's conventions that an agent's folder may follow, and how its own is found.

| generation | registry | base class | `predict` in a workflow returns |
|---|---|---|---|
| G1 | YAML | kaiwu_agent | a list |
| G2a | TOML, keys `..._model` | kaiwu_agent | (list, version of the model) |
| G2b | TOML, keys `..._model` | kaiwu_agent | a list |
| G3 | TOML, keys `..._agent` | kaiwudrl.interface.agent | a list |

Whether `predict` returns a pair is read from the workflow: a call's value that is unpacked into two names is a pair.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

G1, G2A, G2B, G3 = GENERATIONS = ("G1", "G2a", "G2b", "G3")
_ASKING = ("predict", "exploit")
G3_BASE = "kaiwudrl.interface.agent"
_MOST_BYTES = 1 << 20  # of a source that is read


class Generation(NamedTuple):
    """name: one of GENERATIONS. pairs: whether `predict` returns (list, version). why: one sentence that says so."""

    name: str
    pairs: bool
    why: str


class Use(NamedTuple):
    """A call of `predict` whose value is used in line `line` of `file`, as a pair or as a list."""

    file: str
    line: int
    pair: bool

    def __str__(self) -> str:
        return f"{self.file} line {self.line} {'unpacks two' if self.pair else 'takes it as a list'}"


def find(
    root: Path, registry: Path, tables: Mapping[str, Any], names: Iterable[str], version: str, said: str = ""
) -> Generation:
    """The generation of the folder `root`.

    registry: its file. tables: what that says. names: the dotted names of the algorithm's classes and workflow.
    version: kaiwu.json's. said: the generation that the user named; "": none.
    """
    names = list(names)
    uses = list(_uses(root, names))
    used = next((use for use in uses if use.pair), uses[0] if uses else None)
    if said:
        pairs = used.pair if used is not None and said in (G1, G3) else said == G2A
        return Generation(said, pairs, f"generation {said}: code_generation says so")
    kinds = {key.rpartition("_")[2] for table in tables.values() if isinstance(table, dict) for key in table}
    derives = imports(root, names, G3_BASE)
    if derives or ("agent" in kinds and "model" not in kinds):
        how = f"an agent imports {G3_BASE}" if derives else f"{registry.name} has keys ..._agent"
        return Generation(G3, used is not None and used.pair, f"generation G3: {how}{_pair_words(used)}")
    if registry.suffix in (".yaml", ".yml"):
        found = used is not None and used.pair
        return Generation(G1, found, f"generation G1: {registry.name} is YAML{_pair_words(used)}")
    if used is None:
        first = version.partition(".")[0]
        pairs = first.isdecimal() and int(first) < 25  # 24.0.2 has pairs, 28.1.1 lists
        because = f"no workflow shows how it uses predict, and kaiwu.json says version {version or 'nothing'}"
    else:
        pairs, because = used.pair, str(used)
    name, returns = (G2A, "(list, version)") if pairs else (G2B, "a list")
    return Generation(name, pairs, f"generation {name}: predict returns {returns}, because {because}")


def _pair_words(used: Use | None) -> str:
    return f"; predict returns (list, version), because {used}" if used is not None and used.pair else ""


def source_of(root: Path, module: str) -> Path | None:
    """The file of a module of the folder; None: it has none."""
    place = root.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def parsed(path: Path) -> ast.Module | None:
    """A module's source; None: it cannot be read, which is reported when the module is imported."""
    try:
        return ast.parse(path.read_bytes()) if path.stat().st_size <= _MOST_BYTES else None
    except (SyntaxError, ValueError, OSError, RecursionError):
        return None


def packages(root: Path, names: Iterable[str]) -> list[Path]:
    """The top folders of the modules that `names` lie in, of those that the folder has."""
    tops = dict.fromkeys(name.partition(".")[0] for name in names)
    return [root / top for top in tops if top not in ("", "conf") and (root / top).is_dir()]


def imports(root: Path, names: Iterable[str], wanted: str) -> bool:
    """Whether one of the modules that `names` lie in imports the module `wanted`, or from below it."""
    for tree in _trees(root, names):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{wanted}."):
                return True
    return False


def calls(root: Path, names: Iterable[str]) -> set[str]:
    """The names of all methods that are called in the last one of `names`' modules, the workflow's."""
    nodes = (node for tree in _trees(root, list(names)[-1:]) for node in ast.walk(tree))
    return {node.func.attr for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}


def _trees(root: Path, names: Iterable[str]) -> Iterator[ast.Module]:
    for module in dict.fromkeys(name.rpartition(".")[0] for name in names):
        path = source_of(root, module) if module else None
        if path is not None and (tree := parsed(path)) is not None:
            yield tree


def _uses(root: Path, names: list[str]) -> Iterator[Use]:
    """How calls of `predict` are used: in the workflow's file first, then in the other files of its package."""
    workflow = [path for name in names[-1:] if (path := source_of(root, name.rpartition(".")[0])) is not None]
    others = sorted(path for folder in packages(root, names) for path in folder.rglob("*.py"))
    for path in dict.fromkeys([*workflow, *others]):
        tree = parsed(path)
        if tree is not None:
            yield from _uses_in(tree, str(path.relative_to(root)))


def _uses_in(tree: ast.Module, file: str) -> Iterator[Use]:
    for scope in (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.FunctionDef)):
        named: set[str] = set()  # names that hold what a call returned
        for node in _own_nodes(scope):
            if isinstance(node, ast.Subscript) and _asks(node.value):
                yield Use(file, node.lineno, False)
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                continue
            target, value = node.targets[0], node.value
            asked = _asks(value) or (isinstance(value, ast.Name) and value.id in named)
            if asked and isinstance(target, ast.Tuple | ast.List):
                pair = len(target.elts) == 2 and not _gives_two(value)
                yield Use(file, node.lineno, pair)
            elif isinstance(target, ast.Name):
                (named.add if _asks(value) else named.discard)(target.id)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function or module in the order of the source, without those of functions inside."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _own_nodes(child)


def _asks(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ASKING


def _gives_two(value: ast.AST) -> bool:
    """Whether the call is for a list of two observations, whose answers are then two."""
    given = [*value.args, *(word.value for word in value.keywords)] if isinstance(value, ast.Call) else []
    return any(isinstance(one, ast.List) and len(one.elts) == 2 for one in given)
