"""An environment that fails is made anew: who decides about it, and what the others need of those who do it.

An episode that fails is cut before the step that failed. In that step its slot shows the observation of before once
more, with reward 0 and as truncated, and is among the `aborted`: no such step was made. The next step is the slot's
reset step, in which its environment is closed, made anew and reset.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from kaimesh.contract.errors import EnvContractError, MeshError, words
from kaimesh.contract.seeds import renewed_seed
from kaimesh.envs import alone

T = TypeVar("T")
_log = logging.getLogger("kaimesh.envs")


class Renew(Protocol):
    """Decides about environments that failed."""

    def __call__(self, slots: range, steps: int, verb: str, error: Exception, make: Callable[[], T]) -> T:
        """What `make` makes in place of the environments of `slots`; tries again where `make` raises.

        verb: the call that failed, such as "step". steps: how many steps these slots have begun so far. Raises EnvError
        or EnvContractError: they fail too often.
        """
        ...


class Renewing(Protocol):
    """A vector environment whose slots are made anew where they fail.

    aborted: bool `[N]`, the slots that failed in the newest step; None: none did.
    """

    aborted: np.ndarray | None

    def abort(self, errors: Mapping[int, Exception]) -> None:
        """Counts the newest step of these slots as failed: what they returned cannot be used. Raises one of `errors`
        where it is final.
        """


def is_final(error: Exception, steps: int) -> bool:
    """Whether making an environment anew cannot help: an error that is not the environment's, or one that did not keep
    gymnasium's interface in its first step. steps: as Renew.
    """
    return isinstance(error, MeshError) and not (isinstance(error, EnvContractError) and steps > 1)


def close_failed(env: gymnasium.Env | VectorEnv, app: str) -> None:
    """Closes an environment that failed, before another one takes its place; an error in `close` is logged."""
    alone.release(env)
    try:
        env.close()
    except Exception as error:
        _log.warning("%s: an environment that failed raised %s in close: %s", app, type(error).__name__, words(error))


def next_seed(seed: Any, times: int) -> Any:
    """The seed, or the seeds, of what was made anew `times` times, from that of the first reset."""
    if seed is None:
        return None
    if isinstance(seed, Sequence):
        return [next_seed(one, times) for one in seed]
    return renewed_seed(int(seed), times)
