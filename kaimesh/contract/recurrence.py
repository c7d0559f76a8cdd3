"""The state of a recurrent network. aisrv keeps it for each slot; the actor, which predicts, keeps none.

Each request for predictions carries the state before the observation, and each answer carries the next state. So any
actor can answer any request, and an environment that restarts begins with the initial state. Each unroll carries the
state before its first step; the learner computes the others from it.
"""

from __future__ import annotations

import numpy as np

from kaimesh.contract.agent import Recurrent, user_code
from kaimesh.contract.answers import added_columns
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import AgentError


class RecurrentState:
    """The states of `count` slots, at first `agent.initial_state(count)`. agent: None: there are no states.

    columns: `[N, ...]` by name, the states before the current observations. `advance` replaces the arrays, it does not
    change them.
    """

    def __init__(self, agent: Recurrent | None, count: int) -> None:
        self._initial: dict[str, np.ndarray] = {}
        if agent is not None:
            where = f"{type(agent).__name__}.initial_state"
            with user_code(where):
                states = agent.initial_state(count)
            self._initial = added_columns(states, count, where)
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
                f"the agent's answer has no column {error}, although its initial_state has it; each slot would forget "
                "its past. Return the next state from predict and exploit."
            ) from None
        return Batch(columns, acts.row_type)

    def restart(self) -> None:
        """Every slot begins an episode."""
        self.columns = self._initial

    def advance(self, first: np.ndarray) -> None:
        """Makes the next states the current ones.

        first: bool `[N]`: the slots that begin an episode, which get the initial state.
        """
        if not self._initial:
            return
        slots = np.flatnonzero(first)
        for name, column in self._next.items():
            column[slots] = self._initial[name][slots]
        self.columns, self._next = self._next, {}
