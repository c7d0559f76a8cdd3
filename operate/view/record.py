"""The figures that are kept of a run: history.jsonl and TensorBoard while it goes on, result.json at its end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaimesh.contract.json_text import json_text, number
from kaimesh.operate.view.totals import Totals
from kaimesh.process.documents import write_json
from kaimesh.process.run_dir import RunDir
from kaimesh.training.tensorboard import Curves


class Record:
    """Writes the mesh's curves; TensorBoard's under `tensorboard/mesh`, by env steps."""

    def __init__(self, run: RunDir) -> None:
        self.history = run.root / "history.jsonl"
        self._curves = Curves(run.tensorboard / "mesh")

    def write(self, now: float, current: Totals, rates: Mapping[str, float], gauges: Mapping[str, float]) -> None:
        """Writes a line and a point of every curve. On a full disk they are lost; the run goes on.

        rates: per second over this interval, by field of Totals.
        """
        values = {**current._asdict(), **rates}
        with contextlib.suppress(OSError):
            _append_line(self.history, json_text({"time": now, **values, **gauges}, reasons=True))
        named = {**{f"mesh/{name}": value for name, value in values.items()}, **gauges}
        points = {name: point for name, value in named.items() if (point := number(value)) is not None}
        self._curves.write(current.env_steps, points, now)

    def close(self) -> None:
        """Closes TensorBoard's file."""
        self._curves.close()


def _append_line(path: Path, line: str) -> None:
    """Appends a whole line or nothing, on a line of its own even if an earlier one is incomplete. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        ended = not size or os.pread(descriptor, 1, size - 1) == b"\n"
        content = f"{line}\n".encode() if ended else f"\n{line}\n".encode()
        try:
            whole = os.write(descriptor, content) == len(content)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        if not whole:
            os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def write_result(run: RunDir, mesh: Mapping[str, Any], final: Totals, now: float) -> None:
    """Writes result.json.

    env_steps_per_s: from the first learn until the run was told to end, else null. Raises OSError.
    """
    first, last = mesh.get("first_learn"), mesh.get("end")
    rate = None
    if first and last and last["time"] > first["time"]:
        rate = (last["env_steps"] - first["env_steps"]) / (last["time"] - first["time"])
    result = {
        "env_steps": final.env_steps,
        "env_steps_per_s": rate,
        "episodes": final.episodes,
        "return_mean_100": final.return_mean_100,
        "returns_not_finite": final.returns_not_finite,
        "learner_steps": final.learner_steps,
        "model_version": final.model_version,
        "policy_lag_mean": final.policy_lag_mean,
        "samples_lost": final.samples_lost,
        "env_restarts": final.env_restarts,
        "wall_s": now - mesh["started"],
        "up_s": now - mesh["up"] if mesh.get("up") else None,
        "reason": mesh["reason"],
        "commit": mesh.get("commit", "unknown"),
    }
    write_json(run.result, result, durable=True, reasons=True)
