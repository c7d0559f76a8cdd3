"""`gym:<id>` and environments of your own, vectorised."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import TimeLimit

from kaimesh.config import caller
from kaimesh.config.packages import below_kaimesh
from kaimesh.contract.errors import ConfigError
from kaimesh.envs import alone, returned
from kaimesh.envs.one_by_one import OneByOne, Tell, tell_nobody
from kaimesh.envs.renewal import Renew
from kaimesh.envs.single import Single
from kaimesh.envs.translation import check_spaces

FACTORY = "env_factory"  # the attribute that kaimesh.agent.env_factory sets


def make_registered(
    env_id: str, env_conf: dict[str, Any], max_episode_steps: int, render_mode: str | None
) -> gymnasium.Env:
    """One environment of gymnasium's registry. Raises ConfigError: unknown, not installed, or other arguments."""
    spec = find(env_id)
    arguments = _arguments(env_conf, max_episode_steps, render_mode)
    try:
        env: gymnasium.Env = gymnasium.make(spec, disable_env_checker=True, **arguments)
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(
            f"gym:{env_id} needs a package that is not installed, so no environment was made: {error}. Install it."
        ) from error
    except TypeError as error:
        _explain_arguments(f"gym:{env_id}", arguments, error)
        raise
    check_spaces(f"gym:{env_id}", env.observation_space, env.action_space)
    return env


def vector_registered(
    env_id: str,
    count: int,
    env_conf: dict[str, Any],
    max_episode_steps: int,
    render_mode: str | None,
    tell: Tell = tell_nobody,
    renew: Renew | None = None,
) -> VectorEnv:
    """`count` slots: the id's own vector environment where that is the same environment, else one after the other."""
    spec = find(env_id)
    make = partial(make_registered, env_id, env_conf, max_episode_steps, render_mode)
    if spec.vector_entry_point is not None:
        tell(1)
        one = make()
        vectors = _own_vectors(spec, count, _arguments(env_conf, max_episode_steps, render_mode))
        if vectors is not None and _same(vectors, one):
            one.close()
            return vectors
        return OneByOne(make, count, f"gym:{env_id}", tell, one, renew)
    return OneByOne(make, count, f"gym:{env_id}", tell, renew=renew)


def find(env_id: str) -> EnvSpec:
    """The registry's entry of `<id>` or `<module>:<id>`. Raises ConfigError: there is none, with the nearest names."""
    module, _, name = env_id.rpartition(":")
    if module:
        importlib.import_module(module)
    if name.startswith("ALE/"):
        import ale_py

        gymnasium.register_envs(ale_py)
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error as error:
        near = difflib.get_close_matches(name, gymnasium.registry, 3, 0.6)
        hint = f"; did you mean {' or '.join(f'gym:{n}' for n in near)}?" if near else "."
        raise ConfigError(
            f"app = 'gym:{env_id}': gymnasium knows no {name!r}, so no environment was made{hint} An id that your "
            "own module registers is written "
            f"'gym:your_module:{name}'."
        ) from error


def load(app: str) -> Callable[..., Any]:
    """What a dotted `app` names: a class of environments, or a function marked as a factory of them.

    Raises ConfigError: there is none, or it is something else, which is then never called; the module's own errors pass
    through.
    """
    target = named(app)
    if inspect.isclass(target) and issubclass(target, gymnasium.Env | VectorEnv):
        return target
    if getattr(target, FACTORY, None) is True:
        return target
    kind = "class" if inspect.isclass(target) else "function" if inspect.isroutine(target) else type(target).__name__
    hint = ""
    if not inspect.isclass(target):
        hint = " If it returns one, mark it: write @env_factory above it (from kaimesh.agent import env_factory)."
    elif alone.is_similar(target):
        hint = f" An environment of gym is {returned.WRAPPED}."
    raise ConfigError(
        f"app = {app!r} names a {kind} that is no environment, so it was not called. Name a class that inherits from "
        f"gymnasium.Env or gymnasium.vector.VectorEnv, or a function that is marked as returning one.{hint}"
    )


def named(app: str) -> Callable[..., Any]:
    """The class or function that `<module>:<name>` names; imports the module. Raises ConfigError: there is none."""
    module_name, _, name = app.rpartition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigError(
            f"app = {app!r}: {module_name!r} is no module's name, so nothing was imported. Write "
            "<package>.<module>:<class>."
        )
    if whole := below_kaimesh(module_name):
        raise ConfigError(
            f"app = {app!r}: modules of kaimesh are imported by their full names, so nothing was. Write app = "
            f"'{whole}:{name}'."
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"app = {app!r}: there is no module {error.name!r}, so no environment was made. Correct the name, or "
                f"put the module into the folder in which you type the command ({caller.folder()}), or on PYTHONPATH."
            ) from error
        raise
    target: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(target):
        here = [other for other in dir(module) if callable(getattr(module, other)) and not other.startswith("_")]
        near = difflib.get_close_matches(name, here, 1, 0.6)
        hint = f"; did you mean {module_name}:{near[0]}?" if near else "."
        if target is not None:
            hint = f", but a {type(target).__name__} of that name{hint}"
        raise ConfigError(
            f"app = {app!r}: module {module_name!r} has no class or function {name!r}{hint} No environment was made. "
            "Correct the name."
        )
    return target


def make_own(app: str, env_conf: dict[str, Any], max_episode_steps: int, render_mode: str | None) -> gymnasium.Env:
    """One environment of a dotted `app`."""
    target = load(app)
    if is_vector(target):
        return Single(vector_own(app, 1, env_conf, max_episode_steps, render_mode))
    arguments = _arguments(env_conf, 0, render_mode)
    try:
        env = target(**arguments)
    except TypeError as error:
        _explain_arguments(app, arguments, error)
        raise
    if not isinstance(env, gymnasium.Env):
        raise ConfigError(
            f"app = {app!r} gave a {type(env).__name__}; it must be, or return, a gymnasium.Env, or nothing can be "
            "stepped. Correct the name."
        )
    check_spaces(app, env.observation_space, env.action_space)
    return TimeLimit(env, max_episode_steps) if max_episode_steps else env


def vector_own(
    app: str,
    count: int,
    env_conf: dict[str, Any],
    max_episode_steps: int,
    render_mode: str | None,
    tell: Tell = tell_nobody,
    renew: Renew | None = None,
) -> VectorEnv:
    """`count` slots of a dotted `app`."""
    target = load(app)
    if not is_vector(target):
        make = partial(make_own, app, env_conf, max_episode_steps, render_mode)
        return OneByOne(make, count, app, tell, renew=renew)
    arguments = _arguments(env_conf, max_episode_steps, render_mode)
    tell(1)
    try:
        vector: VectorEnv = target(num_envs=count, **arguments)
    except TypeError as error:
        _explain_arguments(app, arguments, error)
        raise
    return vector


def is_vector(target: object) -> bool:
    """Whether it is a class of vector environments."""
    return inspect.isclass(target) and issubclass(target, VectorEnv)


def _arguments(env_conf: dict[str, Any], max_episode_steps: int, render_mode: str | None) -> dict[str, Any]:
    """An environment's keyword arguments; those that nobody asked for are left out, for it may not know them."""
    limit = {"max_episode_steps": max_episode_steps} if max_episode_steps else {}
    mode = {"render_mode": render_mode} if render_mode else {}
    return {**env_conf, **limit, **mode}


def _own_vectors(spec: EnvSpec, count: int, arguments: dict[str, Any]) -> VectorEnv | None:
    """The id's own vector environment; None if it does not take what the single one takes."""
    try:
        return gymnasium.make_vec(spec, count, vectorization_mode="vector_entry_point", **arguments)
    except TypeError:  # the single environment has already been made with the same
        return None


def _same(vectors: VectorEnv, one: gymnasium.Env) -> bool:
    # ale-py registers another preprocessing under the same id
    return (
        vectors.single_observation_space == one.observation_space
        and vectors.single_action_space == one.action_space
        and vectors.metadata.get("autoreset_mode") == AutoresetMode.NEXT_STEP
    )


def _explain_arguments(app: str, arguments: dict[str, Any], error: TypeError) -> None:
    if "unexpected keyword argument" in str(error) or "multiple values for" in str(error):
        raise ConfigError(
            f"{app} does not take the arguments {arguments} (from env_conf and max_episode_steps): {error}. Remove "
            "that key."
        ) from error
