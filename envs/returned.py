"""What an environment returned, checked: in words, where it is not what gymnasium and its own spaces say.

The functions of this module raise EnvContractError. Its words name no environment; the caller's do (`of`).

Shape legend: N environments; A actions; `...` one observation.
"""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from kaimesh.contract.errors import EnvContractError
from kaimesh.envs.interface import LEGAL_ACTIONS

WRAPPED = (
    "wrapped with kaimesh.envs.OldGym, in a function that returns OldGym(YourEnv()) and is marked with @env_factory "
    '(from kaimesh.agent import env_factory); then set app = "your_module:your_function"'
)
_OLD = f"that is the interface of gym before 0.26, which gymnasium no longer converts. Such an environment is {WRAPPED}"

Wrong = dict[int, EnvContractError]  # what is wrong with the slots of a vector environment, by slot
_INFO = (dict, Mapping)  # the usual kind first, which is found sooner
NOT_FINITE = "a network that learns from it is lost. Return finite numbers."
NO_CHOICE = (
    "info['legal_act'] forbids every action although the episode goes on; the agent could do nothing. Allow one action "
    "at least, or end the episode (terminated or truncated)."
)


def begun(result: Any) -> tuple[Any, Mapping[str, Any]]:
    """The observation and the info that `reset` returned."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], _INFO):
        return result
    old = "" if result is None else f": {_OLD}"
    raise EnvContractError(f"reset returned {_described(result)} instead of (observation, info){old}.")


def stepped(result: Any) -> tuple[Any, Any, Any, Any, Mapping[str, Any]]:
    """The five values that `step` returned."""
    if isinstance(result, tuple | list) and len(result) == 5 and isinstance(result[4], _INFO):
        return result  # type: ignore[return-value]
    old = f": {_OLD}" if isinstance(result, tuple | list) and len(result) == 4 else ""
    raise EnvContractError(
        f"step returned {_described(result)} instead of (observation, reward, terminated, truncated, info){old}."
    )


def check_interface(env: gymnasium.Env) -> None:
    """`env`, which failed before its first step was made, returns below its wrappers what it must.

    An error of its own tells nothing here. Nobody should use `env` afterwards.
    """
    inner = env.unwrapped
    try:
        inspect.signature(inner.reset).bind(seed=0)
    except TypeError:
        raise EnvContractError(f"reset takes no `seed`: {_OLD}.") from None
    except ValueError:  # it has no signature, being compiled
        return
    calls: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
        (inner.reset, begun),
        (lambda: inner.step(env.action_space.sample()), stepped),
    ]
    for call, check in calls:
        try:
            result = call()
        except Exception:  # whatever made it fail before
            return
        check(result)


def check_observation(observation: Any, space: gymnasium.Space[Any]) -> None:
    """`observation`, of one environment, is one of `space` as to shape, dtype and finiteness; bounds are not looked
    at.
    """
    if isinstance(space, Discrete):
        place = np.asarray(observation)
        first = int(space.start)
        if place.shape != () or place.dtype.kind not in "iub" or not first <= int(place) < first + int(space.n):
            raise EnvContractError(
                f"an observation is {reprlib.repr(observation)}, but its observation_space is {space}; a network would "
                "be built for something else. Correct one of the two."
            )
    if not isinstance(space, Box):
        return
    try:
        array = np.asarray(observation)
    except ValueError:  # lists of different lengths
        array = np.asarray(observation, object)
    if array.shape != space.shape:
        raise EnvContractError(
            f"an observation has the shape {_shape(array.shape)}, but its observation_space {_shape(space.shape)}; "
            "a network would be built for something else. Correct one of the two."
        )
    if not np.can_cast(array.dtype, space.dtype or np.float32, "same_kind"):
        raise EnvContractError(
            f"an observation is of {array.dtype}, but its observation_space says {space.dtype}, to which that cannot "
            "be converted without a loss. Correct one of the two."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise EnvContractError(f"an observation holds {float(array[~np.isfinite(array)][0])}; {NOT_FINITE}")


def check_reward(reward: Any) -> None:
    """`reward`, of one step, is a finite number."""
    try:
        value = float(reward)
    except (TypeError, ValueError):
        value = None
    if value is None:
        raise EnvContractError(
            f"a reward is {reprlib.repr(reward)}, which is no number; no return could be told. Return a float."
        )
    if not math.isfinite(value):
        raise EnvContractError(f"a reward is {value}; {NOT_FINITE}")


def check_ends(terminated: Any, truncated: Any) -> None:
    """Both, of one step, are truths: bool, or 0 and 1. The word "no" and None would be taken for one."""
    for name, value in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(value, bool | int | float | np.generic) or value not in (0, 1):
            raise EnvContractError(
                f"{name} is {reprlib.repr(value)}, which is neither true nor false; whether an episode is over would "
                "not be known. Return a bool."
            )


def mask(allowed: Any, actions: int) -> np.ndarray:
    """Which actions are allowed, bool `[A]`, from what an info has as "legal_act": bools, or numbers 0 and 1."""
    try:
        values = np.asarray(allowed)
    except ValueError:  # lists of different lengths
        values = np.asarray(allowed, object)
    if values.shape != (actions,):
        raise EnvContractError(
            f"info['legal_act'] has the shape {_shape(values.shape)} for {actions} actions; which of them are allowed "
            f"is not known. Return one value for each action, bool [{actions}]."
        )
    if values.dtype.kind not in "biuf" or not ((values == 0) | (values == 1)).all():
        raise EnvContractError(
            f"info['legal_act'] is {reprlib.repr(allowed)}; which actions are allowed is not known. Return one bool, "
            "or 0 or 1, for each action."
        )
    return values.astype(bool)


def masks(allowed: Any, count: int, actions: int) -> tuple[np.ndarray, Wrong]:
    """The masks of N environments, bool `[N, A]`, and what is wrong with those that are none; these allow all.

    allowed: one after the other what `mask` takes, in an array or a sequence.
    """
    rows = _rows(allowed)
    if rows is not None and rows.shape == (count, actions):
        return rows, {}
    if not isinstance(allowed, Sequence | np.ndarray) or len(allowed) != count:
        raise EnvContractError(
            f"info['legal_act'] is {reprlib.repr(allowed)}; it must have one row for each of the {count} environments, "
            f"bool [{count}, {actions}]."
        )
    legal, wrong = np.ones((count, actions), bool), {}
    for i, row in enumerate(allowed):
        try:
            legal[i] = mask(row, actions)
        except EnvContractError as error:
            wrong[i] = error
    return legal, wrong


def check_choice(legal: np.ndarray, over: bool) -> None:
    """`legal`, bool `[A]`, allows an action, or the episode is over."""
    if not over and not legal.any():
        raise EnvContractError(NO_CHOICE)


def mask_of(info: Mapping[str, Any]) -> Any:
    """What `info`, of an environment that declares legal actions, has of them."""
    allowed = info.get("legal_act")
    if allowed is None:
        raise EnvContractError(
            f"its metadata declare {LEGAL_ACTIONS}, but an info had no 'legal_act'; the agent would not know which "
            "actions are allowed. Return info['legal_act'], a bool for each action, from every reset and step."
        )
    return allowed


def of(app: str, error: Exception) -> Exception:
    """`error`; an EnvContractError with the name of the environment."""
    if not isinstance(error, EnvContractError):
        return error
    named = EnvContractError(f"{app}: {error}")
    named.__cause__ = error.__cause__
    return named


def _rows(allowed: Any) -> np.ndarray | None:
    """`allowed` as bools of any shape; None where a look at each row must tell."""
    try:
        rows = np.asarray(allowed)
    except ValueError:  # rows of different lengths
        return None
    if rows.dtype == bool:
        return rows
    if rows.dtype.kind in "iuf" and ((rows == 0) | (rows == 1)).all():
        return rows.astype(bool)
    return None


def _shape(shape: tuple[int, ...]) -> list[int]:
    return list(shape)


def _described(result: Any) -> str:
    if isinstance(result, tuple | list):
        inside = ", ".join(type(value).__name__ for value in result[:6])
        return f"{len(result)} values ({inside})"
    if isinstance(result, np.ndarray):
        return f"an array of shape {_shape(result.shape)}"
    return f"a {type(result).__name__}"
