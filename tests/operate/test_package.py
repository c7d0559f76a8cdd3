"""Packages of a folder of agents: what is in one, what one lacks, and a package that is made, unpacked and played."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from kaimesh.config.code import Code
from kaimesh.contract.errors import ConfigError
from kaimesh.operate.package.contents import Model, files_of, model_of, run_of
from kaimesh.operate.package.reading import lacks, unpack
from kaimesh.operate.package.verify import verify
from kaimesh.operate.package.writing import name_of, write
from kaimesh.process.run_dir import RunDir
from tests.code.copies import Change, copy, digest, train
from tests.code.faults import AGENT, BASE
from tests.code.idioms import IDIOMS

NOW = 1_700_000_000.0


def a_model(folder: Path, id: int, *suffixes: str) -> Path:
    """Files of a model with its id in them."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in suffixes or (".npz",):
        (folder / f"model.ckpt-{id}{suffix}").write_text(f"{id}{suffix}")
    return folder


def packed(root: Path, target: Path, models: Path) -> Path:
    """A package of the folder `root` with the newest of `models`."""
    code, model = Code.read(root), Model.find(models)
    assert model is not None
    write(target, code, files_of(code), model, NOW)
    return target


def test_a_package_has_what_kaiwus_has(tmp_path: Path) -> None:
    root = copy(BASE, tmp_path / "code")
    (root / "log").mkdir()
    (root / "log/a.log").write_text("x")
    (root / "notes.txt").write_text("x")
    models = a_model(tmp_path / "models", 9, ".npz", ".pth")
    a_model(models, 10, ".npz", ".pth")
    before = digest(root)
    target = packed(root, tmp_path / "p.zip", models)
    assert digest(root) == before
    place = tmp_path / "place"
    count = unpack(target, place)
    names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert len(names) == count
    assert {"ckpt/id_list", "ckpt/kaiwu.json", "ckpt/model.ckpt-10.npz", "ckpt/model.ckpt-10.pth"} < names
    assert {"kaiwu.json", "conf/configure_app.toml", "diy/train_workflow.py", "tools/shaping.py"} < names
    assert not [name for name in names if "model.ckpt-9" in name or name.startswith("log") or name == "notes.txt"]
    assert (place / "ckpt/id_list").read_text().splitlines() == ["all id list", "model.ckpt-10"]
    assert lacks(place) == []
    again = Code.read(place)
    assert (again.generation, again.app, again.algo) == ("G1", "back_to_the_realm", "diy")
    assert again.settings["eval_model_id"] == 10
    about = json.loads((tmp_path / "p.zip.json").read_text())
    assert (about["model_file_name"], about["train_step"]) == ("p.zip", 10)
    assert name_of(again, Model(10, ()), NOW).startswith("back_to_the_realm-diy-10-2023_11_1")


def test_the_lines_of_the_model_stand_once(tmp_path: Path) -> None:
    root = copy("g2a_tuple", tmp_path / "code")
    target = packed(root, tmp_path / "p.zip", a_model(tmp_path / "models", 3))
    unpack(target, tmp_path / "place")
    text = (tmp_path / "place/conf/configure_app.toml").read_text()
    assert text.count("eval_model_id") == text.count("eval_model_dir") == 1
    assert "eval_model_id = 3\n" in text
    assert not (tmp_path / "place/tools").exists(), "copy_dir names the folders"


def test_copy_dir_that_leads_nowhere(tmp_path: Path) -> None:
    root = copy("g2a_tuple", tmp_path / "code", Change("conf/configure_app.toml", "conf,agent_diy", "conf,agent_dyi"))
    with pytest.raises(ConfigError, match="copy_dir names agent_dyi"):
        files_of(Code.read(root))


def test_which_model(tmp_path: Path) -> None:
    code = Code.read(copy(BASE, tmp_path / "code"))
    with pytest.raises(ConfigError, match="there is no such model"):
        model_of("latest", None, code)
    a_model(code.root / "ckpt", 7)
    assert model_of("latest", None, code).id == 7
    run = RunDir(tmp_path / "runs/a")
    run.prepare()
    run.conf.write_text(f'[code]\nroot = "{code.root}"\n')
    a_model(run.ckpt, 12, ".npz", ".pth")
    a_model(run.user_ckpt, 11)
    found = run_of(code, tmp_path / "runs")
    assert found is not None
    assert found.root == run.root
    assert model_of("latest", run, code).id == 12
    assert [path.suffix for path in model_of("12", run, code).files] == [".npz", ".pth"]
    assert model_of("11", run, code).files[0].parent == run.user_ckpt
    assert model_of(str(run.ckpt / "model.ckpt-12.pth"), None, code).id == 12
    assert model_of(str(run.user_ckpt), None, code).id == 11
    with pytest.raises(ConfigError, match="there is no such model"):
        model_of("13", run, code)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("kaiwu.json", "it has no kaiwu.json"),
        ("conf/configure_app.toml", "it has no conf/configure_app.toml"),
        ("ckpt/id_list", "does not list model.ckpt-5"),
        ("ckpt/kaiwu.json", "says no model_file_hash"),
        ("ckpt/model.ckpt-5.npz", "there is no model to load"),
    ],
)
def test_what_it_lacks_is_told(tmp_path: Path, file: str, words: str) -> None:
    target = packed(copy(BASE, tmp_path / "code"), tmp_path / "p.zip", a_model(tmp_path / "models", 5))
    place = tmp_path / "place"
    unpack(target, place)
    (place / file).unlink()
    assert any(words in found for found in lacks(place))


def test_a_model_that_was_changed_is_told(tmp_path: Path) -> None:
    target = packed(copy(BASE, tmp_path / "code"), tmp_path / "p.zip", a_model(tmp_path / "models", 5))
    unpack(target, tmp_path / "place")
    (tmp_path / "place/ckpt/model.ckpt-5.npz").write_text("another")
    assert any("its SHA-256 differs" in found for found in lacks(tmp_path / "place"))


@pytest.mark.parametrize("name", ["../outside.py", "/tmp/outside.py", "a\\..\\..\\outside.py"])
def test_a_package_of_a_stranger_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as package:
        package.writestr("kaiwu.json", "{}")
        package.writestr(name, "x")
    with pytest.raises(ConfigError, match="outside of the package"):
        unpack(tmp_path / "p.zip", tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_what_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_text("no zip")
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        unpack(tmp_path / "p.zip", tmp_path / "place")


@pytest.mark.long
def test_a_package_is_tried_step_by_step(tmp_path: Path) -> None:
    root = copy(BASE, tmp_path / "code")
    done = train(root, tmp_path / "runs", IDIOMS[BASE].settings)
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "runs/train_test")
    good = packed(root, tmp_path / "good.zip", run.ckpt)
    shutil.rmtree(root)
    said: list[str] = []
    assert verify(good, said.append) == 0, said
    steps = [line.split()[1].rstrip(":") for line in said]
    assert steps == ["unpacks", "is", "reads", "imports", "loads", "predicts", "exploits"], said
    assert all(line.startswith("ok ") for line in said), said

    bad = copy(BASE, tmp_path / "bad", Change(AGENT, '["weights"]', '["wieghts"]'))
    said = []
    assert verify(packed(bad, tmp_path / "bad.zip", run.ckpt), said.append) != 0
    text = "\n".join(said)
    assert [line.split()[1] for line in said if line.startswith("failed")] == ["loads:"], text
    assert "KeyError" in text
    assert f'File "bad.zip/{AGENT}", line ' in text
