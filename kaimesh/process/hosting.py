"""Makes a process one that runs the agents of a folder (`--code`): its modules, its working folder, what it may ask."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kaimesh.config import Config
from kaimesh.config.code import importing, overlay
from kaimesh.config.code.paths import Paths
from kaimesh.config.packages import find_own_code
from kaimesh.contract import host
from kaimesh.process import torch_habits
from kaimesh.process.numbers import TrainingNumbers
from kaimesh.process.run_dir import RunDir

_ROOTS = (("restore_dir", "ckpt"), ("user_ckpt_dir", "user_ckpt"))  # of Kaiwu, and the run's folders


def enter(config: Config, run: RunDir, role: str) -> None:
    """Makes the user's code importable in this process. With a folder of agents, the working folder is its overlay.

    role: what users' code is told that this process is. Call it before any of the user's modules is imported.
    """
    if config.code is None:
        find_own_code()
        return
    place = overlay_of(config, run)
    values = values_of(config, run, role)
    host.become(host.Host(values, TrainingNumbers(run)))
    importing.enter(place, config.code.root)
    roots = {"/data/ckpt": Path(values["restore_dir"]), "/data/user_ckpt_dir": Path(values["user_ckpt_dir"])}
    paths = Paths(config.code.root, place, roots, run.root / "outside")
    paths.install()
    if importing.uses(config.code.root, "torch"):
        torch_habits.soften(paths)


def overlay_of(config: Config, run: RunDir) -> Path:
    """The overlay of the folder in this run; it is made where there is none. Raises OSError."""
    assert config.code is not None
    place = run.root / overlay.FOLDER
    if not place.is_dir():
        overlay.make(config.code.root, place)
    return place


def values_of(config: Config, run: RunDir, role: str) -> Mapping[str, Any]:
    """What CONFIG has. The folders in it exist, and have in `{app}_{algo}` what the run has."""
    assert config.code is not None
    app, name = config.app, f"{config.code.app}_{config.app.algo}"
    values: dict[str, Any] = {**config.code.kept, **app.model_dump()}
    for key, folder in _ROOTS:
        root = run.root / key
        root.mkdir(exist_ok=True)
        with suppress(FileExistsError):  # another process made it
            (root / name).symlink_to(os.path.join("..", folder))
        values[key] = str(root)
    logs = run.root / overlay.FOLDER / "log"
    logs.mkdir(exist_ok=True)
    return {**values, "app": config.code.app, "algo": app.algo, "log_dir": str(logs), "svr_name": role}
