"""What is kept of a run: history.jsonl and TensorBoard scalars while it goes on, result.json at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kaimesh.run import RunDir, write_json
from kaimesh.totals import Totals


class Record:
    """Writes the mesh's curves; TensorBoard's under `tensorboard/mesh`, by env steps."""

    def __init__(self, run: RunDir) -> None:
        from tensorboardX import SummaryWriter  # writes TensorBoard's files without TensorFlow

        self.history = run.root / "history.jsonl"
        self._writer = SummaryWriter(str(run.tensorboard / "mesh"))

    def write(self, now: float, current: Totals, rates: Mapping[str, float], gauges: Mapping[str, float]) -> None:
        """One line and one point per curve. rates: what the interval's own rates are, per second, by field of Totals."""
        values = {**current._asdict(), **rates}
        with self.history.open("a") as file:
            file.write(json.dumps({"time": now, **values, **gauges}) + "\n")
        for name, value in {**{f"mesh/{name}": value for name, value in values.items()}, **gauges}.items():
            if value is not None:
                self._writer.add_scalar(name, value, current.env_steps, walltime=now)
        self._writer.flush()

    def close(self) -> None:
        """Closes TensorBoard's file."""
        self._writer.close()


def write_result(run: RunDir, mesh: Mapping[str, Any], final: Totals, now: float) -> None:
    """result.json. `env_steps_per_s` is over the time from the first learn to the order to end, else null."""
    first, last = mesh.get("first_learn"), mesh.get("end")
    rate = None
    if first and last and last["time"] > first["time"]:
        rate = (last["env_steps"] - first["env_steps"]) / (last["time"] - first["time"])
    result = {
        "env_steps": final.env_steps,
        "env_steps_per_s": rate,
        "episodes": final.episodes,
        "return_mean_100": final.return_mean_100,
        "learner_steps": final.learner_steps,
        "model_version": final.model_version,
        "policy_lag_mean": final.policy_lag_mean,
        "samples_lost": final.samples_lost,
        "wall_s": now - mesh["started"],
        "up_s": now - mesh["up"] if mesh.get("up") else None,
        "reason": mesh["reason"],
        "commit": mesh.get("commit", "unknown"),
    }
    write_json(run.result, result)
