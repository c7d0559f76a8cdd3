"""Makes a process one that runs the agents of a folder (`--code`): its modules, its working folder, what it may ask."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import kaimesh
from kaimesh import CALLER_VARIABLE
from kaimesh.config import Config
from kaimesh.config.code import importing, overlay
from kaimesh.config.code.overlay import digest
from kaimesh.config.code.paths import Paths
from kaimesh.config.packages import find_own_code
from kaimesh.contract import host
from kaimesh.process import torch_habits
from kaimesh.process.documents import write_json
from kaimesh.process.numbers import TrainingNumbers
from kaimesh.process.run_dir import RunDir

FILE = "code.json"  # in a run's directory
_ROOTS = (("restore_dir", "ckpt"), ("user_ckpt_dir", "user_ckpt"))  # of Kaiwu, and the run's folders


def enter(config: Config, run: RunDir, role: str, writes: bool = False) -> None:
    """Makes the user's code importable in this process. With a folder of agents, the working folder is its overlay.

    role: what users' code is told that this process is. writes: whether the program itself writes where the user says,
    be it in the folder. Call it before any of the user's modules is imported.
    """
    if config.code is None:
        find_own_code()
        return
    place = overlay_of(config, run)
    values = values_of(config, run, role)
    host.become(host.Host(values, TrainingNumbers(run)))
    os.environ.setdefault(CALLER_VARIABLE, os.getcwd())  # what is typed is not meant for the overlay
    importing.enter(place, config.code.root, [str(importing.COMPAT), _kaimesh_alone(run)])
    roots = {"/data/ckpt": Path(values["restore_dir"]), "/data/user_ckpt_dir": Path(values["user_ckpt_dir"])}
    paths = Paths(place if writes else config.code.root, place, roots, run.root / "outside")
    paths.install()
    if importing.uses(config.code.root, "torch"):
        torch_habits.soften(paths)


def _kaimesh_alone(run: RunDir) -> str:
    """A folder in which there is kaimesh and nothing else: what multiprocessing starts imports it again."""
    folder = run.root / "path"
    folder.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        (folder / "kaimesh").symlink_to(Path(kaimesh.__file__).parent)
    return str(folder)


def record(config: Config, run: RunDir) -> str:
    """Writes down in the run's code.json what the folder's files are now, as before and after the run.

    Returns a warning, if they are not what they were at the start; else "". Raises OSError.
    """
    code = config.code
    if code is None:
        return ""
    now = digest(code.root) if code.root.is_dir() else "gone"
    told = {"folder": str(code.root), "generation": code.generation, "why": code.why}
    write_json(run.root / FILE, {**told, "hash_before": code.hash, "hash_after": now})
    if now == code.hash:
        return ""
    return f"{code.root} has changed since the start of this run, in which nothing writes there; see {run.root / FILE}"


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
