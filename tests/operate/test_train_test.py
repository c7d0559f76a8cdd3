"""What train_test.py makes of a configuration, and its folders; trainings are in tests/mesh/test_lockstep.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kaimesh.config.keys import App
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.contract.errors import ConfigError
from kaimesh.operate.serial_keys import UNUSED
from kaimesh.operate.train_test import Wish, claimed, wish

# Every key of [app] that a training in one process obeys, with a value other than its default and SETTINGS'.
USED = {
    "app": "catch",
    "algo": "impala",
    "algo_conf": "tests/mesh/agents/algo_conf.toml",
    "wrapper_type": "local",
    "random_seed": "7",
    "runs_dir": "elsewhere",
    "aisrv_connect_to_kaiwu_env_count": "3",
    "aisrv_env_groups": "1",
    "env_conf": "{rows = 4}",
    "max_episode_steps": "5",
    "send_sample_size": "3",
    "predict_batch_size": "16",
    "replay_buffer_capacity": "128",
    "reverb_remover": "reverb.selectors.Lifo",
    "reverb_sampler": "reverb.selectors.Lifo",
    "reverb_priority_exponent": "0.3",
    "train_batch_size": "6",
    "replay_share": "0.5",
    "replay_share_capacity": "50",
    "replay_share_exponent": "0.2",
    "algorithm_on_policy_or_off_policy": "on-policy",
    "dump_model_freq": "2",
    "max_save_model_file_count": "3",
    "max_save_model_bytes": "9",
    "preload_model": "true",
    "preload_model_dir": "models",
    "preload_model_id": "4",
    "user_save_mode_max_count": "2",
    "modelpool_max_save_model_count": "3",
    "agent_device": "cuda",
    "watchdog_seconds": "6.0",
    "user_code_seconds": "6.0",
    "report_seconds": "3.0",
    "log_level": "ERROR",
    "log_format": "json",
    "eval_games": "2",
    "eval_opponent": "self",
    "code_generation": "G1",
}
TOGETHER = {
    "preload_model": {"preload_model_dir": "models"},
    "algo": {"algo_conf": "conf/algo_conf.toml"},
    "algo_conf": {"algo": "toy"},
}
# Values with which a mesh would wait, open ports, write or restart.
ODD = {
    "run_mode": "eval",
    "aisrv_count": "3",
    "preload_ratio": "1.0",
    "reverb_rate_limiter": "SampleToInsertRatio",
    "reverb_error_buffer": "50.0",
    "aisrv_may_pin": "false",
    "learner_train_by_while_true": "false",
    "reanalyse_share": "0.25",
    "reanalyse_actor_share": "0.1",
    "bind_host": "0.0.0.0",
    "monitor_addr": "127.0.0.1:7",
    "eval_model_dir": "models",
    "eval_model_id": "4",
    "actor_addrs": '["127.0.0.1:7001"]',
    "buffer_addrs": '["127.0.0.1:7002"]',
    "buffer_ingest_addrs": '["127.0.0.1:7003"]',
    "learner_addr": "127.0.0.1:7004",
    "model_pool_addr": "127.0.0.1:7005",
    "log_max_bytes": "20000",
}


def read(**keys: str) -> App:
    return wish("ppo", DEFAULT_CONF, None, keys).read().app


def test_every_key_either_works_here_or_does_nothing_and_says_so() -> None:
    assert set(USED) | set(UNUSED) == set(App.model_fields)
    assert not set(USED) & set(UNUSED)


@pytest.mark.parametrize("key", USED)
def test_a_key_that_works_here_is_taken(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = read(**{key: USED[key]}, **TOGETHER.get(key, {}))
    value = getattr(app, key)
    assert value != App.model_fields[key].get_default(call_default_factory=True) or key.startswith("algorithm_on")
    assert str(value) in (USED[key], USED[key].capitalize(), "{'rows': 4}")
    assert "has no effect in train_test.py" not in capsys.readouterr().err


@pytest.mark.parametrize("key", UNUSED)
def test_a_key_without_a_meaning_here_is_named_and_does_nothing(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    why, neutral = UNUSED[key]
    app = read(**{key: ODD.get(key, "5")})
    if neutral:
        assert str(getattr(app, key)).lower() in (neutral.lower(), f"{neutral}.0", "1e-09")
    assert f"note: {key} has no effect in train_test.py: {why}" in capsys.readouterr().err


def test_a_file_that_sets_all_of_them_is_no_hindrance(tmp_path: Path) -> None:
    def literal(key: str) -> str:
        value = ODD.get(key, "5")
        return f'"{value}"' if value[0].isalpha() or (value.count(".") > 1 and value[0] != "[") else value

    text = "".join(f"{key} = {literal(key)}\n" for key in UNUSED if key != "eval_model_id")
    (tmp_path / "conf.toml").write_text(f"[app]\n{text}".replace('"true"', "true").replace('"false"', "false"))
    app = wish("ppo", tmp_path / "conf.toml", None, {}).read().app
    assert (app.run_mode, app.aisrv_count, app.learner_train_sleep_seconds) == ("train", 1, 0)
    assert (app.learner_train_by_while_true, app.reverb_rate_limiter) == (True, "MinSize")


def test_what_train_test_sets_itself_is_no_key_that_does_nothing(tmp_path: Path) -> None:
    for keys in ({}, {"wrapper_type": "local", "aisrv_count": "1"}):
        found = wish("ppo", "conf/configure_app.toml", None, keys).read().warnings
        assert not [warning for warning in found if "no effect: " in warning]


def test_an_agent_that_does_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"wrapper_type = 'none'.*no workflow could act"):
        read(wrapper_type="none")


def test_two_at_a_time_have_a_folder_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with claimed(tmp_path / "runs") as first:
        (first.root / "mine").write_text("")
        with claimed(tmp_path / "runs") as second, claimed(tmp_path / "runs") as third:
            names = [run.root.name for run in (first, second, third)]
            assert names == ["train_test", "train_test-2", "train_test-3"]
            assert os.environ["KAIMESH_RUN_DIR"] == str(third.root)
        assert (first.root / "mine").exists()
        assert "another train_test.py uses" in capsys.readouterr().err
    with claimed(tmp_path / "runs") as again:
        assert again.root == first.root
        assert not (again.root / "mine").exists(), "it begins empty"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = r"run's files cannot be written: .* Set runs_dir"
    with pytest.raises(ConfigError, match=told), claimed(tmp_path / "file"):
        pass


def test_the_agent_is_imported_when_its_run_directory_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAIMESH_RUN_DIR", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "looks_at_once.py").write_text(
        "import os\nfrom tests.mesh.agents.toy import *\nSEEN = os.environ['KAIMESH_RUN_DIR']\n"
    )
    agents = "".join(f'{role}_agent = "looks_at_once.Toy"\n' for role in ("actor", "learner", "aisrv"))
    (tmp_path / "algo_conf.toml").write_text(f'[own]\n{agents}train_workflow = "tests.mesh.agents.toy.workflow"\n')
    wanted: Wish = wish("own", DEFAULT_CONF, None, {"algo_conf": str(tmp_path / "algo_conf.toml"), "app": "catch"})
    config = wanted.read()
    assert "looks_at_once" not in sys.modules
    with claimed(tmp_path / "runs") as run:
        assert wanted.read_for(config).app.app == "catch"
    assert str(run.root) == sys.modules["looks_at_once"].SEEN  # type: ignore[attr-defined]
