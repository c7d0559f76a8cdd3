"""The registry of algorithms (`algo_conf`): which classes each process loads, default keys, presets for environments.

A table may be a copy of another: `copy_of = "diy"` takes everything from `[diy]`, with the package `diy` replaced by
the copy's own package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from kaimesh.config.nearest import nearest
from kaimesh.config.packages import package_of
from kaimesh.config.reading import read

COPY_OF, PACKAGE = "copy_of", "package"
_CHOOSING = ("app", "algo", "algo_conf")  # keys by which a table and its presets are found
NAMES = ("actor_agent", "learner_agent", "aisrv_agent", "train_workflow", "config")


@dataclass(frozen=True)
class AlgoEntry:
    """One table of the registry: the dotted names of what each process loads.

    copy_of: the table that it is a copy of.
    """

    name: str
    actor_agent: str
    learner_agent: str
    aisrv_agent: str
    train_workflow: str
    config: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    copy_of: str = ""

    def layers(self, app: str) -> list[tuple[str, Mapping[str, Any]]]:
        """The values for keys that the user does not set, strongest first: presets that match `app`, then defaults."""
        matching = [
            (f"presets.{pattern!r}", preset) for pattern, preset in self.presets.items() if fnmatch(app, pattern)
        ]
        return [*matching, ("defaults", self.defaults)]

    @property
    def names(self) -> dict[str, str]:
        """The dotted names, by key."""
        return {key: str(getattr(self, key)) for key in NAMES if getattr(self, key)}

    @property
    def package(self) -> str:
        """The package of its agent, such as `diy` or `kaimesh.algorithms.ppo`; "" if its names share none."""
        return package_of(self.names.values())


class _Table(BaseModel):
    """The types of a table's keys. Which of them are required is checked elsewhere."""

    model_config = ConfigDict(strict=True)

    actor_agent: str = ""
    learner_agent: str = ""
    aisrv_agent: str = ""
    train_workflow: str = ""
    config: str = ""
    defaults: dict[str, Any] = {}
    presets: dict[str, dict[str, Any]] = {}
    copy_of: str = ""
    package: str = ""


def registry(problems: list[str], file: Path) -> dict[str, AlgoEntry]:
    """The algorithms in `file` by name; mistakes in it are added to `problems`.

    Raises ConfigError: it cannot be read.
    """
    known = {item.name for item in fields(AlgoEntry)} - {"name"} | {PACKAGE}
    tables = dict(read(file, problems, "Correct algo_conf, or leave it out.").data)
    entries = {}
    for name in tables:
        where = f"{file}, [{name}]"
        table = _written_out(name, tables, where, problems)
        if table is None:
            continue
        for key in [key for key in table if key not in known]:
            problems.append(
                f"{where}: unknown key {key!r}{nearest(key, known)}. It would have no effect. Correct or delete it."
            )
            del table[key]
        if missing := [key for key in NAMES[:3] if key not in table]:
            problems.append(f"{where}: {', '.join(missing)} is missing; that process would load nothing. Name a class.")
            continue
        if "train_workflow" not in table:
            problems.append(f"{where}: train_workflow is missing; aisrv would do nothing. Name a function.")
            continue
        entries[name] = AlgoEntry(name=name, **{key: value for key, value in table.items() if key != PACKAGE})
        problems += _of_others(name, entries[name].presets, tables, where)
    return entries


def _written_out(
    name: str, tables: Mapping[str, Any], where: str, problems: list[str], above: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """The table `name`; if it is a copy, completed with the other table's keys. None: a problem was added.

    above: the copies that lead to this table, to find circles.
    """
    if wrong := _malformed(name, tables[name]):
        problems += [f"{where}{text}; nothing could be loaded. Correct it." for text in wrong]
        return None
    own = dict(tables[name])
    if COPY_OF not in own:
        if PACKAGE in own:
            problems.append(
                f"{where}: {PACKAGE} says where a copy lies; without {COPY_OF} it would have no effect. Add {COPY_OF}, "
                f"or delete {PACKAGE}."
            )
        return own
    origin = own[COPY_OF]
    if origin not in tables or origin in (name, *above):
        problems.append(
            f"{where}: {COPY_OF} = {origin!r} is {'this table itself' if origin in tables else 'no table of this file'}"
            f"{nearest(str(origin), [other for other in tables if other != name])}; nothing could be loaded. Name "
            "another table."
        )
        return None
    base = _written_out(origin, tables, where, problems, (name, *above))
    if base is None:
        return None
    before = package_of(str(base[key]) for key in NAMES if key in base)
    package = str(own.get(PACKAGE, name))
    copied = {key: _moved(str(base[key]), before, package) for key in NAMES if key in base}
    renamed = {
        pattern: {name if key == origin else key: value for key, value in preset.items()}
        for pattern, preset in base.get("presets", {}).items()
    }
    return {
        **copied,
        **own,
        "defaults": {**base.get("defaults", {}), **own.get("defaults", {})},
        "presets": {**own.get("presets", {}), **{k: v for k, v in renamed.items() if k not in own.get("presets", {})}},
    }


def _malformed(name: str, table: Any) -> list[str]:
    if not isinstance(table, dict):
        return [f": {table!r} is no table"]
    try:
        _Table.model_validate(table)
    except ValidationError as error:
        return [
            f", {'.'.join(map(str, item['loc']))} = {item['input']!r:.200}: {item['msg']}" for item in error.errors()
        ]
    layers = {f"presets.{pattern!r}": preset for pattern, preset in table.get("presets", {}).items()}
    layers["defaults"] = table.get("defaults", {})
    return [
        f", {layer}: {name} = {values[name]!r:.80} is no table of hyper-parameters"
        for layer, values in layers.items()
        if not isinstance(values.get(name, {}), dict)
    ] + [
        f", {layer}: {key} = {values[key]!r:.80} chooses what runs, which this table is already chosen by"
        for layer, values in layers.items()
        for key in _CHOOSING
        if key in values
    ]


def _moved(dotted: str, before: str, after: str) -> str:
    """`dotted`, with its package `before` replaced by `after`; unchanged if it lies in another one."""
    return after + dotted.removeprefix(before) if before and dotted.startswith(f"{before}.") else dotted


def _of_others(name: str, presets: Mapping[str, Any], tables: Mapping[str, Any], where: str) -> list[str]:
    """Problems of presets that were copied by hand: hyper-parameters still stand under the other table's name."""
    return [
        f"{where}, presets.{pattern!r}: {key} = {{...}} is another algorithm's; it would have no effect. Write {name} "
        f"= {{...}}."
        for pattern, preset in presets.items()
        for key, value in preset.items()
        if isinstance(value, dict) and key in tables and key != name
    ]
