"""Reading a configuration: file < environment < overrides, with the algorithm's defaults below all of them.

Every problem of every key is collected into one ConfigError.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import toml
from pydantic import ValidationError

from kaimesh.config import check
from kaimesh.config.keys import IGNORED, App
from kaimesh.errors import ConfigError

ALGO_CONF = Path("conf/algo_conf.toml")
_SECTION = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-]+)\s*=")


@dataclass(frozen=True)
class AlgoEntry:
    """One table of conf/algo_conf.toml: dotted names of what each process loads."""

    name: str
    actor_agent: str
    learner_agent: str
    aisrv_agent: str
    train_workflow: str
    config: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """A whole, valid configuration. `hyper` is what `[<algo>]` of the file overrides in the algorithm's config class."""

    app: App
    algo: AlgoEntry
    hyper: Mapping[str, Any]
    warnings: tuple[str, ...]
    source: str

    def threads_of(self, role: str) -> int:
        """Threads of a process's numerical library."""
        return check.share_threads(self.app).get(role, 1)

    def dump(self, path: Path) -> None:
        """Writes the resolved configuration, every key named, so that another process loads the same."""
        data = {
            "app": {k: v for k, v in self.app.model_dump().items() if v is not None},
            self.algo.name: dict(self.hyper),
        }
        path.write_text(toml.dumps(data))


def load(
    path: str | Path, overrides: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Config:
    """The configuration in `path`, with environment variables and then `overrides` ("key" or "algo.key" to text) on top.

    Applies `[<algo>]` to the algorithm's config class. Raises ConfigError: one report of everything that is wrong.
    """
    problems: list[str] = []
    data = _read(Path(path), problems)
    table = {**data.get("app", {})}
    algo_tables = {name: dict(value) for name, value in data.items() if name != "app" and isinstance(value, dict)}
    origin = {key: str(path) for key in table}
    for key, text in (os.environ if environ is None else environ).items():
        if key in App.model_fields:
            table[key], origin[key] = _parse(text), "environment"
    for key, text in (overrides or {}).items():
        section, _, name = key.rpartition(".")
        if section and section != "app":
            algo_tables.setdefault(section, {})[name] = _parse(text)
        else:
            table[name], origin[name] = _parse(text), "--set"
    entry = _algo_entry(str(table.get("algo", App.model_fields["algo"].default)), problems)
    table = {**(entry.defaults if entry else {}), **table}
    warnings = _drop_ignored(table, problems, origin)
    app = _validate(table, problems, origin)
    hyper = algo_tables.get(entry.name, {}) if entry else {}
    if entry is not None:
        _apply_hyper(entry, hyper, app.random_seed if app else 0, problems)
    if app is not None:
        problems += check.problems(app)
        warnings += check.warnings(app)
    if problems or app is None or entry is None:
        raise ConfigError(_report(path, problems))
    return Config(app, entry, hyper, tuple(warnings), str(path))


def _report(path: str | Path, problems: list[str]) -> str:
    lines = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, 1))
    return f"{path}: {len(problems)} problem{'s' * (len(problems) > 1)}; nothing was started.\n{lines}"


def _read(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}. Name the file with --conf, or copy conf/configure_app.toml."
        ) from error
    kept: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := _SECTION.match(line):
            section = match[1]
        elif match := _KEY.match(line):
            name = (section, match[1])
            if name in seen:
                problems.append(
                    f"{path}, line {number}: {match[1]} is set twice (first in line {seen[name]}); which one holds is a guess. Delete one."
                )
                line = ""
            seen.setdefault(name, number)
        kept.append(line)
    try:
        return toml.loads("\n".join(kept))
    except (toml.TomlDecodeError, IndexError) as error:
        problems.append(f"{path} is not TOML: {error}")
        return {}


def _parse(text: str) -> Any:
    """A TOML value, or the text itself."""
    try:
        return toml.loads(f"value = {text}")["value"]
    except (toml.TomlDecodeError, IndexError):
        return text


def _algo_entry(name: str, problems: list[str]) -> AlgoEntry | None:
    registry = toml.load(ALGO_CONF)
    if name not in registry:
        problems.append(
            f"algo = {name!r} is not in {ALGO_CONF}{_nearest(name, registry)}. It has: {', '.join(registry)}."
        )
        return None
    return AlgoEntry(name=name, **registry[name])


def _drop_ignored(table: dict[str, Any], problems: list[str], origin: Mapping[str, str]) -> list[str]:
    warnings = []
    for key in list(table):
        if key in IGNORED:
            del table[key]
            warnings.append(f"{key} is a Kaiwu key that has no effect here")
        elif key not in App.model_fields:
            del table[key]
            problems.append(
                f"{origin.get(key)}: unknown key {key!r}{_nearest(key, App.model_fields)}. It would have no effect."
            )
    return warnings


def _nearest(name: str, known: Any) -> str:
    match = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {match[0]!r}?" if match else ""


def _validate(table: Mapping[str, Any], problems: list[str], origin: Mapping[str, str]) -> App | None:
    try:
        return App(**table)
    except ValidationError as error:
        for item in error.errors():
            key = str(item["loc"][0]) if item["loc"] else "?"
            description = App.model_fields[key].description if key in App.model_fields else ""
            problems.append(
                f"{origin.get(key, 'defaults')}: {key} = {item['input']!r}: {item['msg']}. {key}: {description}"
            )
        return None


def _apply_hyper(entry: AlgoEntry, hyper: Mapping[str, Any], seed: int, problems: list[str]) -> None:
    """Sets the file's `[<algo>]` values on the algorithm's config class: a plain class whose attributes are the defaults.

    `seed`, where the class has it, is random_seed unless the file says otherwise.
    """
    if not entry.config:
        return
    module, _, name = entry.config.rpartition(".")
    target = getattr(importlib.import_module(module), name)
    known = [key for key in dir(target) if not key.startswith("_") and not callable(getattr(target, key))]
    if "seed" in known:
        target.seed = seed
    for key, value in hyper.items():
        if key not in known:
            problems.append(
                f"[{entry.name}] unknown key {key!r}{_nearest(key, known)}. {entry.config} has: {', '.join(known)}."
            )
            continue
        default = getattr(target, key)
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if isinstance(default, tuple) and isinstance(value, list):
            value = tuple(value)
        if type(value) is not type(default):
            problems.append(
                f"[{entry.name}] {key} = {value!r} is {type(value).__name__}; it must be {type(default).__name__}."
            )
            continue
        setattr(target, key, value)
    if not problems and hasattr(target, "check"):
        problems += target.check()
