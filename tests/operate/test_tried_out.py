"""train_test.py tries out the environment as a start does, whatever trains there, and before it."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from kaimesh.aisrv.check import check
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.contract.errors import ConfigError, EnvContractError
from kaimesh.contract.json_text import json_text
from kaimesh.operate import train_test
from kaimesh.operate.cli import trial
from kaimesh.operate.train_test import wish
from tests.envs.faulty import WORDS
from tests.forks import LIGHT

OWN = "tests.envs.faulty:"
KINDS = [("ppo", "remote"), ("ppo", "local"), ("diy", "remote"), ("diy", "local")]  # native and Kaiwu-style


@functools.cache
def asked(algo: str, wrapper: str) -> str:
    """What train_test.py asks about an environment."""
    config = wish(algo, DEFAULT_CONF, None, {"app": f"{OWN}Faulty", "wrapper_type": wrapper}).read()
    return json_text(trial.request_of(config))


def told(algo: str, wrapper: str, app: str, **conf: Any) -> str:
    """The note; raises what the try-out raises."""
    return check({**json.loads(asked(algo, wrapper)), "app": f"{OWN}{app}", "env_conf": conf})


@pytest.mark.parametrize(("algo", "wrapper"), KINDS)
@pytest.mark.parametrize("fault", WORDS)
def test_what_an_environment_returns_wrongly_is_told(algo: str, wrapper: str, fault: str) -> None:
    with pytest.raises(EnvContractError, match=f"^{OWN}Faulty: (?s:.*){WORDS[fault]}"):
        told(algo, wrapper, "Faulty", fault=fault, at=9)


@pytest.mark.parametrize(("algo", "wrapper"), KINDS)
@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("one_object", "gave one and the same TimeLimit object for two slots"),
        ("Around", "gave a Around around one and the same CartPoleEnv object for two slots"),
        ("Simulated", "share the World `simulator`"),
    ],
)
def test_one_object_in_two_slots_is_told(algo: str, wrapper: str, app: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        told(algo, wrapper, app)


@pytest.mark.parametrize("verdict", ["good", "a note", ConfigError("nothing can be trained on this")])
def test_nothing_is_trained_before_the_verdict(
    verdict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    did: list[str] = []

    class Fake:
        def __init__(self, config: Any) -> None:
            did.append(f"try {config.app.app}")

        def verdict(self) -> str:
            did.append("verdict")
            if isinstance(verdict, Exception):
                raise verdict
            return "" if verdict == "good" else str(verdict)

        def close(self) -> None:
            did.append("close")

    monkeypatch.setattr(train_test, "Trial", Fake)
    monkeypatch.setattr(train_test, "run", lambda *_args, **_kwargs: did.append("run"))
    monkeypatch.setattr(sys, "argv", ["train_test.py", "--set", "app=catch", "--set", f"runs_dir={tmp_path}"])
    if isinstance(verdict, Exception):
        with pytest.raises(SystemExit, match="nothing can be trained on this"):
            train_test.main("ppo", "")
        assert did == ["try catch", "verdict", "close"]
    else:
        assert train_test.main("ppo", "") == 0
        assert did == ["try catch", "verdict", "run", "close"]
        assert ("note: a note" in capsys.readouterr().err) == (verdict == "a note")


def test_an_environment_that_ends_its_process_is_told(tmp_path: Path) -> None:
    settings = [f"runs_dir={tmp_path}", "wrapper_type=local", f"app={OWN}Ending"]
    done = LIGHT.run(
        ["train_test.py", "--algo", "diy", *(word for one in settings for word in ("--set", one))], timeout_s=60
    )
    assert done.returncode != 0
    assert f"app = '{OWN}Ending' ended the process that built it (exit code 0)" in done.stderr
    assert not [*tmp_path.glob("train_test/ckpt/*")]
