"""Rules that hyper-parameters of several algorithms share; a message has the value, the consequence and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from kaimesh.algorithms.networks.torso import NETWORKS, TorsoConfig
from kaimesh.contract.user_agent import MOST_UNROLL_STEPS

TORSOS: Mapping[str, Sequence[str]] = {"torso": ("auto", "separate", "shared")}  # choices of policies with a value
_MOST_UNITS = 65_536  # of a layer; two such layers have 17 GB of weights
_MOST = 1_000_000_000_000
_MOST_OF = {"learning_rate": (1, "the first step would destroy the weights")}
_LEAST = 2.0**-126  # the smallest float32 with all its digits
_LEAST_OF = {"learning_rate": (1e-12, "no weight, a float32, would ever change by so little")}
_CHOICES: Mapping[str, Sequence[str]] = {
    "network": NETWORKS,
    "activation": ("tanh", "relu"),
    "learning_rate_schedule": ("constant", "linear"),
}


class Checked(TorsoConfig, Protocol):
    """The hyper-parameters that every algorithm has and that are checked here."""

    @property
    def unroll_length(self) -> int: ...
    @property
    def lstm_size(self) -> int: ...
    @property
    def learning_rate_schedule(self) -> str: ...
    @property
    def total_learner_steps(self) -> int: ...


class TwoTorsos(Protocol):
    """The hyper-parameters of a policy and a value, with a torso each or a shared one."""

    @property
    def torso(self) -> str: ...
    @property
    def lstm_size(self) -> int: ...


def problems(
    config: Checked,
    *,
    choices: Mapping[str, Sequence[str]] | None = None,
    at_least_1: Sequence[str] = (),
    at_least_2: Sequence[str] = (),
    within_0_and_1: Sequence[str] = (),
    above_0: Sequence[str] = (),
    not_below_0: Sequence[str] = (),
    at_most: Mapping[str, int] = MappingProxyType({}),
) -> list[str]:
    """A sentence for each value of `config` that is out of range: of the keys in the arguments, and of Checked.

    at_most: by key that sizes an array, the largest value that any machine has room for.
    """

    def found(keys: Sequence[str], fine: Callable[[Any], bool], consequence: str) -> list[str]:
        values = {key: getattr(config, key) for key in keys}
        return [f"{key} = {value}{consequence}" for key, value in values.items() if not fine(value)]

    unknown = [
        f"{key} = {getattr(config, key)!r} is unknown, so nothing could be built. Use one of {', '.join(known)}."
        for key, known in {**_CHOICES, **(choices or {})}.items()
        if getattr(config, key) not in known
    ]
    return [
        *unknown,
        *found(at_least_1, lambda value: value >= 1, ": nothing would be learned. Set at least 1."),
        *found(
            at_least_2,
            lambda value: value >= 2,
            ": a sample could consist of an automatic reset alone. Set at least 2.",
        ),
        *found(
            within_0_and_1, lambda value: 0 <= value <= 1, ": returns or weights would diverge. Set it within [0, 1]."
        ),
        *found(above_0, lambda value: value > 0, ": nothing would be learned. Set it above 0."),
        *found(not_below_0, lambda value: value >= 0, " is negative, which means nothing. Set 0 to switch it off."),
        *_too_large_or_small(config),
        *(
            f"{key} = {getattr(config, key)}: arrays of that size would fit in no memory. Set at most {most:,}."
            for key, most in at_most.items()
            if most < getattr(config, key) <= _MOST
        ),
        *_of_the_samples(config),
        *_of_the_network(config),
        *_of_the_schedule(config),
    ]


def lstm_of_two_torsos(config: TwoTorsos) -> list[str]:
    """A sentence if there is an LSTM, but no shared torso before it."""
    if config.lstm_size <= 0 or config.torso != "separate":
        return []
    return [
        f"lstm_size = {config.lstm_size} with torso = {config.torso}: the one LSTM stands behind a shared torso, so "
        "the network could not be built. Set torso to auto or shared, or lstm_size to 0."
    ]


def schedule_unused(config: Checked) -> dict[str, str]:
    """What does nothing with this schedule of the learning rate, with the reason."""
    why = f"learning_rate_schedule is {config.learning_rate_schedule}"
    return {} if config.learning_rate_schedule == "linear" else {"total_learner_steps": why}


def _too_large_or_small(config: Checked) -> list[str]:
    """A sentence for each number that is far outside of what can be learned with."""
    found = []
    for name, value in vars(config).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or name == "seed":
            continue
        most, why = _MOST_OF.get(name, (_MOST, "what is computed with it would not be finite, or never end"))
        if abs(value) > most:
            found.append(f"{name} = {value!r:.40}: {why}. Set at most {most:,}.")
        least, why = _LEAST_OF.get(name, (_LEAST, "in float32, which is computed with, that is 0 or nearly so"))
        if 0 < abs(value) < least:
            found.append(f"{name} = {value!r:.40}: {why}. Set at least {least:.2g}, or 0 where 0 has a meaning.")
    return found


def _of_the_samples(config: Checked) -> list[str]:
    if config.unroll_length <= MOST_UNROLL_STEPS:
        return []
    return [
        f"unroll_length = {config.unroll_length}: memory would be full before the first sample leaves. Set at most "
        f"{MOST_UNROLL_STEPS}."
    ]


def _of_the_network(config: Checked) -> list[str]:
    sizes = config.hidden_sizes
    if most := max((size for size in (*sizes, config.lstm_size) if size > _MOST_UNITS), default=0):
        return [
            f"hidden_sizes = {sizes}, lstm_size = {config.lstm_size}: the weights of a layer of {most} units would "
            f"not fit in memory. Set at most {_MOST_UNITS} units."
        ]
    if sizes and all(type(size) is int and size >= 1 for size in sizes):
        return []
    return [f"hidden_sizes = {sizes}: there would be no network. Give at least one positive integer, like [64, 64]."]


def _of_the_schedule(config: Checked) -> list[str]:
    if config.learning_rate_schedule != "linear" or config.total_learner_steps >= 1:
        return []
    return [
        f"learning_rate_schedule = linear with total_learner_steps = {config.total_learner_steps}: the rate would be 0 "
        "from the start. Set total_learner_steps to the learns of the whole run, or the schedule to constant."
    ]
