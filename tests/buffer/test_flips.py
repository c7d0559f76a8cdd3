"""A bit of a checkpoint changes on the disk: what was saved comes back, or nothing does, with a line that says why."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from kaimesh.buffer.checkpoint import Checkpoints
from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.ingest import Ingest
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.process.meter import Meter
from tests.buffer.conftest import WAIT_S, check_rows, config_of, rows

TABLES = {"replay": TableSpec(rows_per_item=4), "queue": TableSpec(kind="queue", rows_per_item=1)}
APP = App(replay_buffer_capacity=64, train_batch_size=8, preload_ratio=0.2)
ROWS = 40
FEW, MANY = 8, 250


@pytest.fixture(scope="module", params=TABLES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TableSpec, Path]:
    """A table, and the folder with the checkpoint of a buffer that had ROWS rows of it."""
    table, folder = TABLES[request.param], tmp_path_factory.mktemp("saved")
    ingest = Ingest(table, APP, checkpoints=Checkpoints(folder))
    ingest.declare(rows(1).specs, None)
    ingest.insert(rows(ROWS))
    assert ingest.flush(WAIT_S)
    assert ingest.checkpoint() is not None
    ingest.close()
    return table, folder


def restored_or_told(table: TableSpec, saved: Path, folder: Path, seed: int, log: pytest.LogCaptureFixture) -> bool:
    """Whether the checkpoint, with a bit flipped, was restored; checks either outcome."""
    shutil.copytree(saved, folder)
    log.clear()
    rng = random.Random(seed)
    files = sorted(path for path in folder.glob("kept/*/**/*") if path.is_file() and path.stat().st_size)
    path = files[seed % len(files)]
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    ingest = Ingest(table, APP, checkpoints=Checkpoints(folder), meter=Meter("buffer_0"))
    try:
        if not ingest.restore():
            assert "trying the one before" in log.text
            return False
        assert (ingest.inserted, ingest.describe()["size"]) == (ROWS, ROWS)
        reader = Reader(
            [], [], "", batch_size=8, table=table, config=config_of(APP), meter=Meter("l"), controls=[ingest]
        )
        drawn = [check_rows(batch) for batch in (reader.next_batch(WAIT_S) for _ in range(ROWS // 8)) if batch]
        reader.close()
        numbers = np.concatenate(drawn)
        assert len(numbers) == ROWS
        assert set(numbers) <= set(range(ROWS)) if table.kind == "replay" else numbers.tolist() == list(range(ROWS))
        return True
    finally:
        ingest.close()


@pytest.mark.parametrize("seed", range(FEW))
def test_a_bit(saved: tuple[TableSpec, Path], tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    restored_or_told(*saved, tmp_path / "copy", seed, caplog)


@pytest.mark.long
def test_many_bits(saved: tuple[TableSpec, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    came_back = [restored_or_told(*saved, tmp_path / str(seed), seed, caplog) for seed in range(FEW, MANY)]
    assert sum(came_back) < MANY / 10, "hardly a bit is without a meaning"
