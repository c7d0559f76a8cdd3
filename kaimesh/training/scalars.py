"""The learner's curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kaimesh.training.tensorboard import Curves


class Scalars:
    """Writes the latest values every `every_s` seconds, not after every learn. clock: seconds, monotonic."""

    def __init__(self, folder: Path, every_s: float, step: int, clock: Callable[[], float]) -> None:
        self._curves = Curves(folder, purge=step)  # a resumed run repeats some steps; their old points are hidden
        self._every_s, self._clock = every_s, clock
        self._next = clock() + every_s

    def write(self, step: int, values: Mapping[str, float], *, now: bool = False) -> None:
        """Writes a point of each value at `step`, if `every_s` seconds have passed or `now` is True."""
        if not now and self._clock() < self._next:
            return
        self._next = self._clock() + self._every_s
        self._curves.write(step, values)

    def close(self) -> None:
        """Closes the file."""
        self._curves.close()
