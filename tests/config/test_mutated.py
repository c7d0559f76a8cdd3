"""Whatever a configuration says, a start takes it or refuses it in one report of words, and soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kaimesh.config.keys import App
from kaimesh.config.load import REGISTRY, load
from kaimesh.contract.errors import ConfigError
from tests.config.mutated import findings

QUICK, ALL = 60, 20_000


@pytest.fixture(autouse=True)
def _no_checkout_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_some() -> None:
    counts, wrong = findings(0, QUICK)
    assert not wrong, wrong[0]
    assert min(counts["accepted"], counts["refused"]) > 0, counts


@pytest.mark.long
def test_all() -> None:
    """20,000 configurations; some seven minutes on one core."""
    counts, wrong = findings(QUICK, ALL)
    assert not wrong, wrong[0]
    assert counts.total() == ALL


def refused(folder: Path, text: str, **overrides: str) -> str:
    path = folder / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as told:
        load(path, overrides, {})
    return str(told.value)


@pytest.mark.parametrize(
    "line", ["[" + " " * 100_000, "[" + "a " * 50_000, "[a" + " " * 100_000 + "x", " " * 100_000 + "[", "[[" * 50_000]
)
def test_a_long_line_is_read_in_time(tmp_path: Path, line: str) -> None:
    began = time.process_time()
    assert "is not TOML" in refused(tmp_path, f"[app]\n{line}\n")
    assert time.process_time() - began < 1


def test_a_report_stays_short(tmp_path: Path) -> None:
    said = refused(tmp_path, f"[app]\nactor_addrs = {[1] * 3000}\napp = {[2] * 3000}\n")
    assert "and 2,951 more. Correct these first." in said
    assert len(said) < 20_000
    said = refused(tmp_path, "[muzero]\n" + "".join(f"k{i} = 1\n" for i in range(700)), algo="muzero")
    assert "unknown key 'k7'" in said
    assert said.endswith(" more. Correct these first.")
    assert len(said) < 20_000


@pytest.mark.parametrize("value", ["x" * 50_000, "[" * 20_000 + "]" * 20_000, "é" * 30_000])
def test_a_long_value_stands_shortened_in_reports_and_notes(tmp_path: Path, value: str) -> None:
    keys = [*list(App.model_fields)[::7], "algo", "algo_conf", "no_such_key", value]
    for key in keys:
        said = refused(tmp_path, f'[app]\n"{key}" = "{value}"\nwatchdog_seconds = -1\n')
        assert len(said) < 6_000, key
    said = refused(tmp_path, f'["{value}"]\nx = 1\n[app]\n', **{value: "1", "algo": value, f"{value}.x": value})
    assert len(said) < 12_000
    (tmp_path / "c.toml").write_text("[app]\n")
    notes = load(tmp_path / "c.toml", {}, {"runs_dir": value}).warnings
    assert any("runs_dir" in note for note in notes)
    assert max(map(len, notes)) < 2_100


@pytest.mark.parametrize(
    ("name", "words"),
    [("a\\u0000b", "cannot be read"), ("x" * 5000, "cannot be read"), ("\\ud800", "is not TOML")],
    ids=["NUL", "long", "surrogate"],
)
def test_a_registry_whose_name_no_file_can_have(tmp_path: Path, name: str, words: str) -> None:
    assert words in refused(tmp_path, f'[app]\nalgo_conf = "{name}"\n')
    assert "cannot be read" in refused(tmp_path, "[app]\n", algo_conf=name.encode().decode("unicode_escape"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ppo = { network", "ppo = 3 #{ network", r"ppo = 3 is no table of hyper-parameters"),
        (
            'config = "kaimesh.algorithms.ppo.config.Config"',
            'config = "bytes"',
            "config = 'bytes': it is no dotted name",
        ),
        ('config = "kaimesh.algorithms.ppo.config.Config"', 'config = "a..b"', "config = 'a..b': it is no dotted name"),
        ("train_batch_size = 64", "train_batch_size = 64\nppo = [1]", r"ppo = [1] is no table of hyper-parameters"),
    ],
)
def test_a_registry_that_names_nonsense(tmp_path: Path, old: str, new: str, words: str) -> None:
    registry = tmp_path / "algo_conf.toml"
    registry.write_text(REGISTRY.read_text().replace(old, new, 1))
    assert words in refused(tmp_path, "[app]\n", algo_conf=str(registry))


@pytest.mark.parametrize(
    "setting",
    [
        "watchdog_seconds=1e308", "user_code_seconds=1e12", "learner_train_sleep_seconds=1e300",
        "model_file_sync_per_minutes=1e20", "replay_buffer_capacity=9223372036854775808",
        "train_batch_size=9007199254740993", "max_restarts=1e30", "log_backups=99999999999999999999",
        "ppo.learning_rate=2147483648", "ppo.learning_rate=1.5", "ppo.reward_scale=1e300",
        "ppo.epochs=9223372036854775807",
        "ppo.max_grad_norm=inf", "ppo.total_learner_steps=1000000000001",
    ],
)  # fmt: skip
def test_a_number_that_no_run_can_mean_is_refused(tmp_path: Path, setting: str) -> None:
    key, _, value = setting.partition("=")
    said = refused(tmp_path, "[app]\n", **{key: value})
    assert key.rpartition(".")[2] in said
    assert said.count("\n") <= 4
