"""Reads TOML files and the text of single values; every problem is reported with file and line.

tomllib is used for reading, and toml elsewhere for writing: toml accepts unfinished arrays and names no line of an
error, and tomllib cannot write.
"""

from __future__ import annotations

import errno
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kaimesh.config.report import short
from kaimesh.contract.errors import ConfigError

# Takes time in proportion to the line's length: no two neighbours match the same characters.
_SECTION = re.compile(r"^\s*(\[\[?)\s*([^\[\]\s](?:[^\[\]]*[^\[\]\s])?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-]+)\s*=")
# Kaiwu's platform appends these keys when it packs a model, even if the file has them already.
_APPENDED_BY_KAIWU = frozenset(["eval_model_dir", "eval_model_id"])


class Document(NamedTuple):
    """A file's tables, and the line number of each (section, key)."""

    data: dict[str, Any]
    lines: Mapping[tuple[str, str], int]


RESOLVED = "resolved"  # the top-level key that marks a run's own conf.toml
LAST_LINE = "# Here the file ends."  # of a run's own conf.toml, whose first half may be TOML as well
CONF_REMEDY = "Name another file with --conf, or leave --conf out."


def read(path: Path, problems: list[str], remedy: str = CONF_REMEDY) -> Document:
    """The content of a file; mistakes in it are added to `problems`.

    Raises ConfigError: it cannot be read at all; the message ends with `remedy`.
    """
    try:
        # Reading a pipe may wait for ever. One below /dev comes from `--conf <(command)`, which writes into it.
        if path.is_fifo() and not path.is_relative_to("/dev"):
            raise OSError(errno.ESPIPE, "it is a pipe, which would be waited for")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a name that no file can have
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigError(short(f"{path} cannot be read: {why}; nothing was started. {remedy}")) from error
    kept, lines = _without_duplicates(path, text, problems)
    try:
        data = tomllib.loads("\n".join(kept) + "\n")
    except (ValueError, RecursionError) as error:  # also: too many digits, or brackets in brackets
        problems.append(f"{path} is not TOML: {error}. Nothing of it was read; correct that place.")
        return Document({}, lines)
    if LAST_LINE in str(data.get(RESOLVED)) and LAST_LINE not in kept:
        problems.append(
            f"{path} was cut off, or edited at its end: its last line, {LAST_LINE!r}, is missing. Nothing of it was "
            "read, for keys may be lost; put the rest back, and that line."
        )
        return Document({}, lines)
    return Document(data, lines)


def _without_duplicates(path: Path, text: str, problems: list[str]) -> tuple[list[str], dict[tuple[str, str], int]]:
    kept: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        if match := _SECTION.match(line):
            section = match[2] if match[1] == "[" else f"{match[2]} of line {number}"
        elif match := _KEY.match(line):
            name = (section, match[1])
            if name in seen and match[1] in _APPENDED_BY_KAIWU:
                kept[seen[name] - 1] = ""
            elif name in seen:
                problems.append(
                    f"{path}, line {number}: {match[1]} is set twice (first in line {seen[name]}); which one holds "
                    "is a guess. Delete one."
                )
                line = ""
            seen[name] = number if name not in seen or match[1] in _APPENDED_BY_KAIWU else seen[name]
        kept.append(line)
    return kept, seen


def parse(text: str, wanted: Any = None) -> Any:
    """A value given as text: read as TOML, else the text itself. Python's True and False are accepted.

    wanted: with `str`, text that would be another TOML value stays text.
    """
    if wanted is not str and text in ("True", "False"):
        return text == "True"
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
    return text if wanted is str and not isinstance(value, str) else value


def put(table: dict[str, Any], path: Sequence[str], value: Any) -> str:
    """Sets what a dotted key means in TOML: the last name of `path`, in the tables named before it; their other keys
    stay. Tables that are not there are made.

    Returns why nothing was set: something on the way is no table. Else "".
    """
    for depth, name in enumerate(path[:-1], 1):
        inner = table.get(name, {})
        if not isinstance(inner, dict):
            return (
                f"{'.'.join(path[:depth])} = {as_toml(inner)} is no table, so nothing in it can be set. "
                f"Set {'.'.join(path[:depth])} itself."
            )
        table[name] = dict(inner)
        table = table[name]
    table[path[-1]] = value
    return ""


def as_toml(value: Any) -> str:
    """A value as TOML text: the inverse of `parse`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_toml(item) for item in value)}]"
    return str(value)


def cannot_be_kept(value: Any) -> str:
    """Why `value` cannot be kept in a run's own conf.toml, which all processes read, and what to do; "": it can."""
    if isinstance(value, dict):
        return next((why for item in value.values() if (why := cannot_be_kept(item))), "")
    if isinstance(value, list | tuple):
        if why := mixed_tables(value):
            return why
        return next((why for item in value if (why := cannot_be_kept(item))), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no finite number, and what is computed with it would not be either. Write a finite one."
    if type(value) in (bool, int, float, str):
        return ""
    return f"{value} is {type(value).__name__}, which the processes would not get. Write a number, or text in quotes."


def mixed_tables(value: Any) -> str:
    """Why lists in `value` cannot be written as TOML, and what to do; "": they can."""
    if isinstance(value, dict):
        return next((why for item in value.values() if (why := mixed_tables(item))), "")
    if not isinstance(value, list | tuple) or not _holds_table(value):
        return ""
    if all(isinstance(item, dict) for item in value):
        if any(map(_holds_empty, value)):
            return "in a list, a table holds an empty table, which would be lost. Leave the empty one out."
        return next((why for item in value if (why := mixed_tables(item))), "")
    return "in a list, a table stands beside or below something else; it would be lost. Write tables alone."


def _holds_empty(table: dict[str, Any]) -> bool:
    return any(isinstance(item, dict) and (not item or _holds_empty(item)) for item in table.values())


def _holds_table(items: list[Any] | tuple[Any, ...]) -> bool:
    return any(isinstance(item, dict) or (isinstance(item, list | tuple) and _holds_table(item)) for item in items)
