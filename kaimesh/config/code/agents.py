"""A folder's registry of algorithms: which class each process loads, and whether it is there."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kaimesh.config.code.generation import parsed, source_of
from kaimesh.config.code.settings import DEFAULTS, tolerant
from kaimesh.config.nearest import nearest
from kaimesh.config.registry import AlgoEntry
from kaimesh.contract.errors import ConfigError

_PROCESSES = ("actor", "learner", "aisrv")


def find_file(root: Path, named: Any, pattern: str, notes: list[str]) -> Path | None:
    """The file that a configuration names, relative to the folder; else the only one in conf/ whose name holds
    `pattern`. None: there is none.
    """
    if isinstance(named, str) and named.strip():
        if (root / named).is_file():
            return root / named
        notes.append(f"{named} is not in {root}, so another file of conf/ is looked for")
    found = sorted(
        path
        for path in (root / "conf").glob("*")
        if pattern in path.name and path.suffix in (".yaml", ".yml", ".toml") and path.name != "configure_app.toml"
    )
    if len(found) > 1:
        notes.append(f"conf/ has {', '.join(path.name for path in found)}; {found[0].name} is read")
    return found[0] if found else None


def tables_of(path: Path, notes: list[str]) -> dict[str, Any]:
    """What a YAML or TOML file says. Raises ConfigError: it cannot be read."""
    if path.suffix == ".toml":
        return tolerant(path, notes)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is no YAML: {error}; nothing was started. Correct that place.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} has no tables, but {found!r:.80}; nothing was started. Correct the file.")
    return found


def entries_of(tables: Mapping[str, Any], path: Path) -> dict[str, AlgoEntry]:
    """The algorithms of a registry, by name. Raises ConfigError: one lacks a class or a workflow."""
    entries = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            continue
        words = {key: str(value) for key, value in table.items() if isinstance(value, str)}
        agents = {who: words.get(f"{who}_agent") or words.get(f"{who}_model", "") for who in _PROCESSES}
        shared = next((one for one in agents.values() if one), "")
        workflow = words.get("train_workflow", "")
        if not shared or not workflow:
            missing = "train_workflow" if shared else "actor_agent, learner_agent or aisrv_agent"
            raise ConfigError(
                f"{path}, {name}: {missing} is missing; that process would load nothing, and nothing was started. Name "
                "it as package.module.Name."
            )
        entries[str(name)] = AlgoEntry(
            name=str(name),
            actor_agent=agents["actor"] or shared,
            learner_agent=agents["learner"] or shared,
            aisrv_agent=agents["aisrv"] or shared,
            train_workflow=workflow,
            defaults={**DEFAULTS, **table.get("defaults", {})},
            presets=table.get("presets", {}),
        )
    return entries


def leading_nowhere(root: Path, names: Mapping[str, str]) -> list[str]:
    """Descriptions of the dotted names, by key, that the folder does not have. Imports nothing.

    A name in a module that may define it at run time, or that cannot be parsed, is not missed.
    """
    return [f"{key} = {name!r}: {why}" for key, name in names.items() if (why := _why(root, name))]


def _why(root: Path, dotted: str) -> str:
    module, _, name = dotted.rpartition(".")
    if not module:
        return "it is no dotted name; write package.module.Name"
    path = source_of(root, module)
    if path is None:
        top = module.split(".")[0]
        near = nearest(top, [one.name for one in root.iterdir() if one.is_dir()]) if not (root / top).exists() else ""
        return f"there is no {module.replace('.', '/')}.py{near}"
    tree = parsed(path)
    bound = set() if tree is None else _bound(tree)
    if tree is None or name in bound or "*" in bound:
        return ""
    return f"{path.relative_to(root)} has no {name}{nearest(name, bound)}"


def _bound(tree: ast.Module) -> set[str]:
    """The names that a module's own lines define, also below `if` and `try`."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name.partition(".")[0]) for alias in node.names}
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        waiting += ast.iter_child_nodes(node)
    return found
