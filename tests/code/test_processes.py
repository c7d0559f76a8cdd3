"""What a process makes of a folder's agent: its arguments, what learn gets, local training, numbers, the logger."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kaimesh import ROOT
from kaimesh.aisrv.local import train_in_place
from kaimesh.config import load
from kaimesh.config.code import Code, overlay
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.structs import create_cls
from kaimesh.contract.user_agent import read_foreign
from kaimesh.operate.cli.evaluating import model_of
from kaimesh.process import foreign, hosting
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter
from kaimesh.process.numbers import TrainingNumbers, numbers_of
from kaimesh.process.run_dir import RunDir
from kaimesh.process.users_logger import UsersLogger
from tests.code.sample import g1, later, write


@pytest.fixture(autouse=True)
def _nothing_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaimesh.contract.structs._protocol", {})


class Table:
    """A tabular agent that never calls a base class, and exits where a file is missing."""

    def __init__(self, agent_type: str = "", device: Any = None, logger: Any = None, monitor: Any = None) -> None:
        assert logger is not None
        assert monitor is not None
        self.agent_type, self.device, self.setup = agent_type, device, "of its own"
        self.q, self.seen = np.zeros(3), list[Any]()

    def predict(self, list_obs_data: Any) -> Any:
        return [int(self.q.argmax())]

    exploit = predict

    def learn(self, list_sample_data: Any) -> Any:
        self.seen.append(list_sample_data)
        self.q += 1
        return {"loss": float("nan"), "count": len(self.seen), "text": "x"} if len(self.seen) < 3 else 3.5

    def save_model(self, path: Any = None, id: Any = "1") -> None:
        np.save(f"{path}/model.ckpt-{id}.npy", self.q)

    def load_model(self, path: Any = None, id: Any = "1") -> None:
        try:
            self.q = np.load(f"{path}/model.ckpt-{id}.npy")
        except FileNotFoundError:
            exit(1)


def context(tmp_path: Path) -> Context:
    code = Code.read(g1(tmp_path / "root", conf='wrapper_type = "local"\n'))
    config = load(code.conf, {"dump_model_freq": "2", "user_save_mode_max_count": "1"}, {}, code=code)
    run = RunDir(tmp_path / "run")
    run.prepare()
    logger = logging.getLogger("test")
    return Context("aisrv_0", 0, config, run, "", 1, Meter("aisrv_0"), logger, threading.Event())


def test_local_training_takes_anything_and_answers_pairs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = context(tmp_path)
    agent: Any = Table("learner", None, logging.getLogger(), Monitor(lambda _name, _value: None))
    training = train_in_place(read_foreign(agent), where, pairs=True)
    assert agent.predict([None], framework=True) == ([0], 0)
    for data in ([None], {"1": [2]}, np.ones(2), [], None, {}):
        agent.learn(data)
    agent.send_sample_data([None])
    assert len(agent.seen) == 4
    assert agent.predict([None])[1] == training.train_count == 4
    agent.save_model(path="/nowhere", id="x")
    agent.save_model()
    assert [path.name for path in where.run.user_ckpt.glob("model.*")] == ["model.ckpt-4.npy"]
    agent.load_model(id="latest")
    assert agent.q[0] == 4
    agent.load_model(id=77)
    assert agent.q[0] == 4
    training.close()
    said = caplog.text
    assert "called exit(1); the agent keeps its weights" in said
    assert said.count("metric 'loss' is nan, no finite number") == 1
    assert agent.setup == "of its own"


def test_the_constructors_arguments_and_what_the_definition_has(monkeypatch: pytest.MonkeyPatch) -> None:
    definition: Any = ModuleType("mine.feature.definition")
    definition.NumpyData2SampleData = lambda row: row
    definition.NumpyData2SampleData.__name__ = "NumpyData2SampleData"
    for name in ("mine", "mine.feature"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "mine.feature.definition", definition)
    user = foreign.make(lambda _path: Table, "mine.agent.Agent", "actor", "cpu", None, None)
    agent: Any = user.agent
    assert agent.agent_type == "actor"
    assert str(agent.device) == "cpu"
    assert foreign.protocol("NumpyData2SampleData") is definition.NumpyData2SampleData
    assert (user.sequential_predict, user.proves_batches, user.prepared) == (True, True, None)


def test_learn_gets_a_list_of_the_users_structs() -> None:
    sample = create_cls("SampleData", obs=2, reward=1)
    found: list[Any] = []
    call = foreign._given_lists(found.append, tensors=False)
    call(Batch({"obs": np.ones((3, 2), np.float32), "reward": np.zeros((3, 1), np.float32)}, sample))
    assert isinstance(found[0], list)
    assert isinstance(found[0][2], sample)
    assert found[0][2].obs.tolist() == [1, 1]
    call({"any": 1})
    assert found[1] == {"any": 1}


def test_learn_gets_tensors_where_they_are_stacked() -> None:
    torch = pytest.importorskip("torch")
    sample = create_cls("SampleData", obs=2)
    found: list[Any] = []
    foreign._given_lists(found.append, tensors=True)(Batch({"obs": np.ones((3, 2), np.float32)}, sample))
    assert torch.stack([one.obs for one in found[0]]).shape == (3, 2)
    assert np.stack([one.obs for one in found[0]]).shape == (3, 2)


def test_where_generation_3_learns(tmp_path: Path) -> None:
    base = "from kaiwudrl.interface.agent import BaseAgent\nclass Agent(BaseAgent): pass\n"
    for line, wanted in (("agent.learn([1])", "local"), ("agent.send_sample_data([1])", "remote")):
        root = write(later(tmp_path / wanted, "agent", line), {"agent_ppo/agent.py": base})
        code = Code.read(root, app="catch")
        assert load(code.conf, {}, {}, code=code).app.wrapper_type == wanted


def test_the_model_that_is_evaluated(tmp_path: Path) -> None:
    root = g1(tmp_path / "root", conf='run_mode = "eval"\neval_model_dir = "/data/ckpt/x/"\neval_model_id = "12"\n')
    code = Code.read(root)
    config = load(code.conf, {}, {}, code=code)
    with pytest.raises(ConfigError, match=r"there is no model.ckpt-12"):
        model_of(config)
    write(root, {"ckpt/model.ckpt-12.pkl": "", "ckpt/model.ckpt-120.pkl": ""})
    assert model_of(config) == root / "ckpt/model.ckpt-12.pkl"
    write(root, {"diy/best/model.ckpt-12.pkl": ""})
    for named in ("diy/best", "/data/projects/game/diy/best", str(root / "diy/best")):
        config = load(code.conf, {"eval_model_dir": named}, {}, code=code)
        assert model_of(config) == root / "diy/best/model.ckpt-12.pkl"


def test_numbers_of_the_training(tmp_path: Path) -> None:
    statuses = [
        {"counters": {"learner_steps": 7, "samples_learned": 70}, "gauges": {"learn/loss": 0.5, "size": 3}},
        {"counters": {"inserted": 35, "episodes": 2, "models_loaded": 4, "predictions": 9}},
        {"gauges": {"user/reward": 1.0, "user/diy_1": 5, "user/odd": float("nan")}},
        {"gauges": {"user/reward": 3.0}},
    ]
    found = numbers_of(statuses)
    assert found["basic"] == {
        "train_global_step": 7,
        "predict_succ_cnt": 9,
        "load_model_succ_cnt": 4,
        "sample_receive_cnt": 35,
        "episode_cnt": 2,
        "sample_production_and_consumption_ratio": 2.0,
    }
    assert (found["algorithm"], found["env"], found["diy"]) == ({"loss": 0.5}, {"reward": 2.0}, {"diy_1": 5})
    now = [0.0]
    run: Any = SimpleNamespace(statuses=lambda: {f"a_{i}": one for i, one in enumerate(statuses)})
    numbers = TrainingNumbers(run, lambda: now[0])
    assert numbers() is numbers()
    assert TrainingNumbers(SimpleNamespace(statuses=dict), lambda: 0.0)() is None  # type: ignore[arg-type]


def test_labels_of_metrics() -> None:
    found: dict[str, float] = {}
    monitor = Monitor(found.__setitem__)
    monitor.push_data({3: {"reward": 1}, "player": "p1"})
    monitor.push_data({3: {"reward": 2}})
    assert found == {"user/reward{player=p1}": 1, "user/reward": 2}


def test_the_logger_takes_either_style(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger: Any = UsersLogger(logging.getLogger("user"))
    logger.info("plain 100% {x}")
    logger.info("a %d b", 3)
    logger.warning("a {} b {c}", 3, c=4)
    logger.success("left", 5)
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("failed")
    assert caplog.messages == ["plain 100% {x}", "a 3 b", "a 3 b 4", "left 5", "failed"]
    assert caplog.records[-1].exc_info is not None
    assert caplog.records[0].filename == "test_processes.py"


def test_config_has_folders_that_are_the_runs(tmp_path: Path) -> None:
    where = context(tmp_path)
    hosting.overlay_of(where.config, where.run)
    for _ in range(2):
        values = hosting.values_of(where.config, where.run, "learner")
    assert (values["app"], values["algo"], values["svr_name"]) == ("back_to_the_realm", "diy", "learner")
    (where.run.ckpt / "model.ckpt-3.pkl").write_text("")
    assert (Path(values["restore_dir"]) / "back_to_the_realm_diy/model.ckpt-3.pkl").is_file()
    assert (Path(values["user_ckpt_dir"]) / "back_to_the_realm_diy").samefile(where.run.user_ckpt)
    assert Path(values["log_dir"]).is_dir()
    assert hosting.record(where.config, where.run) == ""
    assert where.config.code is not None
    (where.config.code.root / "new.txt").write_text("")
    assert "has changed since the start" in hosting.record(where.config, where.run)
    assert '"hash_after"' in (where.run.root / "code.json").read_text()


HABITS = """
import torch
from pathlib import Path
torch.ones(4) @ torch.ones(4)
from kaimesh.process.torch_habits import soften
from kaimesh.config.code.paths import Paths
place = Path({place!r})
soften(Paths(Path({root!r}), place, {{}}, place / "outside"))
torch.set_num_interop_threads(1)
torch.set_num_interop_threads(2)
torch.set_num_threads(1)
assert torch.from_numpy(torch.ones(2)).shape == (2,)
torch.save({{"a": torch.ones(2)}}, {root!r} + "/ckpt/model.ckpt-1.pkl")
assert torch.load(place / "ckpt/model.ckpt-1.pkl")["a"].sum() == 2
"""


def test_habits_with_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    root = write(tmp_path / "root", {"ckpt/model.ckpt-1.pkl": "old"})
    overlay.make(root, tmp_path / "run" / "code")
    script = HABITS.format(root=str(root), place=str(tmp_path / "run" / "code"))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (root / "ckpt/model.ckpt-1.pkl").read_text() == "old"
