"""The order of a buffer's checkpoints on disk."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kaimesh.buffer.checkpoint import GENERATIONS, Checkpoints, Manifest


@pytest.mark.parametrize("jump_s", [-3600, 0, 3600])
def test_the_newest_checkpoint_is_the_one_that_was_made_last_also_after_the_clock_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    now_ns = time.time_ns()
    checkpoints = Checkpoints(tmp_path)
    for number in range(GENERATIONS + 2):
        monkeypatch.setattr(time, "time_ns", lambda number=number: now_ns + number * jump_s * 10**9)
        saved = checkpoints.own / "saved"
        saved.mkdir()
        checkpoints.keep(saved, Manifest([], None, {}, number, 0, []))
    kept = [manifest.inserted for manifest, _ in checkpoints.candidates()]
    assert kept == list(range(GENERATIONS + 2))[: -GENERATIONS - 1 : -1]
