"""Run directories: never two the same, whole files, a token that only its owner reads."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.contract.errors import ConfigError
from kaimesh.contract.untrusted import path_name
from kaimesh.process.documents import read_json, write_json
from kaimesh.process.run_dir import TOKEN_VARIABLE, RunDir


def test_each_run_has_its_own_directory_and_latest_is_the_newest(tmp_path: Path) -> None:
    made = [RunDir.create(tmp_path, "gym:Cart/Pole v1", "ppo") for _ in range(3)]
    assert len({run.root for run in made}) == 3
    assert made[0].root.name.startswith("gym-Cart-Pole-v1_ppo_")
    assert RunDir.latest(tmp_path).root == made[-1].root
    assert (tmp_path / "latest").is_symlink()
    assert made[-1].ckpt.is_dir()


@pytest.mark.parametrize(
    ("app", "algo", "name"),
    [
        ("mine:环境", "我的算法", "mine-环境_我的算法_"),
        ("módulo:Env", "ppo", "módulo-Env_ppo_"),
        ("m\N{COMBINING ACUTE ACCENT}o", "한글", "ḿo_한글_"),
        ("gym:CartPole-v1", "../../x", "gym-CartPole-v1_x_"),
        ("..", "..", "nameless_nameless_"),
        ("/etc/passwd", "a/../../b", "etc-passwd_a-..-..-b_"),
        ("a\nb:\x1b[31m\u202e", "\0", "a-b-31m-_nameless_"),
        ("my_env:Env", "my_ppo", "my-env-Env_my_ppo_"),
    ],
)
def test_a_name_of_any_script_or_malice_is_one_folder_of_runs(tmp_path: Path, app: str, algo: str, name: str) -> None:
    run = RunDir.create(tmp_path / "runs", app, algo)
    assert run.root.parent == tmp_path / "runs"
    assert run.root.name.startswith(name)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@given(st.text(max_size=300))
@settings(max_examples=200)
def test_a_name_for_a_path_is_one_part_of_it(text: str) -> None:
    name = path_name(text)
    assert 1 <= len(name.encode()) <= 80
    assert Path(name).name == name
    assert name.isprintable()
    assert name[0] not in ".-"
    assert path_name(name) == name


def test_without_a_run_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tools/start\.sh"):
        RunDir.latest(tmp_path)


def test_the_token_is_the_owners_and_the_environment_overrides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    run = RunDir.create(tmp_path, "catch", "ppo")
    token = run.token()
    assert len(token) == 32
    assert (run.root / "token").stat().st_mode & 0o777 == 0o600
    run.prepare()
    assert run.token() == token
    assert RunDir.create(tmp_path, "catch", "ppo").token() != token
    monkeypatch.setenv(TOKEN_VARIABLE, "given")
    assert run.token() == "given"
    monkeypatch.setenv(TOKEN_VARIABLE, " given\n")  # as an env_file or a secret may leave it
    assert run.token() == "given"
    monkeypatch.setenv(TOKEN_VARIABLE, "\n")
    with pytest.raises(ConfigError, match="holds only blanks"):
        run.token()
    monkeypatch.setenv(TOKEN_VARIABLE, "")  # not set, as Compose passes on what is not set
    monkeypatch.setenv("KAIMESH_TOKEN_FILE", "")
    assert run.token() == token
    monkeypatch.delenv(TOKEN_VARIABLE)
    (run.root / "token").unlink()
    with pytest.raises(ConfigError, match=TOKEN_VARIABLE):
        run.token()


def test_a_reader_never_sees_half_a_file_whoever_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"text": ""})
    failures: list[Exception] = []
    done = threading.Event()

    def write(length: int) -> None:
        for _ in range(100):
            write_json(path, {"text": "x" * length})

    def read() -> None:
        while not done.is_set():
            try:
                assert set(read_json(path)["text"]) <= {"x"}
            except (ValueError, AssertionError, KeyError) as error:
                failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(length,)) for length in (10, 20_000, 200_000)]
    for thread in [*readers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert not failures
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_statuses_by_process_name(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "catch", "ppo")
    assert run.statuses() == {}
    write_json(run.status / "aisrv_0.json", {"state": "ready"})
    (run.status / ".aisrv_0.json.1.tmp").write_text("{")
    assert run.statuses() == {"aisrv_0": {"state": "ready"}}
    assert read_json(tmp_path / "none.json") == {}
    assert json.loads((run.status / "aisrv_0.json").read_text()) == {"state": "ready"}


def test_a_containers_token_is_in_the_file_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    monkeypatch.setenv("KAIMESH_TOKEN_FILE", str(secret))
    run = RunDir(tmp_path / "run")
    run.prepare()
    assert not (run.root / "token").exists(), "the run has no token of its own"
    with pytest.raises(ConfigError, match="cannot be read"):
        run.token()
    secret.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        run.token()
    secret.write_text("given\n")
    assert run.token() == "given"
