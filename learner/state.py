"""Training state on disk: what the agent needs besides its weights to go on exactly (optimizer, generators), and counters.

One folder an id under `training_state/`, written before the model of that id is listed: every listed model has its state.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaimesh import checkpoint
from kaimesh.errors import MeshError

KEPT = 2  # the newest may be of a dump that was killed before its model was listed
_COUNTERS = "trainer.json"
_WORKING = ".state-"


def save(root: Path, id: int, counters: dict[str, Any], save_agent: Callable[[str], None] | None) -> None:
    """Writes the state of `id` whole or not at all, and forgets all but the last two.

    save_agent: the agent's own `save_training_state(folder)`, if it has one. Raises MeshError: the disk is full.
    """
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.glob(f"{_WORKING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    working = root / f"{_WORKING}{id}"
    try:
        (working / "agent").mkdir(parents=True)
        if save_agent is not None:
            save_agent(str(working / "agent"))
        checkpoint.write_text(working / _COUNTERS, json.dumps(counters))
        for path in working.rglob("*"):
            checkpoint.sync(path)
        shutil.rmtree(root / str(id), ignore_errors=True)
        working.rename(root / str(id))
        checkpoint.sync(root)
    except Exception as error:
        if checkpoint.is_full(error, root):
            raise MeshError(checkpoint.full_disk(root.parent / "ckpt", f"the training state of model {id}")) from error
        raise
    finally:
        shutil.rmtree(working, ignore_errors=True)
    for old in ids(root)[:-KEPT]:
        shutil.rmtree(root / str(old), ignore_errors=True)


def ids(root: Path) -> list[int]:
    """Whose state is there, oldest first."""
    return sorted(int(path.name) for path in root.glob("[0-9]*") if path.name.isdecimal())


def folder(root: Path, id: int) -> Path | None:
    """What `load_training_state` of the agent gets for `id`; None: there is no state of it."""
    path = root / str(id) / "agent"
    return path if path.is_dir() else None


def counters(root: Path, id: int) -> dict[str, Any]:
    """The counters that were saved with `id`; {} if there are none. Raises MeshError: damaged."""
    path = root / str(id) / _COUNTERS
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise MeshError(f"{path} is damaged ({error}). Delete {path.parent} to resume with the model alone.") from error
    return data
