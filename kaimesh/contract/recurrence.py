"""The state of a recurrent network, which belongs to the slots of environments and not to the process that predicts.

It travels: with each request for predictions goes the state before the observation, with each answer comes the next one. So
any actor can answer, an environment that begins anew begins with the initial state, and the learner gets with each
trajectory the state before its first step, from which it unrolls.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kaimesh.contract.agent import user_code
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError


class RecurrentState:
    """The states of `count` slots of `agent`, as its `initial_state(count)` gives them; without that method there are none.

    columns: `[N, ...]` by name, before the present observations; each is a new array after `advance`.
    """

    def __init__(self, agent: Any, count: int) -> None:
        make = getattr(agent, "initial_state", None)
        self._initial: dict[str, np.ndarray] = {}
        if make is not None:
            with user_code("Agent.initial_state"):
                self._initial = dict(make(count))
        self.columns = self._initial
        self._next: dict[str, np.ndarray] = {}

    def take(self, acts: Batch) -> Batch:
        """The answer without the states, which are kept for `advance`. Raises AgentError: they are not in it."""
        if not self._initial:
            return acts
        columns = dict(acts.columns)
        try:
            self._next = {name: columns.pop(name).copy() for name in self._initial}
        except KeyError as error:
            raise AgentError(
                f"the agent's answer has no column {error}, which its initial_state declares; each slot would forget its past. "
                "Return the next state from predict and exploit."
            ) from None
        return Batch(columns, acts.row_type)

    def advance(self, first: np.ndarray) -> None:
        """Goes on to the next observations. first: bool `[N]`, where they are the first of an episode: its state is the initial one."""
        if not self._initial:
            return
        slots = np.flatnonzero(first)
        for name, column in self._next.items():
            column[slots] = self._initial[name][slots]
        self.columns, self._next = self._next, {}
