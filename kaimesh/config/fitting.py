"""Whether a value that was read as TOML has the type that a config class wants, by annotation or by default."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, ClassVar, Final, Literal, Union, get_args, get_origin

_WRAPPERS = (Annotated, ClassVar, Final)
_SEQUENCES = (list, tuple, Sequence)


def wanted_of(default: Any, hint: Any) -> Any:
    """The type that values must have: the annotation `hint`, if there is one and `default` fits it or is None.

    Else that of `default`, with that of its items if they all have the same.
    """
    if hint is not None and (default is None or _fits(default, hint)):
        return hint
    if type(default) in (list, tuple):
        kinds = {type(item) for item in default}
        item: Any = kinds.pop() if len(kinds) == 1 else Any
        return list[item] if isinstance(default, list) else tuple[item, ...]
    return Any if default is None else type(default)


def fitted(value: Any, wanted: Any) -> Any:
    """`value` as `wanted`, a type as in annotations: an integer may become a float, and a list a tuple.

    An annotation of a kind that is not known here, such as a Protocol, takes any value. Raises ValueError: another
    type.
    """
    kind, inner = get_origin(wanted) or wanted, get_args(wanted)
    if kind in (Union, UnionType):
        return _first_fitting(value, inner)
    if kind in _WRAPPERS:
        return fitted(value, inner[0]) if inner else value
    if kind is Literal:
        return _one_of(value, inner)
    if kind is float and type(value) is int:
        return _as_float(value)
    if kind in _SEQUENCES:
        return _fitted_items(value, kind, inner)
    if kind in (dict, Mapping) and isinstance(value, dict):
        return {key: fitted(item, inner[1] if inner else Any) for key, item in value.items()}
    if kind is Any or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return value
    if not isinstance(value, kind) or (type(value) is bool and kind not in (bool, object)):
        raise ValueError(f"{value!r} is not {spelled(wanted)}")
    return value


def spelled(wanted: Any) -> str:
    """A type as it is written in Python."""
    return wanted.__name__ if isinstance(wanted, type) and not get_args(wanted) else str(wanted).replace("typing.", "")


def _fits(value: Any, wanted: Any) -> bool:
    try:
        return bool(fitted(value, wanted) == value)
    except ValueError:
        return False


def _first_fitting(value: Any, options: Sequence[Any]) -> Any:
    """`value` as the first of the types that takes it; its own type comes first."""
    for option in sorted(options, key=lambda option: option is not type(value)):
        try:
            return fitted(value, option)
        except ValueError:
            continue
    raise ValueError(f"{value!r} is not {' or '.join(map(spelled, options))}")


def _one_of(value: Any, choices: Sequence[Any]) -> Any:
    if not any(type(one) is type(value) and one == value for one in choices):
        raise ValueError(f"{value!r} is not {' or '.join(map(repr, choices))}")
    return value


def _fitted_items(value: Any, kind: Any, inner: tuple[Any, ...]) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r} is no list")
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            raise ValueError(f"it has {len(value)} items instead of {len(inner)}")
        return tuple(fitted(item, one) for item, one in zip(value, inner, strict=True))
    items = [fitted(item, inner[0] if inner else Any) for item in value]
    return tuple(items) if kind is tuple else items


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
