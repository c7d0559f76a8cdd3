"""A folder's own configuration: read with everything in it that TOML or the mesh would refuse, each told as a note.

Its values come from conf/kaiwudrl/{aisrv,learner}.toml, conf/kaiwudrl/configure.toml and conf/configure_app.toml; of a
key that several have, the last one holds.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kaimesh.config.ignored import FRAMEWORK, IGNORED
from kaimesh.config.keys import App
from kaimesh.config.nearest import nearest
from kaimesh.contract.errors import ConfigError

APP_FILE = "conf/configure_app.toml"
_BELOW = ("conf/kaiwudrl/aisrv.toml", "conf/kaiwudrl/learner.toml", "conf/kaiwudrl/configure.toml")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_LINE = re.compile(r"^\s*([A-Za-z0-9_\-.]+)\s*=")
_HEADER = re.compile(r"^\s*\[")
# Of another machine, or of the registry, which is read by itself.
_NOT_HERE = ("actor_addrs", "learner_addrs", "algo_conf", "runs_dir", "bind_host")
# What Kaiwu's framework has where its users say nothing; the mesh's own defaults are made for other agents.
DEFAULTS: Mapping[str, Any] = {
    "replay_buffer_capacity": 10_000,
    "train_batch_size": 256,
    "aisrv_connect_to_kaiwu_env_count": 8,
    "dump_model_freq": 1000,
    "max_save_model_file_count": 100,
    "production_consume_ratio": 10,
}
_NUMBERS = {int, float}


class Settings(NamedTuple):
    """app: values of keys of the mesh. kept: all values that were found, for users' code. notes: for the user."""

    app: dict[str, Any]
    kept: dict[str, Any]
    notes: tuple[str, ...]


def read_settings(root: Path) -> Settings:
    """The configuration of the folder `root`. Raises ConfigError: it has no conf/configure_app.toml."""
    if not (root / APP_FILE).is_file():
        raise ConfigError(
            f"{root} has no {APP_FILE}, so it is no folder of agents, and nothing was started. Name the code root: the "
            "folder with kaiwu.json, conf/ and the agents' folders."
        )
    notes: list[str] = []
    kept: dict[str, Any] = {}
    for name in (*(name for name in _BELOW if (root / name).is_file()), APP_FILE):
        kept |= _keys_of(tolerant(root / name, notes))
    app = {key: value for key, value in kept.items() if key in App.model_fields and key not in _NOT_HERE}
    read = ("app", "algo", "algo_conf", "noselfplay_app_conf")
    idle = [
        key
        for key in kept
        if key not in app and key not in read and (key in IGNORED or key in _NOT_HERE or key in FRAMEWORK)
    ]
    unknown = [key for key in kept if key not in app and key not in idle and key not in read]
    if idle:
        notes.append(f"{APP_FILE}: {', '.join(sorted(idle))}: keys of Kaiwu that do nothing here")
    if unknown:
        words = [f"{key}{nearest(key, App.model_fields)}" for key in unknown]
        notes.append(f"{APP_FILE}: {', '.join(words)}: no keys of the mesh, nor known ones of Kaiwu; they do nothing")
    _mend(app, notes)
    return Settings(app, kept, tuple(notes))


def _keys_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of all tables, in one: a folder's files have one table each, whatever it is called."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        found |= value if isinstance(value, dict) else {name: value}
    return found


def _mend(app: dict[str, Any], notes: list[str]) -> None:
    """Gives values the types and ranges that Kaiwu takes them for."""
    if app.get("run_mode") == "exam":
        app["run_mode"] = "eval"
    for key, value in list(app.items()):
        wanted = App.model_fields[key].annotation
        if isinstance(value, str) and wanted in _NUMBERS:
            try:
                app[key] = wanted(value) if wanted is float else int(value)
            except ValueError:
                continue  # told by the check of all keys
        elif isinstance(value, float) and wanted is int and value.is_integer():
            app[key] = int(value)
    capacity, batch = app.get("replay_buffer_capacity"), app.get("train_batch_size")
    if type(capacity) is int and type(batch) is int and capacity < batch:
        app["replay_buffer_capacity"] = batch
        notes.append(f"replay_buffer_capacity = {capacity} is below train_batch_size = {batch}, which holds instead")


def tolerant(path: Path, notes: list[str]) -> dict[str, Any]:
    """The tables of a TOML file; what TOML does not allow is left out, and told in `notes`.

    Of a key that stands twice the last one holds. `${NAME}` is replaced by the environment variable; where there is
    none, the key is left out. A line that is no TOML is left out. Raises ConfigError: it cannot be read at all.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; nothing was started. Correct the file.") from error
    lines = _replaced(path, text.splitlines(), notes)
    lines = _once(path, lines, notes)
    while True:
        try:
            return tomllib.loads("\n".join(lines) + "\n")
        except (ValueError, RecursionError) as error:
            bad = _bad_line(lines, str(error))
            if bad is None:
                raise ConfigError(f"{path} is not TOML: {error}; nothing was started. Correct that place.") from error
            notes.append(f"{path.name}, line {bad + 1}: {lines[bad].strip()[:80]!r} is no TOML, and does nothing")
            lines[bad] = ""


def _bad_line(lines: list[str], error: str) -> int | None:
    """The line at which reading failed, if it is not empty already."""
    found = re.search(r"at line (\d+)", error)
    number = int(found[1]) - 1 if found else len(lines) - 1
    while number >= 0 and number < len(lines) and not lines[number].strip():
        number -= 1  # the end of a line is where the next one begins
    return number if 0 <= number < len(lines) else None


def _replaced(path: Path, lines: list[str], notes: list[str]) -> list[str]:
    """`lines` with environment variables in place of `${NAME}`."""
    out = []
    for number, line in enumerate(lines, 1):
        before = line.split("#", 1)[0]
        missing = [name for name in _VARIABLE.findall(before) if name not in os.environ]
        if missing:
            notes.append(
                f"{path.name}, line {number}: {missing[0]} is no environment variable, so {before.strip()[:80]!r} does "
                "nothing"
            )
            out.append("")
        else:
            out.append(_VARIABLE.sub(lambda found: os.environ.get(found[1], ""), line))
    return out


def _once(path: Path, lines: list[str], notes: list[str]) -> list[str]:
    """`lines` without the earlier ones of keys that stand twice in a table."""
    seen: dict[tuple[str, str], int] = {}
    section, out = "", list(lines)
    for number, line in enumerate(lines):
        if _HEADER.match(line):
            name = line.split("#", 1)[0].strip()
            section = name if not name.startswith("[[") else f"{name} {number}"
        elif found := _LINE.match(line):
            key = (section, found[1])
            if key in seen:
                out[seen[key]] = ""
                notes.append(f"{path.name}: {found[1]} is set twice; line {number + 1} holds, not line {seen[key] + 1}")
            seen[key] = number
    return out
