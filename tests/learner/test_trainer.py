"""Training without a mesh: dumps, metrics, failures, user saves, each trigger rule."""

from __future__ import annotations

import errno
import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import KEY, MODEL_VERSION, PRIORITY, REPLAYED, RUN_ID
from kaimesh.contract.errors import AgentError, ConfigError, MeshError, PeerError, Refused
from kaimesh.training import checkpoint
from tests.learner.toy import BATCH, Bench, ToyAgent


class ReplayAgent(ToyAgent):
    table = TableSpec(kind="replay")


def ids(folder: Path) -> list[int]:
    return [info.id for info in checkpoint.models(folder)]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.trainer.start()
    return bench


# Dumps


def test_the_fresh_agent_is_dumped_as_0_and_then_every_dump_model_freq(bench):
    assert bench.published == [0]
    bench.learn(11)
    assert bench.published == [0, 5, 10]
    assert ids(bench.run.ckpt) == [0, 5, 10]
    bench.trainer.close()
    assert bench.published == [0, 5, 10, 11]
    for info in checkpoint.models(bench.run.ckpt):
        checkpoint.verify(bench.run.ckpt, info)


def test_close_without_news_dumps_nothing(bench):
    bench.learn(5)
    bench.trainer.close()
    assert bench.published == [0, 5]


def test_close_before_start_is_quiet(tmp_path):
    bench = Bench(tmp_path)
    bench.trainer.close()
    assert bench.published == []


def test_old_dumps_and_states_go(tmp_path):
    bench = Bench(tmp_path, dump_model_freq=1, max_save_model_file_count=3)
    bench.trainer.start()
    bench.learn(9)
    assert ids(bench.run.ckpt) == [7, 8, 9]
    assert sorted(path.name for path in (tmp_path / "training_state").iterdir()) == ["8", "9"]


def test_frequent_dumps_wait_for_the_disk_and_carry_the_state_now_and_then_only(tmp_path, monkeypatch):
    synced, stated = [], []
    monkeypatch.setattr(checkpoint, "sync", lambda path: synced.append(path.name))
    bench = Bench(tmp_path, dump_model_freq=1, learn_s=0.26, max_save_model_file_count=3)
    bench.agent.save_training_state = lambda path: stated.append(bench.trainer.train_count)
    bench.trainer.start()
    bench.learn(42)
    assert [name for name in synced if name.startswith("model")] == ["model.ckpt-0.npy", "model.ckpt-39.npy"]
    assert stated == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 39]
    assert ids(bench.run.ckpt) == [36, 39, 40, 41, 42]  # those with a state stay besides the newest three
    bench.trainer.close()
    assert ids(bench.run.ckpt) == [36, 39, 40, 41, 42]


def test_the_last_dump_waits_for_the_disk(bench, monkeypatch):
    synced = []
    monkeypatch.setattr(checkpoint, "sync", lambda path: synced.append(path.name))
    bench.learn(7)
    bench.trainer.close()
    assert [name for name in synced if name.startswith("model")] == ["model.ckpt-7.npy"]


def test_counters_gauges_and_phases(bench):
    bench.reader.version = -3
    bench.learn(2)
    snapshot = bench.meter.snapshot()
    assert snapshot["counters"]["learner_steps"] == 2
    assert snapshot["counters"]["policy_lag_sum"] == 3 + 4
    assert snapshot["counters"]["policy_lag_count"] == 2
    assert snapshot["gauges"]["policy_lag"] == 4
    assert snapshot["gauges"]["learn/loss"] == pytest.approx(float(np.square(bench.agent.weights).sum()))
    assert snapshot["model_version"] == 0
    assert snapshot["state"] == "working"
    assert set(snapshot["phases"]) == {"wait", "learn", "dump"}


def test_the_lag_of_replayed_samples_is_counted_apart_and_their_priorities_go_back(tmp_path):
    agent = ToyAgent()
    agent.metrics = {"loss": 1.0, PRIORITY: np.arange(1.0, 1 + BATCH)}
    bench = Bench(tmp_path, agent=agent, endless=False)
    bench.trainer.start()
    given = []
    bench.reader.prioritise = lambda batch, priorities: given.append((batch.columns[KEY], priorities))
    again = np.array([False, False, False, True])
    versions, key = np.array([-1, -2, -3, -40]), np.arange(BATCH, dtype=np.uint64)
    columns = {"x": np.zeros((BATCH, 3)), MODEL_VERSION: versions, RUN_ID: key, REPLAYED: again, KEY: key}
    bench.reader.next_batch = lambda timeout_s: Batch(columns)  # ToyAgent sees that it gets x alone
    bench.learn(1)
    assert bench.meter.gauges["policy_lag"] == 2
    assert bench.meter.gauges["policy_lag_replayed"] == 40
    assert bench.meter.counters["policy_lag_sum"] == 2
    assert bench.meter.counters["samples_replayed"] == 1
    np.testing.assert_array_equal(given[0], [key, [1, 2, 3, 4]])
    bench.trainer.close()
    assert curve(bench, "policy_lag_replayed") == [1]  # at learn 1


def test_curves_are_written_once_an_interval(tmp_path):
    bench = Bench(tmp_path, report_seconds=10, learn_s=0.0)
    bench.trainer.start()
    bench.learn(3)
    bench.clock.sleep(9.99)
    bench.clock.sleep(0.02)
    bench.learn(2)
    bench.trainer.close()
    assert curve(bench, "learn/loss") == [4, 5]
    assert curve(bench, "policy_lag") == [4, 5]


def curve(bench: Bench, tag: str) -> list[int]:
    """The steps of a scalar in an event file: records of u64 length, u32 checksum, the event, u32 checksum."""
    (path,) = (bench.run.tensorboard / "learner").iterdir()
    data, steps = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        event = Event.FromString(data[12 : 12 + length])
        steps += [event.step for value in event.summary.value if value.tag == tag]
        data = data[16 + length :]
    return steps


# What agents do wrong


def test_an_agent_that_raises_ends_training_with_its_traceback_and_nothing_is_dumped(bench):
    bench.learn(7)
    bench.agent.fails = KeyError("advantage")
    with pytest.raises(AgentError, match=r"learner: Agent.learn raised KeyError: 'advantage'") as caught:
        bench.trainer.step(0.1)
    assert caught.value.__cause__ is bench.agent.fails
    bench.trainer.close()
    assert bench.published == [0, 5]


def test_an_agent_that_exits_is_an_agent_that_raises(bench):
    bench.agent.fails = SystemExit(1)
    with pytest.raises(AgentError, match="SystemExit"):
        bench.trainer.step(0.1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), np.array(np.nan)])
def test_a_metric_that_is_not_finite_ends_training_and_is_not_dumped(bench, value):
    bench.learn(7)
    bench.agent.metrics = {"fine": 1.0, "value_loss": value}
    with pytest.raises(AgentError, match=r"value_loss = -?(nan|inf) at learn 8.*nothing after learn 5 was dumped"):
        bench.trainer.step(0.1)
    bench.trainer.close()
    assert bench.published == [0, 5]


@pytest.mark.parametrize("metrics", [[1.0], 3.0, {"loss": "low"}, {"loss": np.zeros(2)}, {"loss": None}])
def test_metrics_that_are_no_numbers_are_told(bench, metrics):
    bench.agent.metrics = metrics
    with pytest.raises(AgentError, match=r"Agent.learn returned"):
        bench.trainer.step(0.1)


def test_no_metrics_at_all_is_fine(bench):
    bench.agent.metrics = {}
    bench.learn(1)


def test_a_save_that_raises_is_the_agents_error(bench):
    bench.learn(4)
    bench.trainer._training._save_model = lambda path, id: 1 / 0
    with pytest.raises(AgentError, match=r"learner: Agent.save_model raised ZeroDivisionError"):
        bench.trainer.step(0.1)
    assert ids(bench.run.ckpt) == [0]


def test_a_full_disk_names_the_keys_and_the_last_good_model_stays(bench):
    bench.learn(9)

    def full(path: str, id: int) -> None:
        Path(path, f"model.ckpt-{id}.npy").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    bench.trainer._training._save_model = full
    with pytest.raises(MeshError, match=r"last good model stays: 5.*max_save_model_bytes") as caught:
        bench.trainer.step(0.1)
    assert not isinstance(caught.value, AgentError)  # the supervisor may try again: the disk may have room by then
    assert ids(bench.run.ckpt) == [0, 5]
    assert bench.published == [0, 5]


def test_a_full_disk_while_saving_the_training_state(bench):
    bench.learn(4)

    def full(_path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    bench.agent.save_training_state = full
    with pytest.raises(MeshError, match=r"training state of model 5.*last good model stays: 0"):
        bench.trainer.step(0.1)
    assert sorted(path.name for path in (bench.run.root / "training_state").iterdir()) == ["0"]


# Saves that users ask for


def test_a_user_save_goes_to_user_ckpt_and_not_to_the_pool(bench):
    bench.learn(3)
    assert bench.trainer.user_save() == 3
    assert ids(bench.run.user_ckpt) == [3]
    assert bench.published == [0]
    np.testing.assert_array_equal(np.load(bench.run.user_ckpt / "model.ckpt-3.npy"), bench.agent.weights)


def test_the_limit_of_user_saves_holds_over_restarts(tmp_path):
    first = Bench(tmp_path, user_save_mode_max_count=2)
    first.trainer.start()
    first.trainer.user_save()
    first.meter.publish()
    second = Bench(tmp_path, user_save_mode_max_count=2)
    second.trainer.start()
    second.trainer.user_save()
    with pytest.raises(Refused, match=r"2 models were saved.*user_save_mode_max_count = 2.*set 0"):
        second.trainer.user_save()


@pytest.mark.parametrize("most", [0, -1])
def test_no_limit(tmp_path, most):
    bench = Bench(tmp_path, user_save_mode_max_count=most)
    bench.trainer.start()
    for _ in range(5):
        bench.learn(1)
        bench.trainer.user_save()
    assert ids(bench.run.user_ckpt) == [1, 2, 3, 4, 5]


class SavesItself(ToyAgent):
    """As some users do: a save from inside learn, on the very first one too."""

    def learn(self, list_sample_data):
        self.save_model()
        self.save_model(path="elsewhere", id="9")
        return super().learn(list_sample_data)


def test_a_save_from_inside_learn_gets_the_meshs_path_and_id(tmp_path, caplog):
    bench = Bench(tmp_path, agent=SavesItself(), user_save_mode_max_count=3)
    bench.trainer.start()
    bench.learn(2)
    assert ids(bench.run.user_ckpt) == [0, 1]
    assert "user_save_mode_max_count = 3" in caplog.text  # the fourth: told, and training went on
    assert not Path("None").exists()


# Preloading


def test_preload_counts_on_from_the_models_id(tmp_path):
    old = ToyAgent()
    old.weights = np.array([1.0, 2.0, 3.0])
    (tmp_path / "old").mkdir()
    old.save_model(str(tmp_path / "old"), 40)
    bench = Bench(tmp_path / "run", preload_model=True, preload_model_dir=str(tmp_path / "old"), preload_model_id=40)
    bench.trainer.start()
    np.testing.assert_array_equal(bench.agent.weights, [1.0, 2.0, 3.0])
    assert bench.published == [40]
    bench.learn(5)
    assert bench.published == [40, 45]


def test_agent_name_in_preload_model_dir_is_the_agents_folder(tmp_path, monkeypatch):
    (tmp_path / "toy" / "ckpt").mkdir(parents=True)
    ToyAgent().save_model(str(tmp_path / "toy" / "ckpt"), 3)
    monkeypatch.chdir(tmp_path)
    bench = Bench(tmp_path / "run", preload_model=True, preload_model_dir="{agent_name}/ckpt", preload_model_id=3)
    bench.trainer.start()
    assert bench.trainer.train_count == 3


def test_a_preload_model_that_is_not_there(tmp_path):
    bench = Bench(tmp_path, preload_model=True, preload_model_dir=str(tmp_path), preload_model_id=3)
    with pytest.raises(ConfigError, match=r"no model.ckpt-3.*preload_model_dir"):
        bench.trainer.start()


# When to learn


def test_while_true_learns_on_every_batch(tmp_path):
    bench = Bench(tmp_path, endless=False)
    bench.trainer.start()
    bench.reader.put(BATCH - 1)
    assert not bench.trainer.step(0.5)
    assert bench.blocked_on == f"buffer: too few samples for a batch of {BATCH} (3 in the table)"
    bench.reader.put(2 * BATCH + 1)
    bench.learn(3)
    assert not bench.trainer.step(0.5)
    assert bench.meter.snapshot()["state"] == "waiting"


def test_a_step_waits_no_longer_than_it_may(tmp_path):
    bench = Bench(tmp_path, endless=False, learner_train_sleep_seconds=60)
    bench.trainer.start()
    bench.reader.put(3 * BATCH)
    bench.learn(1)
    before = bench.clock()
    assert not bench.trainer.step(0.5)
    assert 0.5 <= bench.clock() - before < 0.52
    assert bench.blocked_on.startswith("learner_train_sleep_seconds: 59.")


def test_learner_train_sleep_seconds_paces_the_learns(tmp_path):
    bench = Bench(tmp_path, learner_train_sleep_seconds=2.0)
    bench.trainer.start()
    times = []
    while len(times) < 4:
        if bench.trainer.step(0.5):
            times.append(bench.clock())
    assert np.diff(times) == pytest.approx([2.0] * 3, abs=0.02)


def test_a_replay_table_fills_to_the_preload_threshold_first(tmp_path):
    bench = Bench(tmp_path, endless=False, agent=ReplayAgent(), preload_ratio=0.5)
    bench.trainer.start()
    bench.reader.put(49)
    assert not bench.trainer.step(0.1)
    assert bench.blocked_on == "buffer: 49 of 50 samples (preload_ratio)"
    bench.reader.put(1)
    bench.learn(1)


def test_a_queue_needs_no_preload(tmp_path):
    bench = Bench(tmp_path, endless=False, preload_ratio=1.0)
    bench.trainer.start()
    bench.reader.put(BATCH)
    bench.learn(1)


def test_by_ratio_each_sample_is_used_production_consume_ratio_times(tmp_path):
    bench = Bench(
        tmp_path,
        agent=ReplayAgent(),
        learner_train_by_while_true=False,
        production_consume_ratio=2,
        preload_ratio=0.2,
    )
    bench.trainer.start()
    bench.reader.put(20)  # the preload
    learns = 0
    while bench.trainer.step(0.02):
        learns += 1
    assert learns == 1
    assert bench.blocked_on == "buffer: 2 more new samples (production_consume_ratio)"
    for _ in range(50):
        bench.reader.put(3)
        while bench.trainer.step(0.02):
            learns += 1
    assert learns - 1 == 150 * 2 / BATCH


def test_by_ratio_replayed_samples_come_on_top(tmp_path):
    bench = Bench(tmp_path, learner_train_by_while_true=False, replay_share=0.5)
    bench.trainer.start()
    bench.learn(1)
    assert not bench.trainer.step(0.02)
    assert bench.blocked_on == "buffer: 2 more new samples (production_consume_ratio)"
    bench.reader.put(2)
    bench.learn(1)


def test_by_ratio_goes_on_after_the_buffer_began_anew(tmp_path):
    bench = Bench(tmp_path, agent=ReplayAgent(), learner_train_by_while_true=False, preload_ratio=0.2)
    bench.trainer.start()
    bench.reader.put(1000)
    bench.learn(1)
    bench.reader.total = 0
    bench.reader.put(3)
    bench.learn(1)  # counting begins here
    assert not bench.trainer.step(0.02)
    bench.reader.put(BATCH)
    bench.learn(1)


def on_policy(root: Path) -> Bench:
    bench = Bench(root, endless=False, algorithm_on_policy_or_off_policy="on-policy", dump_model_freq=1)
    bench.trainer.start()
    return bench


def test_on_policy_learns_from_rows_of_the_current_model_only(tmp_path):
    bench = on_policy(tmp_path)
    bench.reader.put(BATCH, version=0)
    bench.learn(1)
    bench.reader.put(2, version=1)
    bench.reader.put(3, version=0)
    bench.reader.put(1, version=1)
    bench.reader.put(2, version=0)
    assert not bench.trainer.step(0.1)
    assert bench.blocked_on == f"buffer: 3 of {BATCH} samples of model 1"
    bench.reader.put(3, version=0)
    bench.reader.put(1, version=1)
    bench.learn(1)
    assert [int(value) for value in bench.agent.learned[1][:, 0]] == [4, 5, 9, 15]
    assert bench.meter.counters["samples_stale"] == 8
    assert bench.meter.gauges["policy_lag"] == 0


def test_on_policy_every_learn_is_dumped_and_published_and_the_buffer_emptied(tmp_path):
    bench = on_policy(tmp_path)
    bench.reader.put(BATCH, version=0)
    bench.learn(1)
    assert bench.published == [0, 1]
    assert bench.reader.drops == 0  # nothing was left: nothing to empty
    bench.reader.put(BATCH + 3, version=1)
    bench.learn(1)
    assert bench.published == [0, 1, 2]
    assert bench.reader.drops == 1
    assert bench.reader.rows == []
    assert bench.meter.counters["samples_stale"] == 3
    assert bench.meter.gauges["version"] == 2


def test_on_policy_it_says_how_many_samples_it_lacks_and_who_waits_for_whom(tmp_path, caplog):
    bench = on_policy(tmp_path)
    assert bench.trainer.samples_short == 0
    bench.reader.batch = 1
    bench.reader.put(BATCH - 1, version=0)
    assert not bench.trainer.step(5.0)
    assert bench.trainer.samples_short == 1
    for _ in range(5):
        assert not bench.trainer.step(5.0)
    said = [record.getMessage() for record in caplog.records if "on-policy" in record.getMessage()]
    said = [text for text in said if "are missing" in text]
    assert len(said) == 1, said
    assert f"1 samples of model 0 are missing for a batch of {BATCH}" in said[0]
    assert "waits for model 1" in said[0]
    bench.reader.put(1, version=0)
    bench.learn(1)
    assert bench.trainer.samples_short == 0
    bench.reader.put(2, version=1)
    assert not bench.trainer.step(1.0)
    bench.trainer.close()
    assert bench.meter.counters["samples_unfinished"] == 2


def test_on_policy_a_flood_of_stale_rows_does_not_hold_a_step_for_ever(tmp_path):
    bench = on_policy(tmp_path)
    bench.reader.endless, bench.reader.version = True, -1
    original = bench.reader.next_batch

    def slow(timeout_s: float):
        bench.clock.sleep(0.01)
        return original(timeout_s)

    bench.reader.next_batch = slow
    assert not bench.trainer.step(0.1)


def test_a_buffer_that_does_not_answer_is_waited_for(tmp_path):
    bench = Bench(tmp_path, endless=False)
    bench.trainer.start()
    bench.reader.error = PeerError("127.0.0.1:9999 does not answer")
    assert not bench.trainer.step(0.3)
    assert bench.blocked_on == "buffer: 127.0.0.1:9999 does not answer"
    bench.reader.error = None
    bench.reader.put(BATCH)
    bench.learn(1)


def test_the_active_trigger_is_logged_once(tmp_path, caplog):
    caplog.set_level("INFO")
    bench = Bench(tmp_path)
    bench.trainer.start()
    bench.learn(3)
    assert caplog.text.count("training trigger: off-policy, while true") == 1
