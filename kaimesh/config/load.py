"""Loads a configuration. What is stronger comes later: the algorithm's defaults, the file, the environment, overrides.

All problems of all keys are collected into one ConfigError. A run's own conf.toml is *resolved*: it has every key, so
neither environment variables nor the algorithm's defaults are applied to it again.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin

import toml
from pydantic import ValidationError

from kaimesh import ROOT
from kaimesh.config import check, ignored
from kaimesh.config import hyper as hyper_module
from kaimesh.config.code import Code
from kaimesh.config.code.folder import TABLE as CODE
from kaimesh.config.copied import strangers
from kaimesh.config.idle import idle
from kaimesh.config.keys import App
from kaimesh.config.nearest import nearest
from kaimesh.config.own_roles import TABLE, own_roles
from kaimesh.config.reading import LAST_LINE, RESOLVED, Document, parse, put, read
from kaimesh.config.registry import AlgoEntry, registry
from kaimesh.config.report import report, short
from kaimesh.config.roles import ROLES, Rights, Role, every_address, rights_of
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.json_text import json_text


def _delivered(name: str) -> Path:
    """A file of conf/ in ROOT; where there is none, the one that comes with kaimesh."""
    own = ROOT / "conf" / name
    return own if own.is_file() else Path(__file__).with_name("conf") / name


DEFAULT_CONF = _delivered("configure_app.toml")
REGISTRY = _delivered("algo_conf.toml")
_ALGO_CONF = App.model_fields["algo_conf"].default
_TABLES = tuple(f"app.{key}" for key, known in App.model_fields.items() if get_origin(known.annotation) is dict)


@dataclass(frozen=True)
class Config:
    """A valid configuration.

    hyper: the algorithm's hyper-parameters, as far as TOML can hold them. parameters: the same as agents get them;
    None: the algorithm has none. code: the folder whose agents run; None: kaimesh's own, or the user's by dotted names.
    """

    app: App
    algo: AlgoEntry
    hyper: Mapping[str, Any]
    warnings: tuple[str, ...]
    source: str
    parameters: hyper_module.Parameters | None = None
    roles: Mapping[str, Role] = field(default_factory=lambda: ROLES)
    code: Code | None = None

    def threads_of(self, role: Role) -> int:
        """How many threads the numerical library of a process of `role` may use."""
        return check.share_threads(self.app).get(role.threads, int(role.own.get("threads", 1)))

    @property
    def rights(self) -> Rights:
        """What each role may ask of the others."""
        return rights_of(self.roles.values(), self.app)

    @property
    def roles_here(self) -> list[Role]:
        """The roles of a mesh on one machine, under supervisord."""
        local = self.app.wrapper_type == "local"
        return [role for role in self.roles.values() if role.home != "containers" and (role.local or not local)]

    @property
    def addresses(self) -> list[str]:
        """Every "host:port" of the mesh."""
        return [address for _key, address in every_address(self.roles.values(), self.app)]

    def to_toml(self) -> str:
        """The configuration with every key, as TOML; a process that loads it gets exactly the same configuration."""
        data: dict[str, Any] = {
            RESOLVED: f"every key of {self.source}, the environment and --set; neither is applied to this file again. "
            f"Last line: {LAST_LINE}",
            "app": {k: v for k, v in self.app.model_dump().items() if v is not None},
            self.algo.name: {k: list(v) if isinstance(v, tuple) else v for k, v in self.hyper.items()},
        }
        if own := {name: dict(role.own) for name, role in self.roles.items() if role.own}:
            data[TABLE] = own
        if self.code is not None:
            data[CODE] = self.code.to_table()
        return f"{toml.dumps(data, _Encoder())}\n{LAST_LINE}\n"


class _Encoder(toml.TomlEncoder):
    """Writes strings as JSON does; toml's own encoder raises IndexError for control characters, or loses them."""

    def __init__(self) -> None:
        super().__init__()
        self.dump_funcs[str] = lambda text: json_text(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def load(
    path: str | Path,
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    quiet: Collection[str] = (),
    code: Code | None = None,
) -> Config:
    """The configuration in `path`, overridden by environment variables and then by `overrides` (key to text).

    The keys of `overrides` are "key", "algo.key", or dotted further into a table: "env_conf.length". Of keys
    in `quiet` it is not told that they do nothing: a program set them. code: a folder of agents, whose configuration
    and registry take the place of `path`'s; a run's own conf.toml names its folder itself.
    Where the algorithm's config class is a plain class, `[<algo>]` is set on it. Raises ConfigError: one report of
    everything that is wrong.
    """
    problems: list[str] = []
    document = read(Path(path), problems) if code is None else Document(code.document, {})
    resolved = RESOLVED in document.data
    if CODE in document.data and resolved:
        code = Code.from_table(document.data[CODE])
    table, tables, origin = _tables(document, path, problems)
    variables = {} if resolved else os.environ if environ is None else environ
    notes = _from_environment(variables, table, origin)
    _from_overrides(overrides or {}, table, tables, origin, problems)
    roles = {**ROLES, **own_roles(tables.pop(TABLE, {}), str(path), variables, problems, notes)}
    file = registry_file(table) if code is None else code.conf
    known = registry(problems, file) if code is None else code.registry
    entry = _entry(str(table.get("algo", App.model_fields["algo"].default)), known, file, problems)
    _check_tables(tables, known, entry, document, overrides or {}, path, problems)
    preset: dict[str, str] = {}
    typed = () if resolved else [key for key in table if key not in quiet]
    if entry is not None and not resolved:
        preset = _apply_layers(entry, table, tables, origin, file)
        notes += strangers(entry, known, _near(file)) if code is None else code.told()
    notes += _drop_ignored(table, problems, origin)
    app = _validate(table, roles, problems, origin)
    given: Mapping[str, Any] = tables.get(entry.name, {}) if entry is not None else {}
    parameters = None
    if entry is not None and entry.config:
        parameters = hyper_module.resolve(entry.name, entry.config, given, app.random_seed if app else 0, problems)
    if problems or app is None or entry is None:
        raise ConfigError(report(path, problems))
    shown = {} if parameters is None else parameters.shown(given)
    if parameters is not None and not resolved:
        notes += hyper_module.overridden(parameters, preset, ROOT)
        notes += hyper_module.idle(parameters, sorted(given.keys() - preset.keys()), app.wrapper_type)
    notes = [short(note) for note in (*notes, *idle(app, typed, code is not None), *check.warnings(app))]
    return Config(app, entry, shown, tuple(notes), str(path), parameters, roles, code)


def _near(file: Path) -> Path:
    """`file` relative to the checkout, if it lies in there."""
    return file.relative_to(ROOT) if file.is_relative_to(ROOT) else file


def _apply_layers(
    entry: AlgoEntry, table: dict[str, Any], tables: dict[str, dict[str, Any]], origin: dict[str, str], file: Path
) -> dict[str, str]:
    """Sets the keys that the user did not, from presets and defaults.

    Returns where each hyper-parameter that was set in this way is written, by name.
    """
    preset: dict[str, str] = {}
    for layer, values in entry.layers(str(table.get("app", App.model_fields["app"].default))):
        where = f"{_near(file)}, [{entry.name}.{layer}]"
        _fill(table, {key: value for key, value in values.items() if key != entry.name}, origin, where)
        own, given = tables.setdefault(entry.name, {}), values.get(entry.name, {})
        preset |= {key: where for key in given if key not in own}
        tables[entry.name] = {**given, **own}
    return preset


def _fill(table: dict[str, Any], values: Mapping[str, Any], origin: dict[str, str], where: str) -> None:
    for key, value in values.items():
        if key not in table:
            table[key], origin[key] = value, where
        elif isinstance(value, Mapping) and isinstance(table[key], dict):
            table[key] = {**value, **table[key]}


def _tables(
    document: Document, path: str | Path, problems: list[str]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, str]]:
    """`[app]`, the algorithms' tables, and the file and line of each key of `[app]`."""
    tables: dict[str, dict[str, Any]] = {}
    for name, value in document.data.items():
        if isinstance(value, dict):
            tables[name] = dict(value)
        elif name != RESOLVED:
            problems.append(f"{path}: {name} stands before any table and would have no effect. Move it below [app].")
    table = tables.pop("app", {})
    tables.pop(CODE, None)
    lines = document.lines
    origin = {key: f"{path}, line {lines['app', key]}" if ("app", key) in lines else str(path) for key in table}
    return table, tables, origin


def _wanted(key: str) -> Any:
    return App.model_fields[key].annotation if key in App.model_fields else None


def _from_environment(environ: Mapping[str, str], table: dict[str, Any], origin: dict[str, str]) -> list[str]:
    """Takes environment variables named like keys; returns a note on each: one called `app` may be set by accident."""
    notes = []
    for key in App.model_fields:
        if key in environ:
            table[key], origin[key] = parse(environ[key], _wanted(key)), f"environment variable {key}"
            notes.append(f"{key} = {table[key]!r} comes from the environment variable of that name")
    return notes


def _from_overrides(
    overrides: Mapping[str, str],
    table: dict[str, Any],
    tables: dict[str, dict[str, Any]],
    origin: dict[str, str],
    problems: list[str],
) -> None:
    """Sets `--set` keys: those of `[app]`, and dotted ones in a table of `[app]` or in another table of the file."""
    for key, text in overrides.items():
        path = [name.strip() for name in key.removeprefix("app.").split(".")]
        name, within = path[0], len(path) > 1
        if within and name not in App.model_fields and not key.startswith("app."):
            wrong = put(tables, path, parse(text))
        elif not (wrong := put(table, path, parse(text, None if within else _wanted(name)))):
            origin[name] = f"--set {'.'.join(path)}"
        if wrong:
            problems.append(f"--set {key}: {wrong}")


def registry_file(table: Mapping[str, Any]) -> Path:
    """The file that `algo_conf` in `[app]` names; kaimesh's own registry if it names none."""
    named = table.get("algo_conf", "")
    if not isinstance(named, str) or named.strip() in ("", _ALGO_CONF) or _is_kaiwus(named):
        return REGISTRY
    return ROOT / named


def _is_kaiwus(registry: Any) -> bool:
    """Whether it is a registry of Kaiwu's first generation: a YAML file that names classes of its framework."""
    return isinstance(registry, str) and registry.endswith((".yaml", ".yml"))


def _entry(name: str, known: Mapping[str, AlgoEntry], file: Path, problems: list[str]) -> AlgoEntry | None:
    if name not in known:
        problems.append(
            f"algo = {name!r} is not in {file}{nearest(name, known)}; nothing could be loaded. It has: "
            f"{', '.join(known)}."
        )
    return known.get(name)


def _check_tables(
    tables: Mapping[str, Any],
    known: Mapping[str, AlgoEntry],
    entry: AlgoEntry | None,
    document: Document,
    overrides: Mapping[str, str],
    path: str | Path,
    problems: list[str],
) -> None:
    for name in tables:
        if name not in known:
            where = path if name in document.data else "--set"
            problems.append(
                f"{where}: [{name}] is neither app nor an algorithm{nearest(name, ['app', *known, *_TABLES])}. It "
                f"would have no effect. Name an algorithm ({', '.join(known)}) or a table of [app] "
                f"({', '.join(_TABLES)})."
            )
        elif entry and name != entry.name and any(key.startswith(f"{name}.") for key in overrides):
            problems.append(
                f"--set {name}.*: the algorithm is {entry.name}; it would have no effect. Add --algo {name}."
            )


def _drop_ignored(table: dict[str, Any], problems: list[str], origin: Mapping[str, str]) -> list[str]:
    notes = []
    for key, value in list(table.items()):
        if key in ignored.IGNORED or (key == "algo_conf" and _is_kaiwus(value)):
            del table[key]
            notes.append(f"{key} is a Kaiwu key that has no effect here")
        elif key not in App.model_fields:
            del table[key]
            problems.append(
                f"{origin.get(key, '?')}: unknown key {key!r}{nearest(key, App.model_fields)}. It would have no effect."
            )
        elif isinstance(value, str) and "${" in value:
            del table[key]
            problems.append(
                f"{origin[key]}: {key} = {value!r} is a placeholder that nobody replaced; it would be taken literally. "
                "Write the value."
            )
    return notes


def _validate(
    table: Mapping[str, Any], roles: Mapping[str, Role], problems: list[str], origin: Mapping[str, str]
) -> App | None:
    try:
        app = App(**table)
    except ValidationError as error:
        wrong = set()
        for item in error.errors():
            key = str(item["loc"][0])
            wrong.add(key)
            message = item["msg"].removeprefix("Value error, ")
            problems.append(
                f"{origin.get(key, 'default')}: {key} = {item['input']!r:.200}: {message}. "
                f"{key}: {App.model_fields[key].description}"
            )
        rest = App(**{key: value for key, value in table.items() if key not in wrong})
        found = check.problems(rest, roles.values())
        problems += [text for text in found if not any(key in text for key in wrong)]
        return None
    problems += check.problems(app, roles.values())
    return app
