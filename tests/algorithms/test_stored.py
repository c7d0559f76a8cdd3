"""Models and training states that an earlier version wrote load, are written again as they were, and go on.

The files in `stored/` are those of version 0.1.0 (commit 1f4585c), after the two learns of `batch(algo, 0)` and
`batch(algo, 1)`; the models with id 3 come after that of `batch(algo, 2)`.

Shape legend: B trajectories, T steps; S numbers of an LSTM's state.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.contract.arrays import Batch
from kaimesh.contract.spaces import Spaces
from tests.algorithms.model_files import content_of

STORED = Path(__file__).parent / "stored"
SPACES = Spaces((5,), "<f4", "discrete", 3, legal_actions=True)
CONFIGS: dict[str, dict[str, Any]] = {
    "ppo": {"hidden_sizes": (8, 8), "normalize_observations": True, "epochs": 2, "minibatches": 2},
    "impala": {"hidden_sizes": (8,), "lstm_size": 4, "optimizer": "rmsprop"},
    "dqn": {"hidden_sizes": (8,), "atoms": 5, "normalize_observations": True, "target_rate": 0.1},
}
B, T = 6, 8


def batch(algo: str, seed: int) -> Batch:
    """Samples from random numbers alone: columns `[B, T(+1), ...]`."""
    rng = np.random.default_rng(seed)
    ends = rng.random((B, T)) < 0.2
    ends[:, 1:] &= ~ends[:, :-1]
    mask = np.ones((B, T), bool)
    mask[:, 1:] = ~ends[:, :-1]
    columns = {
        "obs": rng.standard_normal((B, T + 1, 5)).astype(np.float32),
        "legal_act": np.ones((B, T + 1, 3), bool),
        "action": rng.integers(0, 3, (B, T + 1)).astype(np.int32),
        "log_prob": -rng.uniform(0.5, 1.5, (B, T + 1)).astype(np.float32),
        "value": rng.standard_normal((B, T + 1)).astype(np.float32),
        "reward": rng.standard_normal((B, T)).astype(np.float32),
        "terminated": ends,
        "truncated": np.zeros((B, T), bool),
        "mask": mask,
    }
    if CONFIGS[algo].get("lstm_size"):
        columns["lstm"] = rng.standard_normal((B, 2 * CONFIGS[algo]["lstm_size"])).astype(np.float32)
    return Batch(columns)


def loaded(algo: str) -> Any:
    """A learner that goes on from the stored files."""
    agent = import_module(f"kaimesh.algorithms.{algo}.agent").Agent
    config = import_module(f"kaimesh.algorithms.{algo}.config").Config
    learner = agent("learner", config=config(**CONFIGS[algo]))
    learner.setup(SPACES)
    learner.load_model(str(STORED / algo), 2)
    learner.load_training_state(str(STORED / algo))
    return learner


@pytest.mark.parametrize("algo", CONFIGS)
def test_what_was_loaded_is_written_again_to_the_bit(algo: str, tmp_path: Path) -> None:
    learner = loaded(algo)
    learner.save_model(str(tmp_path), 2)
    learner.save_training_state(str(tmp_path))
    for name in ("model.ckpt-2.npz", "training.npz"):
        assert (tmp_path / name).read_bytes() == (STORED / algo / name).read_bytes(), name


@pytest.mark.parametrize("algo", CONFIGS)
def test_a_learn_goes_on_as_it_did(algo: str, tmp_path: Path) -> None:
    """To the last bits, which another kind of processor may round otherwise."""
    learner = loaded(algo)
    learner.learn(batch(algo, 2))
    learner.save_model(str(tmp_path), 3)
    (header, found), (wanted_header, wanted) = (
        content_of(folder / "model.ckpt-3.npz") for folder in (tmp_path, STORED / algo)
    )
    assert header == wanted_header
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-7, err_msg=name)
