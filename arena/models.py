"""Finds the model that an evaluation loads."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from kaimesh.contract.errors import ConfigError
from kaimesh.contract.untrusted import clean
from kaimesh.process.run_dir import RunDir

_MODEL_FILE = re.compile(r"model\.ckpt-([0-9]+)\..+")


class Model(NamedTuple):
    """The folder and the id with which `load_model` is called."""

    folder: Path
    id: int


def find_model(run: RunDir | None, wanted: str, option: str = "--model ") -> Model:
    """The model `wanted`: "latest", an id, a folder of models (the newest in it), or a model file.

    run: where "latest" and ids are looked for. option: how it was asked for, for errors. Raises ConfigError: there is
    no such model.
    """
    path, shown = Path(wanted), clean(wanted, 200)
    if wanted != "latest" and not wanted.isdecimal():
        if os.path.isdir(path):  # unlike Path.is_dir it raises nothing where a name is too long
            return _newest(path)
        if match := _MODEL_FILE.fullmatch(path.name):
            if os.path.isfile(path):
                return Model(path.parent, int(match[1]))
            raise ConfigError(f"{option}{shown}: there is no such file, so no model was loaded. Check the name.")
        raise ConfigError(
            f"{option}{wanted!r:.200} is neither 'latest', nor an id, nor a folder, nor a file model.ckpt-<id>.*, so "
            "no model is meant. Name one of these."
        )
    if run is None:
        raise ConfigError(
            f"{option}{shown} is looked for in a run, and none is named, so no model was loaded; give --run, or a "
            "folder or file as --model"
        )
    if wanted == "latest":
        return _newest(run.ckpt)
    folders = (run.ckpt, run.user_ckpt)
    for folder in folders:
        if wanted in map(str, _ids(folder)):
            return Model(folder, int(wanted))
    known = ", ".join(map(str, sorted({i for folder in folders for i in _ids(folder)}))) or "none"
    raise ConfigError(
        f"{option}{shown}: {run.root} has no such model, so none was loaded; it has {known} (older ones were "
        "deleted). Name one of these."
    )


def _newest(folder: Path) -> Model:
    if ids := _ids(folder):
        return Model(folder, max(ids))
    raise ConfigError(
        f"{folder} has no model yet, so there is nothing to evaluate; wait: the learner dumps every dump_model_freq "
        "learns, and first at its start"
    )


def _ids(folder: Path) -> list[int]:
    files = (file for file in folder.glob("model.ckpt-*") if os.path.isfile(file))
    return [int(match[1]) for file in files if (match := _MODEL_FILE.fullmatch(file.name))]
