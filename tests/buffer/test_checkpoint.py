"""The order of a buffer's checkpoints on disk."""

from __future__ import annotations

import json
import logging
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kaimesh.buffer.checkpoint import GENERATIONS, Checkpoints, Manifest
from kaimesh.buffer.service import BufferService


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


@pytest.mark.parametrize("seed", range(40))
def test_a_manifest_with_a_bit_flipped_is_the_one_written_or_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    rng, checkpoints = random.Random(seed), Checkpoints(tmp_path)
    (checkpoints.own / "saved").mkdir()
    (checkpoints.own / "saved" / "chunks").write_bytes(b"12")
    spaces = {"action_low": [-float("inf"), 1.5]}
    kept = checkpoints.keep(
        checkpoints.own / "saved",
        Manifest([["obs", "<f4", [4]]], spaces, {"max_size": "64"}, 4321, 40, [], [2, 3]),
    )
    ((written, _),) = checkpoints.candidates()
    path = kept / "manifest.json"
    text = bytearray(path.read_bytes())
    text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)
    path.write_bytes(text)
    found = [manifest for manifest, _ in checkpoints.candidates()]
    assert found in ([], [written]), "half of it is another one"  # a blank may be another blank
    assert found or "damaged" in caplog.text


def test_a_manifest_of_an_older_version_has_no_digest_and_is_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (checkpoints.own / "saved").mkdir()
    path = checkpoints.keep(checkpoints.own / "saved", Manifest([], None, {}, 7, 0, [])) / "manifest.json"
    data = json.loads(path.read_text())
    assert len(data.pop("digest")) == 64
    path.write_text(json.dumps(data))
    assert [manifest.inserted for manifest, _ in checkpoints.candidates()] == [7]


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


def test_what_was_not_saved_is_not_told(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO, "buffer")
    service: Any = SimpleNamespace(_ingest=SimpleNamespace(checkpoint=lambda: None))
    service._context = SimpleNamespace(logger=logging.getLogger("buffer"))
    BufferService._save(service)
    assert not caplog.records, "there is no table before the first sample"
    service._ingest.checkpoint = lambda: tmp_path
    BufferService._save(service)
    assert [record.message for record in caplog.records] == ["saved a checkpoint in 0.0 s"]
