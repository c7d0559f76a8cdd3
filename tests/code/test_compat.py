"""The import names: what they have, with Kaiwu's semantics."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kaimesh.config.code.importing import COMPAT
from kaimesh.contract import host
from kaimesh.contract.structs import Frame, attached, create_cls, sample_columns, sample_list

TOPS = ("kaiwu_agent", "kaiwudrl", "common_python", "tools", "arena_proto")


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(COMPAT))
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in TOPS}
    for name in kept:
        del sys.modules[name]
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in TOPS]:
        del sys.modules[name]
    sys.modules.update(kept)


def test_everything_of_the_contracts_list_is_there() -> None:
    import importlib

    names = {
        "kaiwu_agent.agent.base_agent": "BaseAgent learn_wrapper predict_wrapper exploit_wrapper save_model_wrapper "
        "load_model_wrapper reset_wrapper load_opponent_agent_wrapper get_training_metrics_wrapper check_hasattr",
        "kaiwu_agent.agent.protocol.protocol": "observation_process action_process sample_process",
        "kaiwu_agent.utils.common_func": "create_cls attached Frame",
        "kaiwu_agent.back_to_the_realm.dqn.feature_process": "one_hot_encoding read_relative_position bump",
        "kaiwu_agent.back_to_the_realm.target_dqn.feature_process": "one_hot_encoding read_relative_position bump",
        "kaiwu_agent.gorge_walk.utils": "get_F",
        "kaiwu_agent.conf": "yaml_gorge_walk_game",
        "kaiwudrl.common.config.config_control": "CONFIG",
        "kaiwudrl.interface.agent": "BaseAgent",
        "kaiwudrl.interface.state": "State",
        "kaiwudrl.interface.action": "Action ActionSpec",
        "kaiwudrl.interface.array_spec": "ArraySpec",
        "kaiwudrl.common.algorithms.distribution": "CategoricalDist",
        "kaiwudrl.common.monitor.monitor_config_builder": "MonitorConfigBuilder",
        "kaiwudrl.common.utils.train_test_utils": "run_train_test",
        "kaiwudrl.common.utils.kaiwudrl_define": "KaiwuDRLDefine",
        "kaiwudrl.common.utils.http_utils": "http_utils_request",
        "kaiwudrl.common.utils.common_func": "python_exec_shell find_pids_by_cmdline scan_for_errors",
        "kaiwudrl.server.learner.learner": "main",
        "kaiwudrl.server.aisrv.aisrv": "main",
        "common_python.utils.common_func": "create_cls attached Frame",
        "common_python.utils.workflow_disaster_recovery": "handle_disaster_recovery",
        "tools.train_env_conf_validate": "read_usr_conf check_usr_conf",
        "tools.env_conf_manager": "EnvConfManager",
        "tools.metrics_utils": "get_training_metrics",
        "tools.map_data_utils": "read_map_data",
        "tools.model_pool_utils": "get_valid_model_pool",
        "tools.eval.workflow.eval_workflow": "workflow",
        "tools.eval.workflow.exam_workflow": "workflow",
        "arena_proto.back_to_the_realm.custom_pb2": "FloatPosition Position RealmFeature RelativeDirection "
        "RelativeDistance RelativePosition",
        "arena_proto.back_to_the_realm_v2.custom_pb2": "RelativeDirection",
    }
    missing = [
        f"{module}.{name}"
        for module, members in names.items()
        for name in members.split()
        if not hasattr(importlib.import_module(module), name)
    ]
    assert not missing


def test_decorated_methods_are_called_as_they_are() -> None:
    from kaiwu_agent.agent.base_agent import BaseAgent, check_hasattr, predict_wrapper

    class Agent(BaseAgent):
        @predict_wrapper
        def predict(self, list_obs_data: Any) -> Any:
            return list_obs_data

        @check_hasattr("model")
        def value(self) -> int:
            return 1

    agent = Agent()
    assert agent.predict([3]) == [3]
    assert agent.framework_handler is None
    with pytest.raises(AttributeError, match="needs model, which the agent does not have"):
        agent.value()
    agent.model = 1
    assert agent.value() == 1
    with pytest.raises(NotImplementedError, match="Agent defines no learn"):
        agent.learn([])


def test_protocol_functions_are_found_when_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    from kaiwu_agent.agent.protocol.protocol import observation_process

    monkeypatch.setattr("kaimesh.contract.structs._protocol", {})
    with pytest.raises(NameError, match="no function of that name was registered"):
        observation_process(1)

    def observation(raw_obs: int) -> int:
        return raw_obs + 1

    observation.__name__ = "observation_process"
    attached(observation)
    assert observation_process(1) == 2


def test_config_has_what_there_is_and_else_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from kaiwudrl.common.config.config_control import CONFIG

    monkeypatch.setattr(host, "_host", host.Host({"app": "game", "dump_model_freq": 3}))
    assert (CONFIG.app, CONFIG.dump_model_freq, CONFIG.missing) == ("game", 3, "")
    CONFIG.set_configure_file("conf/x.toml")
    CONFIG.parse_learner_configure()
    CONFIG.own = 5
    assert CONFIG.own == 5


def test_helpers_of_observations() -> None:
    from kaiwu_agent.back_to_the_realm.dqn.feature_process import bump, one_hot_encoding, read_relative_position

    found = one_hot_encoding(SimpleNamespace(x=3, z=127))
    assert (len(found), sum(found), found[3], found[255]) == (256, 2, 1, 1)
    near = read_relative_position(SimpleNamespace(direction=8, grid_distance=0.5))
    assert near == [0, 0, 0, 0, 0, 0, 0, 1, 0.5]
    assert read_relative_position(SimpleNamespace(direction=0, grid_distance=1.0)) == [0] * 8 + [1.0]
    assert bump(0, 0, 300, 400)
    assert not bump(0, 0, 300, 401)
    assert not bump(-1, -1, -1, -1)


def test_records_change_and_enums_are_whole_numbers() -> None:
    from arena_proto.back_to_the_realm.custom_pb2 import RealmFeature, RelativeDirection, RelativePosition

    one, other = RealmFeature(), RealmFeature()
    one.treasure_pos.append(RelativePosition(direction=RelativeDirection.SouthEast))
    one.anything = 1
    assert other.treasure_pos == []
    assert one.treasure_pos[0].direction == 8
    assert RelativeDirection.Name(3) == "North"
    assert RelativeDirection.Value("West") == 5
    assert RelativePosition(l2_distance=2) != RelativePosition()


def test_confs_are_read_or_refused_in_words(tmp_path: Path) -> None:
    from tools.env_conf_manager import EnvConfManager
    from tools.train_env_conf_validate import check_usr_conf, read_usr_conf

    told: list[str] = []
    logger = SimpleNamespace(error=told.append)
    path = tmp_path / "env.toml"
    path.write_text("[env_conf]\nmax_step = 5\ntreasure_random = false\n")
    conf = read_usr_conf(str(path), logger)
    assert conf == {"env_conf": {"max_step": 5, "treasure_random": False}}
    assert check_usr_conf(conf, logger)
    assert EnvConfManager(config_path=path, logger=logger).update_config() == conf
    assert read_usr_conf(tmp_path / "none.toml", logger) is None
    assert not check_usr_conf({"env_conf": 3}, logger)
    assert len(told) == 2


def test_episodes_are_given_up_by_their_code() -> None:
    from common_python.utils.workflow_disaster_recovery import handle_disaster_recovery

    told: list[str] = []
    logger = SimpleNamespace(error=told.append)
    assert not handle_disaster_recovery({"extra_info": {"result_code": 0}}, logger)
    assert not handle_disaster_recovery({"observation": {}}, logger)
    assert handle_disaster_recovery({"extra_info": {"result_code": 2, "result_message": "late"}}, logger)
    assert handle_disaster_recovery(None, logger)
    assert "late" in told[0]
    with pytest.raises(RuntimeError, match="no game"):
        handle_disaster_recovery({"extra_info": {"result_code": -1, "result_message": "no game"}}, logger)


def test_panels() -> None:
    from kaiwudrl.common.monitor.monitor_config_builder import MonitorConfigBuilder

    config = (
        MonitorConfigBuilder()
        .title("t")
        .add_group(group_name="g", group_name_en="g")
        .add_panel(name="p", name_en="p", type="line")
        .add_metric(metrics_name="reward", expr="avg(reward{})")
        .end_panel()
        .end_group()
        .build()
    )
    assert config["groups"][0]["panels"][0]["metrics"] == [{"metrics_name": "reward", "expr": "avg(reward{})"}]
    with pytest.raises(ValueError, match="outside of a panel"):
        MonitorConfigBuilder().add_group("g").add_metric("a", "b")
    stat = MonitorConfigBuilder().add_group("g").add_panel("p", type="stat").add_metric("a", "a").add_metric("b", "b")
    with pytest.raises(ValueError, match="has 2 metrics"):
        stat.add_metric("c", "c")
    with pytest.raises(ValueError, match="Shorten it"):
        MonitorConfigBuilder().add_group("g" * 21)


def test_fields_with_widths_travel_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaimesh.contract.structs._protocol", {})
    sample = create_cls("SampleData", obs=4, reward=1, done=None)
    rows = [sample(obs=np.arange(4).reshape(2, 2) + i, reward=0.5, done=True) for i in range(2)]
    batch = sample_columns(rows)
    shapes = {name: (column.dtype.str, column.shape) for name, column in batch.columns.items()}
    assert shapes == {"obs": ("<f4", (2, 4)), "reward": ("<f4", (2, 1)), "done": ("|b1", (2,))}
    again = sample_list(batch)
    assert again[1].obs.tolist() == [1, 2, 3, 4]
    assert Frame(a=1).__dict__ == {"a": 1}
    with pytest.raises(Exception, match="'obs' has 3 numbers, and SampleData was created with obs=4"):
        sample_columns([sample(obs=[1, 2, 3], reward=0, done=False)])


def test_tables_of_transitions(tmp_path: Path) -> None:
    from kaiwu_agent.gorge_walk.utils import get_F
    from tools.map_data_utils import read_map_data

    path = tmp_path / "f.json"
    path.write_text('{"1": {"0": [2, 0, false]}}')
    assert get_F(path) == read_map_data(path) == {"1": {"0": [2, 0, False]}}
