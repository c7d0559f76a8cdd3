"""A disk that is full while the learner dumps: a clear error, and the last good model stays."""

from __future__ import annotations

import json
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaimesh import checkpoint
from tests.harness import Mesh

DISK = "12m"
LARGEST_FILE_BYTES = 2_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of a few megabytes; where nobody may mount one, files cannot grow beyond that instead."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, limits[1]))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_ends_the_run_with_words_and_keeps_the_last_model(small_disk: Path) -> None:
    mesh = Mesh(small_disk / "runs")
    try:
        done = mesh.start(
            "--wait",
            check=False,
            timeout_s=90,
            algo="replay",
            algo_conf="tests/mesh/agents/algo_conf.toml",
            app="catch",
            replay__fault="large_model",
            aisrv_count=1,
            aisrv_connect_to_kaiwu_env_count=1,
            learner_train_sleep_seconds=0.1,  # each dump reaches the pool and the actor
            max_restarts=0,
            max_save_model_file_count=5,
        )
        said = f"{done.stdout}\n{done.stderr}\n{mesh.logs()}"
        assert done.returncode == 1, said
        reason = json.loads(mesh.run.result.read_text())["reason"]
        found = re.search(r"no room for model (\d+) in .*it was not kept, the last good model stays: (\d+)\.", reason)
        assert reason.startswith("failed: learner_0"), reason
        assert found, reason
        assert "lower max_save_model_file_count or max_save_model_bytes" in reason
        last = checkpoint.models(mesh.run.ckpt)[-1]
        assert last.id == int(found[2]) < int(found[1])
        checkpoint.verify(mesh.run.ckpt, last)
        learns = int((mesh.run.ckpt / f"model.ckpt-{last.id}.txt").read_text().split()[0])
        assert learns == last.id
        assert not list(mesh.run.ckpt.glob(f"*{found[1]}*")), "nothing is left of the dump that failed"
    finally:
        mesh.stop()
