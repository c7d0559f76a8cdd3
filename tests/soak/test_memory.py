"""Nothing grows with the work: a mesh of small batches does 24,000 learns, each with a dump, a push and a swap.

The first 4,000 fill what has a fixed size (tables, histories, allocators). From then on each process's anonymous memory
may rise by MOST_BYTES; before the leak was closed the learner's rose by 40 MB or more. The run directory, open
files and threads must not grow.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest

from benchmarks.soak import Sample, look
from tests.harness import Mesh

WARM_UP, LEARNS = 4_000, 20_000
MOST_BYTES = 4 << 20  # 0.2 kB a learn
MOST_DISK_BYTES = 16 << 20  # curves: some 4 kB each report_seconds, and 0.5 kB that diy writes each learn
MOST_S = 3_600
EVERY_S = 2.0
SETTINGS = {  # many small learns
    "aisrv_count": 1,
    "aisrv_connect_to_kaiwu_env_count": 8,
    "train_batch_size": 2,
    "replay_buffer_capacity": 64,
    "preload_ratio": 0.5,
    "dump_model_freq": 1,
    "model_file_sync_per_minutes": 0,
    "model_file_load_per_minutes": 0,
}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "ppo": {"ppo__unroll_length": 8, "ppo__epochs": 1, "ppo__minibatches": 1, "ppo__normalize_observations": "true"},
    "impala": {"impala__unroll_length": 8, "replay_share": 0.5, "replay_share_capacity": 64},
    "dqn": {"dqn__unroll_length": 8, "reverb_sampler": "reverb.selectors.Prioritized"},
    "target_dqn": {"target_dqn__unroll_length": 8},
    "diy": {"diy__TRAJECTORY": 8, "diy__EPOCHS": 1},
}


@pytest.mark.long
@pytest.mark.timeout(MOST_S + 300)
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_nothing_grows_with_the_learns(algo: str, mesh: Mesh) -> None:
    mesh.start("--detach", algo=algo, **{**SETTINGS, **ALGORITHMS[algo]})
    samples = [sample for sample in sampled(mesh) if sample["learns"] >= WARM_UP]
    many = max(3, len(samples) // 10)
    first, last = samples[:many], samples[-many:]
    assert last[-1]["learns"] - first[0]["learns"] > 0.9 * LEARNS
    told = {}
    for name, now in last[-1]["processes"].items():
        assert {sample["processes"][name]["pid"] for sample in samples} == {now["pid"]}, f"{name} was started again"
        told[name] = {
            key: middle(last, name, key) - middle(first, name, key) for key in ("anonymous", "files", "threads")
        }
    disk = statistics.median(s["disk_bytes"] for s in last) - statistics.median(s["disk_bytes"] for s in first)
    print(f"{algo}: {last[-1]['learns'] - first[0]['learns']:,} learns, run directory {disk:+,.0f} bytes, {told}")
    grown = {
        name: by for name, by in told.items() if by["anonymous"] > MOST_BYTES or by["files"] > 2 or by["threads"] > 2
    }
    assert not grown
    assert disk < MOST_DISK_BYTES


def sampled(mesh: Mesh) -> list[Sample]:
    """Samples until enough was learned."""
    samples, deadline = [], time.monotonic() + MOST_S
    while not samples or samples[-1]["learns"] < WARM_UP + LEARNS:
        assert time.monotonic() < deadline, f"only {samples[-1:]} after {MOST_S} s\n{mesh.logs()}"
        if (sample := look(mesh.run)) is not None:
            samples.append(sample)
        assert mesh.living(), mesh.logs()
        time.sleep(EVERY_S)
    return samples


def middle(samples: list[Sample], name: str, key: str) -> float:
    """The median of what one process had."""
    return float(statistics.median(sample["processes"][name][key] for sample in samples))
