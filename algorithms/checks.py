"""What PPO's and IMPALA's hyper-parameters have to fulfil alike; each message says the consequence and the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kaimesh.algorithms.networks.torso import NETWORKS

_CHOICES: dict[str, Sequence[str]] = {
    "network": NETWORKS,
    "activation": ("tanh", "relu"),
    "torso": ("auto", "separate", "shared"),
    "learning_rate_schedule": ("constant", "linear"),
}


def problems(
    algo: str,
    config: Any,
    *,
    choices: Mapping[str, Sequence[str]] | None = None,
    at_least_1: Sequence[str] = (),
    within_0_and_1: Sequence[str] = (),
    above_0: Sequence[str] = (),
    not_below_0: Sequence[str] = (),
) -> list[str]:
    """Contradictions in `config`, whose table is [algo]: the keys named here, and those that both algorithms have."""

    def found(keys: Sequence[str], fine: Any, consequence: str) -> list[str]:
        values = {key: getattr(config, key) for key in keys}
        return [f"[{algo}] {key} = {value}{consequence}" for key, value in values.items() if not fine(value)]

    unknown = [
        f"[{algo}] {key} = {getattr(config, key)!r} is unknown. Use one of {', '.join(known)}."
        for key, known in {**_CHOICES, **(choices or {})}.items()
        if getattr(config, key) not in known
    ]
    return [
        *unknown,
        *found(at_least_1, lambda value: value >= 1, ": nothing would be learned. Set at least 1."),
        *found(
            ["unroll_length"],
            lambda value: value >= 2,
            ": a sample could consist of an automatic reset alone. Set at least 2.",
        ),
        *found(within_0_and_1, lambda value: 0 <= value <= 1, ": returns would diverge. Set it within [0, 1]."),
        *found(above_0, lambda value: value > 0, ": nothing would be learned. Set it above 0."),
        *found(not_below_0, lambda value: value >= 0, " is negative. Set 0 to switch it off."),
        *_of_the_network(algo, config),
        *_of_the_schedule(algo, config),
    ]


def _of_the_network(algo: str, config: Any) -> list[str]:
    sizes, found = config.hidden_sizes, []
    if not sizes or any(type(size) is not int or size < 1 for size in sizes):
        found.append(f"[{algo}] hidden_sizes = {sizes}: give at least one positive integer, like [64, 64].")
    if config.lstm_size < 0 or (config.lstm_size and config.torso == "separate"):
        found.append(
            f"[{algo}] lstm_size = {config.lstm_size} with torso = {config.torso}: there is one LSTM, behind a shared torso. "
            "Set torso to auto or shared, or lstm_size to 0."
        )
    return found


def _of_the_schedule(algo: str, config: Any) -> list[str]:
    if config.learning_rate_schedule != "linear" or config.total_learner_steps >= 1:
        return []
    return [
        f"[{algo}] learning_rate_schedule = linear with total_learner_steps = {config.total_learner_steps}: the rate would be 0 "
        "from the start. Set total_learner_steps to the learns of the whole run, or the schedule to constant."
    ]
