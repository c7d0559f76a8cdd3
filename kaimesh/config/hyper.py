"""An algorithm's hyper-parameters: the defaults that its config class has, overridden by the table `[<algo>]`.

The class is a frozen dataclass, and each agent gets an instance of its own; or it is a plain class, whose attributes
are set before the agent's package is imported, and all agents of a process share them.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kaimesh.config.fitting import fitted, spelled, wanted_of
from kaimesh.config.nearest import nearest
from kaimesh.config.own_class import contradictions, defaults_of, hints_of, is_frozen, loaded, made, set_values
from kaimesh.config.packages import is_ours
from kaimesh.config.reading import as_toml, cannot_be_kept
from kaimesh.contract.errors import ConfigError


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
        return {
            key: value
            for key, value in self.values.items()
            if not cannot_be_kept(value) and (key != "seed" or key in given)
        }

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
        """Writes the values into the plain class. Raises ConfigError: it does not allow that."""
        set_values(self.algo, self.path, self.cls, self.values)


_LOCAL = "it is read with wrapper_type = local only"
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
    """The class at `path` with the values of `table`; None: that cannot be had, and `problems` says why.

    A frozen dataclass gives an instance; a plain class is set, what `table` does not name to its default.
    `seed`, where the class has it, is random_seed unless the table says otherwise.
    """
    try:
        cls = loaded(algo, path)
        defaults = defaults_of(cls)
        values = {**defaults, **_checked(algo, path, table, cls, problems)}
        if "seed" in defaults and "seed" not in table:
            values["seed"] = seed
        parameters = Parameters(algo, path, cls, values, made(algo, path, cls, values) if is_frozen(cls) else None)
        if conflict := _conflict(parameters):
            problems.append(conflict)
            return parameters
        if parameters.instance is None:
            parameters.set_class()
        if not problems:
            asked = cls if parameters.instance is None else parameters.instance
            problems += [f"[{algo}] {text}" for text in contradictions(algo, path, asked)]
    except ConfigError as error:
        problems.append(str(error))
        return None
    return parameters


def _checked(algo: str, path: str, table: Mapping[str, Any], cls: type, problems: list[str]) -> dict[str, Any]:
    """The values of `table` that the class can have; a problem is added for each of the others."""
    values, defaults, hints = {}, defaults_of(cls), hints_of(cls)
    for key, value in table.items():
        if key not in defaults:
            problems.append(
                f"[{algo}]: unknown key {key!r}{nearest(key, defaults)}. It would have no effect. "
                f"{path} has: {', '.join(defaults)}."
            )
            continue
        wanted = wanted_of(defaults[key], hints.get(key))
        try:
            values[key] = fitted(value, wanted)
        except ValueError as error:
            what = f": {error}" if isinstance(value, list | dict) else f" is {type(value).__name__}"
            example = "" if defaults[key] is None else f", such as {as_toml(defaults[key])}"
            problems.append(
                f"[{algo}]: {key} = {value!r}{what}; it must be {spelled(wanted)}{example}, or agents would fail on it."
            )
            continue
        if why := cannot_be_kept(values[key]):
            problems.append(f"[{algo}]: {key} = {value!r}: {why}")
    return values


def idle(parameters: Parameters, typed: Iterable[str], wrapper_type: str) -> list[str]:
    """A sentence for each of the user's own keys, `typed`, that does nothing beside the others, or in such a run.

    The algorithms that come with kaimesh say so by a method `unused`, which returns the reasons by key, and by
    `local_keys`: those that are read with wrapper_type = local alone.
    """
    if not is_ours(parameters.path):
        return []
    unused, of_local = getattr(parameters.instance, "unused", dict), getattr(parameters.cls, "local_keys", ())
    why: dict[str, str] = {} if wrapper_type == "local" else dict.fromkeys(of_local, _LOCAL)
    why |= unused()
    defaults = defaults_of(parameters.cls)
    changed = [key for key in typed if key in why and parameters.values[key] != defaults[key]]
    return [f"{parameters.algo}.{key} has no effect: {why[key]}." for key in changed]


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
