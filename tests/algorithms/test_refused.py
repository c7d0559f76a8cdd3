"""Models and training states with wrong arrays or numbers are refused whole: what an agent had before stays."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.contract.errors import AgentError
from tests.algorithms.model_files import changed, content_of, write
from tests.algorithms.test_stored import CONFIGS, STORED, batch, loaded

WRONG = sorted(changed(np.ones((2, 2), np.float32)))
HEADERS: dict[str, Any] = {
    "no updates": {"updates": None},
    "words": {"updates": "7"},
    "below 0": {"updates": -1},
    "a fraction": {"updates": 1.5},
    "yes": {"updates": True},
    "no generator": {"act_rng": None},
    "another generator": {"act_rng": np.random.Generator(np.random.MT19937(0)).bit_generator.state["bit_generator"]},
    "an empty generator": {"act_rng": {"bit_generator": "PCG64"}},
    "a generator of words": {"act_rng": {"bit_generator": "PCG64", "state": {"state": "a", "inc": 1}}},
    "a generator out of range": {
        "act_rng": {"bit_generator": "PCG64", "state": {"state": 2**200, "inc": -1}, "has_uint32": 0, "uinteger": 0}
    },
}


@pytest.fixture(scope="module")
def learners() -> dict[str, Any]:
    return {algo: loaded(algo) for algo in CONFIGS}


def everything(agent: Any, folder: Path) -> tuple[bytes, bytes]:
    """What the agent would write now: its model and its training state."""
    folder.mkdir(exist_ok=True)
    agent.save_model(str(folder), 9)
    agent.save_training_state(str(folder))
    return (folder / "model.ckpt-9.npz").read_bytes(), (folder / "training.npz").read_bytes()


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("algo", CONFIGS)
def test_of_a_model(algo: str, how: str, learners: dict[str, Any], tmp_path: Path) -> None:
    """Each array in turn; nothing is assigned before the last one was looked at."""
    learner, before = learners[algo], everything(learners[algo], tmp_path / "before")
    header, arrays = content_of(STORED / algo / "model.ckpt-3.npz")  # other weights than the learner has
    for name in arrays:
        wrong, words = changed(arrays[name])[how]
        found = {**arrays, name: wrong} if wrong is not None else {key: arrays[key] for key in arrays if key != name}
        write(tmp_path / "model.ckpt-3.npz", header, found)
        with pytest.raises(AgentError) as told:
            learner.load_model(str(tmp_path), 3)
        assert words in str(told.value)
        assert repr(name) in str(told.value)
    assert everything(learner, tmp_path / "after") == before


@pytest.mark.parametrize("algo", CONFIGS)
def test_of_a_training_state(algo: str, learners: dict[str, Any], tmp_path: Path) -> None:
    learner, before = learners[algo], everything(learners[algo], tmp_path / "before")
    header, arrays = content_of(STORED / algo / "training.npz")
    floats = [name for name in arrays if arrays[name].dtype == np.float32]
    for name, how in itertools.product([floats[0], floats[-1]], WRONG):
        wrong, words = changed(arrays[name] if arrays[name].ndim else arrays[name][None])[how]
        if wrong is not None and np.shape(wrong) == arrays[name].shape and np.asarray(wrong).dtype == np.float32:
            continue  # a scalar in the place of a scalar
        found = {**arrays, name: wrong} if wrong is not None else {key: arrays[key] for key in arrays if key != name}
        write(tmp_path / "training.npz", header, found)
        with pytest.raises(AgentError, match="does not fit this run") as told:
            learner.load_training_state(str(tmp_path))
        assert words in str(told.value)
    for wrong in HEADERS.values():
        write(tmp_path / "training.npz", {**header, **wrong}, arrays)
        with pytest.raises(AgentError, match="is damaged"):
            learner.load_training_state(str(tmp_path))
    assert everything(learner, tmp_path / "after") == before


def test_an_array_of_another_network_is_named(learners: dict[str, Any], tmp_path: Path) -> None:
    header, arrays = content_of(STORED / "ppo" / "model.ckpt-3.npz")
    write(tmp_path / "model.ckpt-3.npz", header, {**arrays, "more": np.ones(3, np.float32)})
    with pytest.raises(AgentError, match="has an array 'more', which this network has not"):
        learners["ppo"].load_model(str(tmp_path), 3)
    learners["ppo"].learn(batch("ppo", 2))  # and it still learns
