"""Numbers of the whole training, as users' code asks for them (Kaiwu's get_training_metrics)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kaimesh.contract.json_text import number
from kaimesh.contract.monitor import USERS
from kaimesh.process.run_dir import RunDir

_READ_S = 1.0  # as often as processes publish
_LEARN, _OWN = "learn/", "diy_"  # what the names of the learner's metrics, and of a user's free ones, begin with


class TrainingNumbers:
    """Call it for the numbers; they are read from the processes' status files at most once a second.

    clock: seconds, monotonic.
    """

    def __init__(self, run: RunDir, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._due, self._numbers = -1.0, dict[str, dict[str, float]]()

    def __call__(self) -> Mapping[str, Any] | None:
        """Groups of numbers: basic, algorithm, env, diy; None: no process has published any."""
        now = self._clock()
        if now >= self._due:
            self._due, self._numbers = now + _READ_S, numbers_of(self._run.statuses().values())
        return self._numbers or None


def numbers_of(statuses: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """basic: sums over all processes. algorithm: what `learn` returned last. env: what workflows gave to put_data, the
    mean over processes; diy: those called diy_1 .. diy_5. Empty: there is no status.
    """
    everything = list(statuses)
    if not everything:
        return {}

    def total(name: str) -> float:
        found = (number(_values(status, "counters").get(name)) for status in everything)
        return sum(value for value in found if value is not None)

    received, learned = total("inserted"), total("samples_learned")
    basic = {
        "train_global_step": int(total("learner_steps")),
        "predict_succ_cnt": int(total("predictions")),
        "load_model_succ_cnt": int(total("models_loaded")),
        "sample_receive_cnt": int(received),
        "episode_cnt": int(total("episodes")),
        "sample_production_and_consumption_ratio": learned / received if received else 0.0,
    }
    algorithm: dict[str, float] = {}
    told: dict[str, list[float]] = {}
    for status in everything:
        for name, value in _values(status, "gauges").items():
            if (found := number(value)) is None:
                continue
            if name.startswith(_LEARN):
                algorithm[name.removeprefix(_LEARN)] = found
            elif name.startswith(USERS):
                told.setdefault(name.removeprefix(USERS), []).append(found)
    means = {name: sum(values) / len(values) for name, values in told.items()}
    free = {name: value for name, value in means.items() if name.startswith(_OWN)}
    rest = {name: value for name, value in means.items() if name not in free}
    return {"basic": basic, "algorithm": algorithm, "env": rest, "diy": free}


def _values(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found = status.get(kind)
    return found if isinstance(found, dict) else {}
