"""The state of a recurrent network. It is kept per environment slot, in aisrv, and not in the process that predicts.

Each request for predictions carries the state before the observation, and each answer carries the next state. So any
actor can answer any request; an environment that restarts begins with the initial state; and each unroll that goes to
the learner carries the state before its first step, from which the learner recomputes the others.
"""

from __future__ import annotations

import numpy as np

from kaimesh.contract.agent import Recurrent, user_code
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError


class RecurrentState:
    """The states of `count` slots of an agent, at first `agent.initial_state(count)`; no columns if it is not
    Recurrent.

    columns: `[N, ...]` by name, the states before the current observations; new arrays after each `advance`.
    """

    def __init__(self, agent: Recurrent | None, count: int) -> None:
        self._initial: dict[str, np.ndarray] = {}
        if agent is not None:
            with user_code("Agent.initial_state"):
                self._initial = dict(agent.initial_state(count))
        self.columns = self._initial
        self._next: dict[str, np.ndarray] = {}

    def take(self, acts: Batch) -> Batch:
        """Removes the next states from an answer and keeps them for `advance`. Raises AgentError: one is missing."""
        if not self._initial:
            return acts
        columns = dict(acts.columns)
        try:
            self._next = {name: columns.pop(name).copy() for name in self._initial}
        except KeyError as error:
            raise AgentError(
                f"the agent's answer has no column {error}, which its initial_state declares; each slot would forget "
                "its past. Return the next state from predict and exploit."
            ) from None
        return Batch(columns, acts.row_type)

    def advance(self, first: np.ndarray) -> None:
        """Makes the next states the current ones.

        first: bool `[N]`, slots that begin an episode get the initial state.
        """
        if not self._initial:
            return
        slots = np.flatnonzero(first)
        for name, column in self._next.items():
            column[slots] = self._initial[name][slots]
        self.columns, self._next = self._next, {}
