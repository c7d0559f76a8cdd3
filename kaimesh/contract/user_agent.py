"""Reads a user's agent once: which optional Protocols of the contract it has, as typed objects.

No other module looks for an agent's members by name; tests/test_architecture.py checks that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from kaimesh.contract.agent import (
    TABLE_KINDS,
    Agent,
    Checking,
    Collecting,
    Featured,
    Prepared,
    Recurrent,
    Resumable,
    Sampling,
    Slotted,
    TableSpec,
    Vectorised,
    Warming,
    user_code,
)
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.reanalysis import Reanalysing
from kaimesh.contract.structs import protocol

MOST_UNROLL_STEPS = 1 << 20  # more would fill any memory before the first sample leaves


@dataclass(frozen=True)
class UserAgent:
    """An agent and the optional Protocols of kaimesh/contract/agent: each is the agent itself, or None if it lacks it.

    agent: the object itself. name: the name of its class, for messages. observe, act: Kaiwu's `observation_process` and
    `action_process`, a method of the agent or a function that was registered with `attached`; None: there is none.
    proves_batches: whether it may get several observations per call is found out by asking it. foreign: it was written
    for another framework, and has the five methods of Agent alone.
    """

    agent: Agent
    name: str
    table: TableSpec
    pad_batches: bool
    predict_rows_at_most: int
    sees_ends: bool
    sequential_predict: bool
    unit_actions: bool
    prepared: Prepared | None
    vectorised: Vectorised | None
    recurrent: Recurrent | None
    featured: Featured | None
    slotted: Slotted | None
    sampling: Sampling | None
    collecting: Collecting | None
    warming: Warming | None
    resumable: Resumable | None
    checking: Checking | None
    reanalysing: Reanalysing | None
    observe: Callable[[Any], Any] | None
    act: Callable[[Any], Any] | None
    proves_batches: bool = False
    foreign: bool = False


def read_agent(agent: Any) -> UserAgent:
    """Reads `agent`, an instance.

    Raises AgentError: a member has the wrong type, or one of two methods that belong together is missing.
    """
    name = type(agent).__name__

    def part(*methods: str) -> Any:
        """`agent` if it has all of `methods`, None if it has none of them."""
        found = [method for method in methods if _method(agent, name, method) is not None]
        if found and len(found) < len(methods):
            missing = ", ".join(method for method in methods if method not in found)
            raise AgentError(
                f"{name} has {', '.join(found)} but no {missing}; a training state would be written and never read, or "
                "read and never written. Write both, or neither."
            )
        return agent if found else None

    return UserAgent(
        agent=cast(Agent, agent),
        name=name,
        table=table_of(agent),
        pad_batches=_flag(agent, name, "pad_batches"),
        predict_rows_at_most=_most_rows(agent, name),
        sees_ends=_flag(agent, name, "sees_ends"),
        sequential_predict=_flag(agent, name, "sequential_predict"),
        unit_actions=_flag(agent, name, "unit_actions"),
        prepared=part("setup"),
        vectorised=_vectorised(agent, name),
        recurrent=part("initial_state"),
        featured=part("features"),
        slotted=part("slot_columns"),
        sampling=part("sample_of"),
        collecting=part("open_steps"),
        warming=part("warm_up"),
        resumable=part("save_training_state", "load_training_state"),
        checking=part("check_model"),
        reanalysing=None if _missing_of_reanalysing(agent, name) else agent,
        observe=_method(agent, name, "observation_process") or protocol("observation_process"),
        act=_method(agent, name, "action_process") or protocol("action_process"),
    )


def read_foreign(agent: Any) -> UserAgent:
    """Reads `agent`, an instance that was written for another framework: only the five methods of Agent count, and
    `sequential_predict`, if its class says that. Other attributes may mean anything.
    """
    name = type(agent).__name__
    said = _member(agent, name, "sequential_predict", None)
    return UserAgent(
        agent=cast(Agent, agent),
        name=name,
        table=TableSpec(),
        pad_batches=False,
        predict_rows_at_most=0,
        sees_ends=False,
        sequential_predict=said is None or _flag(agent, name, "sequential_predict"),
        unit_actions=False,
        prepared=None,
        vectorised=None,
        recurrent=None,
        featured=None,
        slotted=None,
        sampling=None,
        collecting=None,
        warming=None,
        resumable=None,
        checking=None,
        reanalysing=None,
        observe=protocol("observation_process"),
        act=protocol("action_process"),
        proves_batches=said is None,
        foreign=True,
    )


def table_of(agent: Any) -> TableSpec:
    """How the samples of `agent`, an instance or a class, are stored.

    Raises AgentError: its `table` is not a TableSpec, or says what no table can be.
    """
    name = agent.__name__ if isinstance(agent, type) else type(agent).__name__
    with user_code(f"reading {name}.table"):
        table = getattr(agent, "table", TableSpec())
    if not isinstance(table, TableSpec):
        raise AgentError(
            f"{name}.table = {table!r} is {type(table).__name__}; the buffer would not know how to keep samples. Write "
            'table = TableSpec(kind="queue") or "replay", from kaimesh.agent.'
        )
    for key, (fine, wrong) in _OF_A_TABLE.items():
        value = getattr(table, key)
        if not fine(value):
            raise AgentError(f"{name}.table has {key} = {value!r}; {wrong}")
    return table


def check_reanalysing(agent: Any, algo: str) -> None:
    """Raises ConfigError: what `agent`, a class or an instance, stores cannot be searched again. algo: for messages."""
    name = agent.__name__ if isinstance(agent, type) else type(agent).__name__
    table = table_of(agent)
    why = ""
    if missing := _missing_of_reanalysing(agent, name):
        why = f"{name} has no {', '.join(missing)}, so what it stores cannot be searched again"
    elif table.kind != "replay" or table.rows_per_item != 1:
        why = f"{name}.table is no replay table with rows_per_item = 1, so samples cannot be drawn one by one"
    if why:
        raise ConfigError(
            f"reanalyse_count is above 0 with algo = {algo}: {why}. Set reanalyse_count = 0, or an algorithm that can "
            "search its samples again, such as muzero."
        )


def _missing_of_reanalysing(agent: Any, name: str) -> list[str]:
    methods = ("questions", "reanalyse", "copies")
    return [method for method in methods if _method(agent, name, method) is None]


# By field of TableSpec: what it may be; else the consequence and the remedy.
_OF_A_TABLE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (
        lambda value: isinstance(value, str) and bool(value.strip()) and value.isprintable(),
        'the buffer could not name its table so. Write a text of printable characters, such as "samples".',
    ),
    "kind": (
        lambda value: isinstance(value, str) and value in TABLE_KINDS,
        f"no other table than {' or '.join(map(repr, TABLE_KINDS))} can be made. Write one of these.",
    ),
    "rows_per_item": (
        lambda value: type(value) is int and value >= 0,
        "so many samples cannot be stored together. Write a whole number, or 0: the buffer chooses.",
    ),
    "prioritised": (
        lambda value: isinstance(value, bool),
        "it is unclear whether it means yes or no. Write True or False.",
    ),
}


def _vectorised(agent: Any, name: str) -> Vectorised | None:
    length = _member(agent, name, "unroll_length", None)
    if length is None:
        return None
    whole = isinstance(length, int | np.integer) and not isinstance(length, bool)
    if not whole or not 1 <= length <= MOST_UNROLL_STEPS:
        raise AgentError(
            f"{name}.unroll_length = {length!r} is not a whole number of steps from 1 to {MOST_UNROLL_STEPS:,}; "
            "nothing could be stored. Correct it, or leave it out if the agent is not vectorised."
        )
    return cast(Vectorised, agent)


def _most_rows(agent: Any, name: str) -> int:
    most = _member(agent, name, "predict_rows_at_most", 0)
    if not isinstance(most, int | np.integer) or isinstance(most, bool) or most < 0:
        raise AgentError(
            f"{name}.predict_rows_at_most = {most!r} is no number of rows; it is unclear how many `predict` may get at "
            "once. Write a whole number, or 0 for no limit of its own."
        )
    return int(most)


def _method(agent: Any, name: str, method: str) -> Callable[..., Any] | None:
    """The agent's `method`; None: it has none, or the attribute is None."""
    found = _member(agent, name, method, None)
    if found is not None and not callable(found):
        raise AgentError(
            f"{name}.{method} = {found!r} is {type(found).__name__}, but the mesh would call {method} as a method. "
            "Make it a method, or rename the attribute."
        )
    return cast("Callable[..., Any] | None", found)


def _flag(agent: Any, name: str, flag: str) -> bool:
    value = _member(agent, name, flag, False)
    if not isinstance(value, bool):
        raise AgentError(
            f"{name}.{flag} = {value!r} is {type(value).__name__}; it is unclear whether it means yes or no. On the "
            "class, write True or False."
        )
    return value


def _member(agent: Any, name: str, member: str, default: Any) -> Any:
    """The agent's `member`; `default`: it has none. Raises AgentError: it has one, which raised when it was read."""
    is_there = any(member in vars(owner) for owner in (*type(agent).__mro__, agent) if hasattr(owner, "__dict__"))
    with user_code(f"reading {name}.{member}"):
        return getattr(agent, member) if is_there else getattr(agent, member, default)
