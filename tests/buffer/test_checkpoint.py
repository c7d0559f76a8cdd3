"""The order of a buffer's checkpoints on disk."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from kaimesh.buffer.checkpoint import GENERATIONS, Checkpoints, Manifest


@pytest.mark.parametrize(
    "wrong", [{"items": "many"}, {"items": -1}, {"configuration": None}, {"rows": ["a"]}, {"files": [["a"]]}, {"x": 1}]
)
def test_a_manifest_that_is_none_is_skipped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: dict[str, object]
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for number in range(2):
        (checkpoints.own / "saved").mkdir()
        newest = checkpoints.keep(checkpoints.own / "saved", Manifest([], None, {}, number, 0, []))
    data = json.loads((newest / "manifest.json").read_text())
    (newest / "manifest.json").write_text(json.dumps(wrong if "x" in wrong else {**data, **wrong}))
    assert [manifest.inserted for manifest, _ in checkpoints.candidates()] == [0]
    assert "damaged (its manifest.json is none of a checkpoint" in caplog.text


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
