"""Refuses one environment object in two slots: each slot's steps would be the other's, and nobody would be told.

An environment consists of its wrappers, what they wrap, and every environment that one of these has as an attribute.
All that this process uses are known here; one that was closed may be given out again.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from kaimesh.contract.errors import ConfigError

_used: dict[int, weakref.ref[Any]] = {}  # by id; of one that is gone, the reference is dead


def claim(env: object, app: str) -> None:
    """Takes `env`, which was just made, for one slot. Raises ConfigError: a part of it is in another slot already."""
    found = list(parts(env))
    for part in found:
        known = _used.get(id(part))
        if known is not None and known() is part:
            what = type(part).__name__
            inside = "" if part is env else f"a {type(env).__name__} around "
            raise ConfigError(
                f"app = {app!r} gave {inside}one and the same {what} object for two slots; a reset or step in one "
                "would be one in the other, and training would learn from episodes that never happened. Make a new "
                f"{what} in every call."
            )
    for part in found:
        _used[id(part)] = weakref.ref(part)


def release(env: object) -> None:
    """Forgets `env`, which was closed."""
    for part in parts(env):
        _used.pop(id(part), None)


def parts(env: object) -> Iterator[object]:
    """The environment objects that `env` consists of, itself first."""
    seen: set[int] = set()
    waiting = [env]
    while waiting:
        part = waiting.pop(0)
        if id(part) not in seen and _is_environment(part):
            seen.add(id(part))
            yield part
            waiting += getattr(part, "__dict__", {}).values()  # what a wrapper wraps is among these


def _is_environment(part: object) -> bool:
    if isinstance(part, gymnasium.Env | VectorEnv):
        return True
    kind = type(part)  # one of gym, or of something like it
    has_space = hasattr(kind, "action_space") or "action_space" in getattr(part, "__dict__", {})
    return has_space and is_similar(kind) and hasattr(kind, "__weakref__")


def is_similar(kind: type) -> bool:
    """Whether it has the methods of an environment, as gym's classes have."""
    return all(callable(getattr(kind, name, None)) for name in ("reset", "step"))
