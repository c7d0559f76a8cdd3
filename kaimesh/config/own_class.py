"""A user's config class: loads, reads, makes and asks it. Whatever its code raises becomes a ConfigError in words."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from kaimesh.config.packages import leading_nowhere
from kaimesh.contract.errors import ConfigError, words

_FROZEN = "@dataclass(frozen=True, kw_only=True)"
_NOT_THERE = (ImportError, AttributeError, ValueError)  # ValueError: of a name without a module
_defaults: dict[type, dict[str, Any]] = {}  # as the classes were written, before any configuration was applied


def config_class(path: str) -> type:
    """The class at "package.module.Class".

    Raises ImportError, AttributeError, and whatever the module itself raises.
    """
    module, _, name = path.rpartition(".")
    cls: type = getattr(importlib.import_module(module), name)
    return cls


def loaded(algo: str, path: str) -> type:
    """The class at `path`, which `[algo]` names. Raises ConfigError: it cannot be loaded or read."""
    try:
        cls = config_class(path)
        wrong = _no_config_class(cls)
        if not wrong:
            defaults_of(cls)
    except (Exception, SystemExit) as error:  # the module is the user's: whatever it raises is a line of the report
        nowhere = leading_nowhere({"config": path}) if isinstance(error, _NOT_THERE) else []
        why = f" {nowhere[0]}. Nothing could be loaded." if nowhere else f"\n{traceback.format_exc()}"
        raise ConfigError(f"algo {algo}: {path} cannot be loaded:{why}") from error
    if wrong:
        raise ConfigError(f"[{algo}]: {path} {wrong}")
    return cls


def _no_config_class(cls: Any) -> str:
    """Why `cls` cannot hold hyper-parameters, with the consequence and the remedy; "": it can."""
    if not isinstance(cls, type):
        return (
            f"is {type(cls).__name__}, not a class; there would be no hyper-parameters. Name a class: a frozen "
            f"dataclass ({_FROZEN}), or a plain one with a value for each name."
        )
    if not dataclasses.is_dataclass(cls):
        return ""
    if not is_frozen(cls):
        return (
            "is a dataclass that is not frozen; values that the configuration sets would not reach its instances. "
            f"Write {_FROZEN} above the class, or leave @dataclass out for a plain class."
        )
    own = {*vars(cls).get("__annotations__", {}), *(vars(cls).keys() & cls.__dataclass_fields__)}
    if own and "__dataclass_params__" not in vars(cls):
        return (
            f"derives from a dataclass without being one, so its own {', '.join(sorted(own))} would have no effect. "
            f"Write {_FROZEN} above the class."
        )
    if bare := [field.name for field in _fields(cls) if not _has_default(field)]:
        return (
            f"has no default for {', '.join(bare)}; without a value in [<algo>] no agent could be made. Write "
            f"`{bare[0]}: <type> = <value>`."
        )
    return ""


def defaults_of(cls: type) -> dict[str, Any]:
    """Every hyper-parameter with its default, as the class was written."""
    if cls not in _defaults:
        _defaults[cls] = _of_fields(cls) if is_frozen(cls) else _of_attributes(cls)
    return _defaults[cls]


def is_frozen(cls: type) -> bool:
    """Whether it is a frozen dataclass, of which each agent gets an instance."""
    return dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


def hints_of(cls: type) -> dict[str, Any]:
    """The annotations of the class, by name. Empty if one cannot be evaluated; then the defaults' types count."""
    try:
        return get_type_hints(cls)
    except Exception:  # such as a name that is imported for the type checker alone
        return {}


def made(algo: str, path: str, cls: type, values: Mapping[str, Any]) -> Any:
    """An instance with `values`. Raises ConfigError: the class raised."""
    try:
        return cls(**values)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"[{algo}]: {path} cannot be made with these values: {_told(error)}; no agent would get its "
            "hyper-parameters. Correct the values, or the class."
        ) from error


def set_values(algo: str, path: str, cls: type, values: Mapping[str, Any]) -> None:
    """Writes `values` into a plain class. Raises ConfigError: the class does not allow that."""
    for key, value in values.items():
        try:
            setattr(cls, key, value)
        except Exception as error:
            raise ConfigError(
                f"[{algo}]: {path}.{key} cannot be set: {_told(error)}; agents would run with another value. Make it a "
                f"plain class with a value for each name, or a frozen dataclass ({_FROZEN})."
            ) from error


def contradictions(algo: str, path: str, asked: Any) -> list[str]:
    """The sentences that `check` of `asked`, an instance or a plain class, returns; none if it has no such method.

    Raises ConfigError: it raised, or returned something else.
    """
    check = getattr(asked, "check", None)
    if check is None:
        return []
    where, unknown = f"[{algo}]: {path}.check", "whether the values contradict each other is unknown"
    if not callable(check):
        raise ConfigError(
            f"{where} = {check!r} is {type(check).__name__}, but would be called; {unknown}. Make it a method that "
            "returns a list of sentences, or rename it."
        )
    if isinstance(asked, type) and _wants_arguments(check):
        raise ConfigError(
            f"{where} is a method of instances, but of a plain class none is made; {unknown}. Write @classmethod above "
            f"it, or {_FROZEN} above the class."
        )
    try:
        said = check()
        sentences = list(said) if isinstance(said, Iterable) and not isinstance(said, str | bytes | Mapping) else None
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{where}: {_told(error)}; {unknown}. Correct `check`.") from error
    if sentences is None or not all(isinstance(sentence, str) for sentence in sentences):
        raise ConfigError(
            f"{where} returned {said!r}, which is no list of sentences; {unknown}. Return a list of str, and [] if all "
            "is well."
        )
    return sentences


def _wants_arguments(check: Any) -> bool:
    parameters = inspect.signature(check).parameters.values() if inspect.isfunction(check) else ()
    return any(parameter.default is parameter.empty for parameter in parameters)


def _told(error: BaseException) -> str:
    """What the user's code raised, and in which line."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {words(error)} was raised in {at.filename}, line {at.lineno}"


def _fields(cls: type) -> list[dataclasses.Field[Any]]:
    """Its hyper-parameters; a field with init=False is none, because nobody can set it."""
    return [field for field in dataclasses.fields(cls) if field.init]


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _of_fields(cls: type) -> dict[str, Any]:
    return {
        field.name: field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        for field in _fields(cls)
    }


def _of_attributes(cls: type) -> dict[str, Any]:
    names = [name for name in dir(cls) if not name.startswith("_") and not callable(getattr(cls, name))]
    return {name: getattr(cls, name) for name in names}
