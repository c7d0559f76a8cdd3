"""An algorithm's hyper-parameters: a plain class whose attributes are the defaults, overridden by the file's `[<algo>]`."""

from __future__ import annotations

import importlib
import inspect
import shlex
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaimesh.config.nearest import nearest
from kaimesh.config.packages import leading_nowhere
from kaimesh.config.reading import as_toml

_defaults: dict[type, dict[str, Any]] = {}  # as the classes were written, before any configuration was applied


def config_class(path: str) -> type:
    """The class at "package.module.Class". Raises ImportError or AttributeError, and whatever the module itself raises."""
    module, _, name = path.rpartition(".")
    cls: type = getattr(importlib.import_module(module), name)
    return cls


def defaults_of(cls: type) -> dict[str, Any]:
    """Every hyper-parameter with its default, as the class was written."""
    if cls not in _defaults:
        names = [name for name in dir(cls) if not name.startswith("_") and not callable(getattr(cls, name))]
        _defaults[cls] = {name: getattr(cls, name) for name in names}
    return _defaults[cls]


def apply(algo: str, path: str, table: Mapping[str, Any], seed: int, problems: list[str]) -> dict[str, Any]:
    """Sets `table` on the class at `path` and everything else back to its default; returns all values that TOML can hold.

    `seed`, where the class has it, is random_seed unless the table says otherwise; it is returned only in that case.
    """
    try:
        cls = config_class(path)
    except (
        Exception,
        SystemExit,
    ) as error:  # the module is the user's: whatever it raises is one more line of the report
        nowhere = leading_nowhere({"config": path}) if isinstance(error, ImportError | AttributeError) else []
        why = f" {nowhere[0]}. Nothing could be loaded." if nowhere else f"\n{traceback.format_exc()}"
        problems.append(f"algo {algo}: {path} cannot be loaded:{why}")
        return dict(table)
    defaults = defaults_of(cls)
    values = dict(defaults)
    for key, value in table.items():
        if key not in defaults:
            problems.append(
                f"[{algo}]: unknown key {key!r}{nearest(key, defaults)}. It would have no effect. "
                f"{path} has: {', '.join(defaults)}."
            )
            continue
        fitting = _fit(value, defaults[key])
        if defaults[key] is not None and type(fitting) is not type(defaults[key]):
            problems.append(
                f"[{algo}]: {key} = {value!r} is {type(value).__name__}; it must be {type(defaults[key]).__name__}, "
                f"such as {defaults[key]!r}."
            )
            continue
        values[key] = fitting
    if "seed" in defaults and "seed" not in table:
        values["seed"] = seed
    for key, value in values.items():
        setattr(cls, key, value)
    if not problems and hasattr(cls, "check"):
        problems += [text if text.startswith("[") else f"[{algo}] {text}" for text in cls.check()]
    return {key: value for key, value in values.items() if _plain(value) and (key != "seed" or key in table)}


def overridden(algo: str, path: str, values: Mapping[str, Any], preset: Mapping[str, str], root: Path) -> list[str]:
    """What presets made of the numbers in the class's file, one line each. preset: where it stands, by key."""
    if not preset:
        return []
    cls = config_class(path)
    written, file = defaults_of(cls), Path(inspect.getfile(cls))
    shown = file.relative_to(root) if file.is_relative_to(root) else file
    return [
        f"{algo}.{key}: {shown} has {as_toml(written[key])}, this run {as_toml(values[key])}, by {where}; "
        f"to have the file's: --set {shlex.quote(f'{algo}.{key}={as_toml(written[key])}')}"
        for key, where in preset.items()
        if key in values and values[key] != written[key]
    ]


def _fit(value: Any, default: Any) -> Any:
    """An integer for a float and a list for a tuple are what the user meant; nothing else is converted."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    return value


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value) and len({type(item) for item in value}) <= 1
    return type(value) in (bool, int, float, str)
