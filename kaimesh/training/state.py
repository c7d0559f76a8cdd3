"""Training state on disk: what an exact resume needs besides the weights (optimizer, random generators, counters).

There is one folder for each id under `training_state/`. It is written before the model of that id is listed.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kaimesh.contract.errors import MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.process import documents
from kaimesh.process.disk import sync
from kaimesh.training import checkpoint
from kaimesh.training.checkpoint import ModelInfo

KEPT = 2  # two: the process may be killed after a state was written and before its model was listed
_RECORD, _AGENT = "trainer.json", "agent"
_WORKING = ".state-"


class State(NamedTuple):
    """A saved training state. folder: the argument for the agent's `load_training_state`."""

    folder: Path
    counters: dict[str, Any]


def save(
    root: Path,
    id: int,
    counters: dict[str, Any],
    save_agent: Callable[[str], None] | None,
    *,
    durable: bool = True,
) -> None:
    """Writes the state of `id`, completely or not at all, and deletes all but the last two.

    save_agent: the agent's own `save_training_state(folder)`, if it has one. durable: as for `checkpoint.dump`.
    Raises DiskTrouble: the disk is full.
    """
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.glob(f"{_WORKING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    working = root / f"{_WORKING}{id}"
    try:
        (working / _AGENT).mkdir(parents=True)
        if save_agent is not None:
            save_agent(str(working / _AGENT))
        record = {"counters": counters, "digests": _digests(working / _AGENT)}
        (working / _RECORD).write_text(json_text(record))
        for path in working.rglob("*") if durable else ():
            sync(path)
        shutil.rmtree(root / str(id), ignore_errors=True)
        working.rename(root / str(id))
        if durable:
            sync(root)
    except Exception as error:
        what = f"the training state of model {id}"
        if (trouble := checkpoint.no_room(error, root.parent / "ckpt", what)) is not None:
            raise trouble from error
        raise
    finally:
        shutil.rmtree(working, ignore_errors=True)
    for old in ids(root)[:-KEPT]:
        shutil.rmtree(root / str(old), ignore_errors=True)


def ids(root: Path) -> list[int]:
    """The ids whose state is there, oldest first."""
    return sorted(int(path.name) for path in root.glob("[0-9]*") if path.name.isdecimal())


def load(root: Path, id: int) -> State | None:
    """The state of `id`, verified; None: there is none. Raises MeshError: it is damaged."""
    path = root / str(id)
    if not path.is_dir():
        return None
    try:
        record = json.loads(documents.read_bytes(path / _RECORD))
        whole = record["digests"] == _digests(path / _AGENT)
        counters = dict(record["counters"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise MeshError(
            f"{path / _RECORD} is damaged ({error}), so the training state of {id} is not loaded. Delete {path} to do "
            "without it."
        ) from error
    if not whole:
        raise MeshError(
            f"{path / _AGENT} is damaged: files changed or are missing, so it is not loaded. Restore them, or delete "
            f"{path} to do without it."
        )
    return State(path / _AGENT, counters)


def newest_pair(ckpt: Path, root: Path, exact: bool, logger: logging.Logger) -> tuple[ModelInfo, State | None]:
    """What to resume from: the newest intact model of `ckpt`, and its state; damaged ones are logged and skipped.

    exact: the agent can load a state, so a model with a state is preferred to a newer one without.
    Raises MeshError: no model is intact.
    """
    alone: ModelInfo | None = None
    for info in reversed(checkpoint.models(ckpt)):
        try:
            checkpoint.verify(ckpt, info)
            alone = alone or info
            saved = load(root, info.id)
        except MeshError as error:
            logger.error("%s Trying the model before.", error)
            continue
        if saved is not None or not exact:
            return info, saved
    if alone is not None:
        return alone, None
    raise MeshError(
        f"no model in {ckpt} is whole; the run cannot be resumed. Start a new one, or delete "
        f"{ckpt / checkpoint.MANIFEST} to train from nothing in this one."
    )


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): checkpoint.digest_of(path) for path in files}
