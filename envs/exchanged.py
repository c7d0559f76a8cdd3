"""What a file from somebody else may ask of an environment: built-in names and plain values.

A recording and a run's conf.toml name an app and its arguments, and people exchange both. A module's name in them would
run that module's code, and an argument may name a file or, in an environment that looks names up, code. Nothing here
imports or calls what a file names.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from kaimesh.envs import gym
from kaimesh.envs.registry import ENVIRONMENTS, RESERVED, resolve

# Where the environments of gymnasium's registry are written that an installation here brings along.
_BUILT_IN = ("gymnasium.envs.", "ale_py.", "minigrid.", "kaimesh.envs.")
# Arguments that gymnasium.make and make_vec take for themselves.
_GYMNASIUMS = {
    "id",
    "spec",
    "vectorization_mode",
    "vector_kwargs",
    "wrappers",
    "additional_wrappers",
    "apply_api_compatibility",
}
_FILES_AND_CODE = re.compile(
    r"file|path|folder|url|module|class|entry|wrapper|factory|func|callable|plugin|(^|_)(dir|env_id|env_name)($|_)"
)
_PLAIN = re.compile(r"[\w][\w .+-]{0,99}|")  # no slash and no colon anywhere, no dot or dash at the beginning
_DEEPEST = 8  # of lists and tables in env_conf


def unfamiliar(app: str, env_conf: Mapping[str, Any]) -> list[str]:
    """In words, what of an app and its arguments is not built in; [] if all of it is.

    Raises ConfigError: no such environment.
    """
    return [*_app(app), *_arguments(env_conf)]


def _app(app: str) -> Iterator[str]:
    if app in ENVIRONMENTS.values():
        return
    kind, name = resolve(app)
    if kind == "own" and app not in ENVIRONMENTS:
        module, _, attribute = app.rpartition(":")
        yield f"app = {_short(app)} imports the module {_short(module)} and calls its {_short(attribute)}"
    elif kind == "gym" and ":" in name:
        yield f"app = {_short(app)} imports the module {_short(name.rpartition(':')[0])}"
    elif kind == "gym":
        spec = gym.find(name)
        for point in (spec.entry_point, spec.vector_entry_point):
            where = point if isinstance(point, str) else f"{getattr(point, '__module__', '')}."
            if point is not None and not where.startswith(_BUILT_IN):
                yield f"app = {app!r} runs {point!r}, which another package registered"


def _arguments(env_conf: Mapping[str, Any]) -> Iterator[str]:
    for key, value in env_conf.items():
        what = f"env_conf.{_short(key)} = {_short(value)}"
        if key in RESERVED | _GYMNASIUMS:
            yield f"{what} is not the environment's own argument"
        elif _FILES_AND_CODE.search(str(key).lower()) and value and not isinstance(value, bool | int | float):
            yield f"{what} names a file or code on this machine"
        elif not _plain(value, _DEEPEST):
            yield f"{what} is more than numbers and plain words"


def _short(value: object) -> str:
    return reprlib.repr(value).strip("'") if isinstance(value, str) and value.isidentifier() else reprlib.repr(value)


def _plain(value: object, depth: int) -> bool:
    if isinstance(value, str):
        return bool(_PLAIN.fullmatch(value))
    if isinstance(value, list | tuple | Mapping):
        items = [*value, *value.values()] if isinstance(value, Mapping) else value
        return depth > 0 and all(_plain(item, depth - 1) for item in items)
    return value is None or isinstance(value, bool | int | float)
