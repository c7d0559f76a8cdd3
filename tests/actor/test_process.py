"""What the process loads, and TensorFlow in it: one trace, whatever the batch sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.actor.batcher import Batcher
from kaimesh.contract.arrays import Batch
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.meter import Meter

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("kaimesh.actor.client", {"tensorflow", "reverb", "grpc", "gymnasium", "learner", "buffer", "aisrv"}),
        ("kaimesh.actor.service", {"tensorflow", "reverb", "gymnasium", "learner", "buffer", "aisrv"}),
        ("benchmarks.predict", {"tensorflow", "reverb"}),
    ],
)
def test_nothing_heavy_is_imported(module: str, forbidden: set[str]) -> None:
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "numpy" in loaded
    assert not loaded & forbidden


@pytest.mark.parametrize("padded", [True, False])
def test_no_batch_size_retraces(padded: bool) -> None:
    import tensorflow as tf

    class Agent:
        pad_batches = padded
        traces = 0

        def __init__(self) -> None:
            weights = tf.constant(np.eye(3, dtype=np.float32))
            signature = None if padded else [tf.TensorSpec([None, 3], tf.float32)]

            @tf.function(input_signature=signature)
            def forward(x: Any) -> Any:
                Agent.traces += 1
                return tf.matmul(x, weights)

            self._forward = forward

        def predict(self, list_obs_data: Batch) -> dict[str, np.ndarray]:
            return {"value": self._forward(tf.constant(list_obs_data.obs)).numpy()}

    batcher = Batcher(read_agent(Agent()), max_rows=12, meter=Meter("actor_0"))
    for size in (*range(1, 13), 5, 1, 12):
        obs = np.random.default_rng(size).normal(size=(size, 3)).astype(np.float32)
        np.testing.assert_array_equal(batcher.predict([Batch({"obs": obs})])[0].value, obs)
    assert Agent.traces == (5 if padded else 1)  # 1, 2, 4, 8, 12
