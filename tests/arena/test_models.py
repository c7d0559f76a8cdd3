"""What --model names is found, or refused in words, whatever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaimesh.arena.models import Model, find_model
from kaimesh.contract.errors import ConfigError
from kaimesh.process.run_dir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "run")
    for folder in (run.ckpt, run.user_ckpt):
        folder.mkdir(parents=True)
    (run.ckpt / "model.ckpt-5.npz").touch()
    (run.ckpt / "model.ckpt-99.npz").mkdir()  # no file
    (run.ckpt / "model.ckpt-٣.npz").touch()  # no id of ours
    return run


@pytest.mark.parametrize("wanted", ["latest", "5", "{ckpt}", "{ckpt}/model.ckpt-5.npz"])
def test_only_files_are_models(run: RunDir, wanted: str) -> None:
    assert find_model(run, wanted.format(ckpt=run.ckpt)) == Model(run.ckpt, 5)


@pytest.mark.parametrize(
    "wanted",
    [
        "99",
        "3",
        "٣",
        "05",
        "²",
        "9" * 5000,
        "x" * 5000,
        "",
        "\0",
        "a\x1b[31m\nforged",
        "a\nb/model.ckpt-5.npz",
        "5 *",
        "-5",
    ],
)
def test_what_names_no_model_is_refused_in_a_line(run: RunDir, wanted: str) -> None:
    with pytest.raises(ConfigError) as refused:
        find_model(run, wanted)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 600
