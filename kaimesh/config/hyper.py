"""An algorithm's hyper-parameters: the defaults that its config class has, overridden by the table `[<algo>]`.

The class is a frozen dataclass, and each agent gets an instance of its own; or it is a plain class, whose attributes
are set before the agent's package is imported, and all agents of a process share them.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import shlex
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kaimesh.config.nearest import nearest
from kaimesh.config.packages import leading_nowhere
from kaimesh.config.reading import as_toml
from kaimesh.contract.errors import ConfigError

_defaults: dict[type, dict[str, Any]] = {}  # as the classes were written, before any configuration was applied


def config_class(path: str) -> type:
    """The class at "package.module.Class".

    Raises ImportError, AttributeError, and whatever the module itself raises.
    """
    module, _, name = path.rpartition(".")
    cls: type = getattr(importlib.import_module(module), name)
    return cls


def defaults_of(cls: type) -> dict[str, Any]:
    """Every hyper-parameter with its default, as the class was written. Raises ValueError: a field has none."""
    if cls not in _defaults:
        _defaults[cls] = _of_fields(cls) if _is_frozen(cls) else _of_attributes(cls)
    return _defaults[cls]


class Parameters(NamedTuple):
    """The hyper-parameters of one configuration.

    path, cls: the class at "package.module.Class". values: of every hyper-parameter. instance: where `cls` is a frozen
    dataclass, the instance with these values, which each agent gets; None: `cls` is a plain class, which agents read
    themselves.
    """

    algo: str
    path: str
    cls: type
    values: Mapping[str, Any]
    instance: Any = None

    def shown(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All values that TOML can hold; `seed`, which follows random_seed, only where it is `given`."""
        return {key: value for key, value in self.values.items() if _plain(value) and (key != "seed" or key in given)}

    def for_agent(self) -> dict[str, Any]:
        """The keyword arguments by which an agent's class gets them.

        A plain class gives none: it is set, and keeps these values from now on.
        Raises ConfigError: an agent of this process was made with other values of the same plain class.
        """
        if self.instance is not None:
            return {"config": self.instance}
        if conflict := _conflict(self):
            raise ConfigError(conflict)
        _claims.setdefault(self.cls, self)
        self.set_class()
        return {}

    def set_class(self) -> None:
        """Writes the values into the plain class."""
        for key, value in self.values.items():
            setattr(self.cls, key, value)


_claims: dict[type, Parameters] = {}  # by plain class, the values that an agent of this process was made with


def forget_agents() -> None:
    """Allows plain classes to be set to other values; call it when the agents that were made with them are gone."""
    _claims.clear()


def _conflict(wanted: Parameters) -> str:
    """The message if an agent of this process already uses the plain class with other values; else ""."""
    held = _claims.get(wanted.cls)
    if held is None or held.values == wanted.values:
        return ""
    differing = [key for key, value in wanted.values.items() if value != held.values[key]]
    return (
        f"[{wanted.algo}] sets {_settings(wanted, differing)} in the class {wanted.path}, but an agent of "
        f"[{held.algo}] in this process was made with {_settings(held, differing)} in the same class: the "
        "hyper-parameters of that agent would change while it runs. Use the same values, or a process of its own for "
        "each, or make the class a frozen dataclass (@dataclass(frozen=True, kw_only=True)), of which every agent gets "
        "its own instance as the argument `config`."
    )


def _settings(parameters: Parameters, keys: list[str]) -> str:
    return ", ".join(f"{key} = {parameters.values[key]!r}" for key in keys)


def resolve(algo: str, path: str, table: Mapping[str, Any], seed: int, problems: list[str]) -> Parameters | None:
    """The class at `path` with the values of `table`; None: it cannot be loaded, and `problems` says why.

    A frozen dataclass gives an instance; a plain class is set, what `table` does not name to its default.
    `seed`, where the class has it, is random_seed unless the table says otherwise.
    """
    try:
        cls = config_class(path)
        defaults = defaults_of(cls)
    except (Exception, SystemExit) as error:  # the module is the user's: whatever it raises is a line of the report
        nowhere = leading_nowhere({"config": path}) if isinstance(error, ImportError | AttributeError) else []
        why = f" {nowhere[0]}. Nothing could be loaded." if nowhere else f"\n{traceback.format_exc()}"
        problems.append(f"algo {algo}: {path} cannot be loaded:{why}")
        return None
    values = {**defaults, **_checked(algo, path, table, defaults, problems)}
    if "seed" in defaults and "seed" not in table:
        values["seed"] = seed
    parameters = Parameters(algo, path, cls, values, cls(**values) if _is_frozen(cls) else None)
    if conflict := _conflict(parameters):
        problems.append(conflict)
        return parameters
    if parameters.instance is None:
        parameters.set_class()
    if not problems and hasattr(cls, "check"):
        problems += [
            f"[{algo}] {text}" for text in (cls if parameters.instance is None else parameters.instance).check()
        ]
    return parameters


def _checked(
    algo: str, path: str, table: Mapping[str, Any], defaults: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """The values of `table` whose names and types fit `defaults`; a problem is added for each of the others."""
    values = {}
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
    return values


def overridden(parameters: Parameters, preset: Mapping[str, str], root: Path) -> list[str]:
    """A line for each number in the class's file that a preset overrides.

    preset: where the preset is written, by key.
    """
    if not preset:
        return []
    algo, values = parameters.algo, parameters.values
    written, file = defaults_of(parameters.cls), Path(inspect.getfile(parameters.cls))
    shown = file.relative_to(root) if file.is_relative_to(root) else file
    return [
        f"{algo}.{key}: {shown} has {as_toml(written[key])}, this run {as_toml(values[key])}, by {where}; "
        f"to have the file's: --set {shlex.quote(f'{algo}.{key}={as_toml(written[key])}')}"
        for key, where in preset.items()
        if key in values and values[key] != written[key]
    ]


def _is_frozen(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


def _of_fields(cls: type) -> dict[str, Any]:
    defaults = {}
    for field in dataclasses.fields(cls):
        made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if made is dataclasses.MISSING:
            raise ValueError(f"{cls.__name__}.{field.name} has no default; write `{field.name}: <type> = <value>`")
        defaults[field.name] = made
    return defaults


def _of_attributes(cls: type) -> dict[str, Any]:
    names = [name for name in dir(cls) if not name.startswith("_") and not callable(getattr(cls, name))]
    return {name: getattr(cls, name) for name in names}


def _fit(value: Any, default: Any) -> Any:
    """`value` with an integer turned into a float, and a list into a tuple, if `default` is one; else unchanged."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    return value


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value) and len({type(item) for item in value}) <= 1
    return type(value) in (bool, int, float, str)
