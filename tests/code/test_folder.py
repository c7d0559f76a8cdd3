"""Reading a folder of agents: generation and its reason, environment, algorithm, settings that TOML refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaimesh.config import load
from kaimesh.config.code import Code
from kaimesh.config.code.settings import tolerant
from kaimesh.contract.errors import ConfigError
from tests.code.sample import g1, later, write


@pytest.mark.parametrize(
    ("kind", "line", "version", "name", "pairs"),
    [
        ("model", "acts, version = agent.predict([1])", "24.0.1", "G2a", True),
        ("model", "acts, version = agent.predict(list_obs_data=[1])", "28.1.1", "G2a", True),
        ("model", "found = agent.predict([1]); acts, version = found", "28.1.1", "G2a", True),
        ("model", "act = agent.predict([1])[0]", "24.0.1", "G2b", False),
        ("model", "one, other = agent.predict([1, 2])", "24.0.1", "G2b", False),
        ("model", "(act,) = agent.predict([1])", "24.0.1", "G2b", False),
        ("model", "pass", "24.0.2", "G2a", True),
        ("model", "pass", "28.1.1", "G2b", False),
        ("agent", "act = agent.predict([1])[0]", "15.0.1-comp.26", "G3", False),
        ("agent", "acts, version = agent.predict([1])", "15.0.1", "G3", True),
    ],
)
def test_the_generation_is_found(tmp_path: Path, kind: str, line: str, version: str, name: str, pairs: bool) -> None:
    code = Code.read(later(tmp_path, kind, line, version))
    assert (code.generation, code.pairs) == (name, pairs)
    assert code.why.startswith(f"generation {name}: ")
    assert (code.app, code.algo) == ("game", "ppo")
    if pairs and "predict" in line:
        assert "line 3 unpacks two" in code.why


def test_g1_and_the_key_that_overrides(tmp_path: Path) -> None:
    root = g1(tmp_path)
    assert (Code.read(root).generation, Code.read(root).pairs) == ("G1", False)
    said = Code.read(root, generation="G2a")
    assert (said.generation, said.pairs) == ("G2a", True)
    with pytest.raises(ConfigError, match="none of G1"):
        Code.read(root, generation="G4")


def test_the_folder_of_a_base_class_counts_more_than_the_keys(tmp_path: Path) -> None:
    root = later(tmp_path, "model", "act = agent.predict([1])[0]")
    (root / "agent_ppo/agent.py").write_text("from kaiwudrl.interface.agent import BaseAgent\nclass Agent: pass\n")
    assert Code.read(root).generation == "G3"


def test_a_run_keeps_what_was_read(tmp_path: Path) -> None:
    code = Code.read(g1(tmp_path / "a", conf="use_prometheus = true\ntrain_batch_size = 30\n"))
    config = load(code.conf, {"random_seed": "3"}, {}, code=code)
    kept = tmp_path / "conf.toml"
    kept.write_text(config.to_toml())
    again = load(kept)
    assert again.app == config.app
    assert again.code is not None
    assert again.code.to_table() == code.to_table()
    assert (again.app.train_batch_size, again.app.dump_model_freq, again.app.random_seed) == (30, 1000, 3)
    assert again.code.kept["use_prometheus"] is True


def test_what_nothing_says_is_refused(tmp_path: Path) -> None:
    root = later(tmp_path, "agent", "pass")
    (root / "kaiwu.json").unlink()
    (root / "conf/app_conf_game.toml").unlink()
    with pytest.raises(ConfigError, match=r"says which environment .* Add --app NAME"):
        Code.read(root)
    assert Code.read(root, app="catch").app == "catch"
    with (root / "conf/algo_conf_game.toml").open("a") as file:
        file.write('[other]\naisrv_agent = "agent_ppo.agent.Agent"\ntrain_workflow = "agent_ppo.workflow.workflow"\n')
    with pytest.raises(ConfigError, match=r"which algorithm .* Add --algo NAME: ppo, other"):
        Code.read(root, app="catch")
    assert Code.read(root, app="catch", algo="other").algo == "other"


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    root = g1(tmp_path)
    (root / "diy/agent.py").write_text("class Agnt: pass\n")
    with pytest.raises(ConfigError, match=r"diy/agent.py has no Agent .did you mean 'Agnt'"):
        Code.read(root)
    (root / "diy/agent.py").unlink()
    with pytest.raises(ConfigError, match=r"there is no diy/agent.py"):
        Code.read(root)
    with pytest.raises(ConfigError, match=r"no conf/configure_app.toml"):
        Code.read(write(tmp_path / "empty", {"a": ""}))


def test_settings_that_toml_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "configure_app.toml"
    path.write_text(
        "[app]\n"
        'predict_local_or_remote = "local" # local or remote\n'
        "train_batch_size = 2\n"
        "train_batch_size = 3 # again\n"
        'framework = "${NOT_THERE}"\n'
        'player = "${PLAYER}/x"\n'
        "oops = [1,\n"
        "level = INFO\n"
        "a = 1\n"
    )
    monkeypatch.setenv("PLAYER", "p")
    notes: list[str] = []
    found = tolerant(path, notes)["app"]
    assert found["train_batch_size"] == 3
    assert found["player"] == "p/x"
    assert found["predict_local_or_remote"] == "local"
    assert "framework" not in found
    assert len(notes) >= 3


def test_keys_are_told_and_mended(tmp_path: Path) -> None:
    conf = (
        'replay_buffer_capacity = 10\ntrain_batch_size = 30\nlearner_train_sleep_seconds = "0.1"\nself_play = false\n'
    )
    code = Code.read(g1(tmp_path, conf=f"{conf}train_batch_siz = 3\n"))
    config = load(code.conf, {}, {"dump_model_freq": "7"}, code=code)
    assert config.app.replay_buffer_capacity == 30
    assert config.app.learner_train_sleep_seconds == 0.1
    assert config.app.dump_model_freq == 7
    told = "\n".join(config.warnings)
    assert "self_play: keys of Kaiwu that do nothing here" in told
    assert "train_batch_siz (did you mean 'train_batch_size'?)" in told


def test_everything_in_one_aisrv(tmp_path: Path) -> None:
    code = Code.read(g1(tmp_path, conf='wrapper_type = "local"\n'))
    assert load(code.conf, {}, {}, code=code).app.aisrv_count == 1
