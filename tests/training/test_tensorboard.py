"""The order of TensorBoard's files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kaimesh.training.tensorboard import Curves


@pytest.mark.parametrize("jump_s", [-3600, 0, 3600])
def test_a_later_file_is_read_after_the_earlier_ones_also_after_the_clock_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    now, made = time.time(), []
    for number in range(4):
        monkeypatch.setattr(time, "time", lambda number=number: now + number * jump_s)
        Curves(tmp_path, purge=number).close()
        made += [path.name for path in tmp_path.iterdir() if path.name not in made]
    assert made == sorted(made)
    assert len(made) == 4
