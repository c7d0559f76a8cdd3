"""Keys that were set and do nothing beside the others are told at the start; keys that work are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaimesh.config import load
from kaimesh.config.idle import _RULES, idle
from kaimesh.config.keys import App
from kaimesh.contract.errors import ConfigError


def told(folder: Path, text: str) -> str:
    file = folder / "c.toml"
    file.write_text(f"[app]\n{text}\n")
    return "\n".join(line for line in load(file, environ={}).warnings if "no effect: " in line)


@pytest.mark.parametrize(
    ("text", "keys", "why"),
    [
        ('wrapper_type = "local"\naisrv_count = 1\npredict_batch_size = 8', "predict_batch_size has", "one process"),
        ('wrapper_type = "local"\naisrv_count = 1\nactor_threads = 1\nsample_window = 3', "actor_threads, ", ""),
        ("reverb_samples_per_insert = 3", "reverb_samples_per_insert has", "reverb_rate_limiter is not"),
        ("reverb_priority_exponent = 0.5", "reverb_priority_exponent has", "reverb_sampler is not"),
        ("production_consume_ratio = 2", "production_consume_ratio has", "learns whenever it can"),
        ('algorithm_on_policy_or_off_policy = "on-policy"\naisrv_env_groups = 4', "aisrv_env_groups has", "on-policy"),
        ("replay_share_capacity = 500\nreplay_share_exponent = 0", "replay_share_exponent have", ""),
        ("sample_dim = 6", "sample_dim has", "the first sample says"),
        ('eval_model_dir = "x"\neval_model_id = 3', "eval_model_dir, eval_model_id have", "run_mode is train"),
        ('code_generation = "G1"', "code_generation has", "there is no --code"),
        ('preload_model_dir = "x"', "preload_model_dir has", "preload_model is false"),
        ("monitor_page_port = 8080", "monitor_page_port has", "without monitor_addr"),
        ("[ppo]\ntotal_learner_steps = 9", "ppo.total_learner_steps has", "learning_rate_schedule is constant"),
        ('algo = "impala"\n[impala]\nrmsprop_decay = 0.9', "impala.rmsprop_decay has", "optimizer is adam"),
        ('algo = "dqn"\n[dqn]\ntarget_period = 9', "dqn.target_period has", "target_rate is above 0"),
        ('app = "catch"\nalgo = "dqn"\n[dqn]\nvalue_min = 0', "dqn.value_min has", "atoms is 1"),
        ('algo = "muzero"\n[muzero]\nsync_reanalyse = 0.5', "muzero.sync_reanalyse has", "wrapper_type = local only"),
    ],
)  # fmt: skip
def test_what_does_nothing_is_told_with_the_reason(tmp_path: Path, text: str, keys: str, why: str) -> None:
    said = told(tmp_path, text)
    assert keys in said
    assert why in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "replay_share_capacity = 1000",  # the default
        'app = "catch"\nalgo = "dqn"\nreverb_samples_per_insert = 3\nreverb_priority_exponent = 0.5',
        "learner_train_by_while_true = false\nproduction_consume_ratio = 2",
        'algo = "impala"\nreplay_share = 0.5\nreplay_share_capacity = 500',
        'monitor_addr = "127.0.0.1:9990"\nmonitor_page_port = 8080',
        '[ppo]\ntotal_learner_steps = 9\nlearning_rate_schedule = "linear"',
        'algo = "impala"\n[impala]\nrmsprop_decay = 0.9\noptimizer = "rmsprop"',
        'app = "catch"\nalgo = "dqn"\n[dqn]\nvalue_min = 0\natoms = 5\ntarget_period = 9',
        'algo = "muzero"\nwrapper_type = "local"\naisrv_count = 1\n[muzero]\nsync_reanalyse = 0.5',
    ],
)
def test_what_works_is_not_told(tmp_path: Path, text: str) -> None:
    assert told(tmp_path, text) == ""


def test_an_algorithm_s_own_defaults_and_a_run_s_own_file_are_no_wishes(tmp_path: Path) -> None:
    config = load("conf/configure_app.toml", {"algo": "dqn", "reverb_sampler": "reverb.selectors.Uniform"}, {})
    (tmp_path / "c.toml").write_text(config.to_toml())
    assert not [line for line in load(tmp_path / "c.toml", environ={}).warnings if "no effect: " in line]
    assert not [line for line in config.warnings if "no effect: " in line]


def test_each_rule_names_keys_that_there_are() -> None:
    assert not {key for rule in _RULES for key in rule.keys} - App.model_fields.keys()
    assert idle(App(), App.model_fields) == []


@pytest.mark.parametrize("host", ["::1", "fe80::1%eth0", "[::1]", "http://a", "a b", "127.0.0.1:80", "%(here)s"])
def test_a_host_that_no_port_can_be_opened_at_is_named_by_its_own_key(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match=r"bind_host = .*IPv4 alone") as caught:
        told(tmp_path, f'bind_host = "{host}"')
    assert "1 problem;" in str(caught.value)


@pytest.mark.parametrize("algo", ["ppo", "diy"])
def test_agents_that_answer_none_are_refused(tmp_path: Path, algo: str) -> None:
    with pytest.raises(ConfigError, match=r"wrapper_type = 'none'.*no workflow could act"):
        told(tmp_path, f'wrapper_type = "none"\nalgo = "{algo}"')
