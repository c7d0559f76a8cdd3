"""A run that was stopped or killed goes on as if nothing had happened."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kaimesh.contract.agent import BaseAgent
from kaimesh.contract.errors import MeshError
from kaimesh.training import checkpoint, state
from tests.forks import HEAVY
from tests.learner.toy import Bench, ToyAgent


def straight(tmp_path: Path, learns: int) -> np.ndarray:
    """The weights after `learns` learns in one go, on batches 0, 1, 2, ..."""
    bench = Bench(tmp_path / "straight")
    bench.trainer.start()
    bench.learn(learns)
    return bench.agent.weights


@pytest.mark.parametrize("before", [5, 7])
def test_k_learns_a_stop_and_the_rest_give_the_same_weights(tmp_path, before):
    first = Bench(tmp_path / "run")
    first.trainer.start()
    first.learn(before)
    first.trainer.close()
    first.meter.publish()
    second = Bench(tmp_path / "run", start=before)
    second.trainer.start()
    assert second.trainer.train_count == before
    assert second.published == [before]
    second.learn(12 - before)
    np.testing.assert_array_equal(second.agent.weights, straight(tmp_path, 12))
    assert second.meter.counters["learner_steps"] == 12


def test_without_its_training_state_the_result_differs(tmp_path):
    """Else the test above would prove nothing."""

    class Forgetful(ToyAgent):
        def load_training_state(self, path: str) -> None:
            assert (Path(path) / "momentum.npy").exists()

    first = Bench(tmp_path / "run")
    first.trainer.start()
    first.learn(5)
    second = Bench(tmp_path / "run", start=5, agent=Forgetful())
    second.trainer.start()
    second.learn(7)
    assert not np.array_equal(second.agent.weights, straight(tmp_path, 12))


def test_learns_after_the_last_dump_are_done_again_after_a_kill_and_counted(tmp_path):
    first = Bench(tmp_path / "run")
    first.trainer.start()
    first.learn(8)
    first.meter.publish()
    second = Bench(tmp_path / "run", start=5)
    second.trainer.start()
    assert second.trainer.train_count == 5
    assert second.meter.counters["learner_steps"] == 8  # never goes back
    second.learn(7)
    assert second.published == [5, 10]
    np.testing.assert_array_equal(second.agent.weights, straight(tmp_path, 12))


def test_a_damaged_newest_model_gives_way_to_the_one_before_and_ids_go_on_upwards(tmp_path, caplog):
    first = Bench(tmp_path / "run")
    first.trainer.start()
    first.learn(10)
    (first.run.ckpt / "model.ckpt-10.npy").write_bytes(b"torn")
    second = Bench(tmp_path / "run", start=5)
    second.trainer.start()
    assert "model.ckpt-10.npy is damaged" in caplog.text
    assert second.trainer.train_count == 11
    assert second.published == [11]
    second.learn(1)
    np.testing.assert_array_equal(second.agent.weights, straight(tmp_path, 6))


def test_a_vanished_newest_model_gives_way_too(tmp_path):
    first = Bench(tmp_path / "run")
    first.trainer.start()
    first.learn(10)
    (first.run.ckpt / "model.ckpt-10.npy").unlink()
    second = Bench(tmp_path / "run")
    second.trainer.start()
    assert second.published == [11]


def test_no_whole_model_is_an_error_that_says_what_to_do(tmp_path):
    first = Bench(tmp_path / "run")
    first.trainer.start()
    (first.run.ckpt / "model.ckpt-0.npy").unlink()
    with pytest.raises(MeshError, match=r"no model in .* is whole.*manifest.json"):
        Bench(tmp_path / "run").trainer.start()


def test_a_missing_training_state_is_a_warning(tmp_path, caplog):
    first = Bench(tmp_path / "run")
    first.trainer.start()
    first.learn(5)
    for id in state.ids(tmp_path / "run" / "training_state"):
        (tmp_path / "run" / "training_state" / str(id)).rename(tmp_path / f"gone{id}")
    second = Bench(tmp_path / "run")
    second.trainer.start()
    assert "no training state of model 5" in caplog.text
    assert second.trainer.train_count == 5


class Plain(BaseAgent):
    """No training state at all."""

    table = ToyAgent.table
    weights = 0.0

    def learn(self, list_sample_data):
        self.weights += float(list_sample_data.x.sum())

    def save_model(self, path=None, id="1"):
        Path(path, f"model.ckpt-{id}.txt").write_text(repr(self.weights))

    def load_model(self, path=None, id="1"):
        self.weights = float(Path(path, f"model.ckpt-{id}.txt").read_text())


@pytest.mark.parametrize("damage", ["agent/momentum.npy", "trainer.json"])
def test_a_damaged_training_state_gives_way_to_the_pair_before(tmp_path, damage, caplog):
    first = Bench(tmp_path / "run")
    first.trainer.start()
    first.learn(10)
    path = tmp_path / "run" / "training_state" / "10" / damage
    path.write_bytes(path.read_bytes()[:-2])
    second = Bench(tmp_path / "run", start=5)
    second.trainer.start()
    assert "is damaged" in caplog.text
    assert second.trainer.train_count == 11
    second.learn(1)
    np.testing.assert_array_equal(second.agent.weights, straight(tmp_path, 6))


def test_an_agent_without_training_state_resumes_with_its_weights(tmp_path):
    first = Bench(tmp_path / "run", agent=Plain())
    first.trainer.start()
    first.learn(5)
    second = Bench(tmp_path / "run", agent=Plain())
    second.trainer.start()
    assert second.agent.weights == first.agent.weights != 0.0


def test_resuming_wins_over_preloading(tmp_path):
    first = Bench(tmp_path / "run")
    first.trainer.start()
    first.learn(5)
    second = Bench(tmp_path / "run", preload_model=True, preload_model_dir="nowhere", preload_model_id=99)
    second.trainer.start()
    assert second.trainer.train_count == 5


def test_between_two_states_the_newest_pair_wins_and_ids_go_on_upwards(tmp_path):
    """Dumps at every learn, states at every fourth: a kill after 10 costs the two learns since 8, not the momentum."""
    first = Bench(tmp_path / "run", dump_model_freq=1, learn_s=0.26)
    first.trainer.start()
    first.learn(10)
    second = Bench(tmp_path / "run", start=8, dump_model_freq=1)
    second.trainer.start()
    assert second.published == [11]
    second.learn(4)
    assert second.published[-1] == 15
    np.testing.assert_array_equal(second.agent.weights, straight(tmp_path, 12))


def test_a_clean_end_leaves_a_pair_whatever_the_pace(tmp_path):
    first = Bench(tmp_path / "run", dump_model_freq=2, learn_s=0.01)
    first.trainer.start()
    first.learn(6)
    first.trainer.close()
    second = Bench(tmp_path / "run", start=6)
    second.trainer.start()
    assert second.published == [6]
    second.learn(6)
    np.testing.assert_array_equal(second.agent.weights, straight(tmp_path, 12))


CHILD = """
import sys
from pathlib import Path
from tests.learner.toy import Bench
bench = Bench(Path(sys.argv[1]), dump_model_freq=2, max_save_model_file_count=3, learn_s=float(sys.argv[2]))
bench.reader.numbers = (bench.agent.learns for _ in iter(int, 1))  # the batch of the learn that the weights are at
bench.trainer.start()
print(bench.trainer.train_count, flush=True)
while True:
    bench.learn(1)
"""


@pytest.mark.parametrize("learn_s", [1.0, 0.2])
def test_kill_9_at_any_moment_the_run_goes_on_from_the_newest_pair(tmp_path, learn_s):
    root, newest, done = tmp_path / "run", 0, 0
    for attempt in range(4):
        child = HEAVY.popen(["-c", CHILD, str(root), str(learn_s)])
        assert child.stdout is not None
        assert int(child.stdout.readline()) in (newest, newest + 1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.1 + 0.017 * attempt)
        child.send_signal(signal.SIGKILL)
        child.wait()
        models = checkpoint.models(root / "ckpt")
        for info in models:
            checkpoint.verify(root / "ckpt", info)
        assert models[-1].id >= newest
        newest = models[-1].id
        pair, saved = state.newest_pair(root / "ckpt", root / "training_state", True, logging.getLogger("test"))
        assert saved is not None
        assert newest - pair.id <= 6
        learns = int(np.load(saved.folder / "momentum.npy")[3])
        assert learns >= done
        done = learns
    resumed = Bench(root, start=done)
    resumed.trainer.start()
    resumed.learn(3)
    np.testing.assert_array_equal(resumed.agent.weights, straight(tmp_path, done + 3))
