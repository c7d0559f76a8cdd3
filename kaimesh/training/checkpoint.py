"""Models on disk: whole or not there at all, listed with their digests, kept by count and by bytes.

A folder of models holds `model.ckpt-<id>.<ext>` (one file or several an id, written by the user's `save_model`), Kaiwu's
`id_list`, and `manifest.json`, which is the truth about the folder: what it does not list is not a model. User code
cleans such folders by itself, so any model file may be gone at any moment; what is under way stands in hidden folders,
without the prefix that those cleaners look for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from kaimesh.contract.errors import AgentError, MeshError
from kaimesh.process import disk, documents
from kaimesh.process.disk import DiskTrouble, sync

MANIFEST = "manifest.json"
ID_LIST = "id_list"
_DURABLE = ".manifest.durable.json"  # the manifest as of the last fsync; a power cut may empty a newer one
_WORKING = ".dump-"
_MODEL_FILE = re.compile(r"model\.ckpt-(\d+)\..+")
_log = logging.getLogger("kaimesh.training.checkpoint")


class FileInfo(NamedTuple):
    """One file of a model. name: without folder. bytes: its size. sha256: hexadecimal digest of its content."""

    name: str
    bytes: int
    sha256: str


class ModelInfo(NamedTuple):
    """One model: `id` is the learner's train_count, `time` when it was dumped (Unix seconds)."""

    id: int
    files: tuple[FileInfo, ...]
    time: float

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"id": self.id, "time": self.time, "files": [file._asdict() for file in self.files]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelInfo:
        """The inverse of `to_json`. Raises KeyError, TypeError, ValueError: it is something else."""
        files = (FileInfo(str(f["name"]), int(f["bytes"]), str(f["sha256"])) for f in data["files"])
        return cls(int(data["id"]), tuple(files), float(data["time"]))


class Keep(NamedTuple):
    """Which models stay: the newest `models`, of at most `bytes` in all (0: no limit); the newest and `spare` in any case."""

    models: int
    bytes: int = 0
    spare: tuple[int, ...] = ()

    def of(self, infos: list[ModelInfo]) -> list[ModelInfo]:
        """Those of `infos` (oldest first) that stay."""
        kept = infos[-self.models :]
        while len(kept) > 1 and 0 < self.bytes < sum(info.bytes for info in kept):
            kept = kept[1:]
        return [info for info in infos if info in kept or info.id in self.spare]


def prefix(id: int) -> str:
    """What the names of a model's files begin with."""
    return f"model.ckpt-{id}."


def dump(
    folder: Path, id: int, save: Callable[[str, int], None], *, durable: bool = True, keep: Keep | None = None
) -> ModelInfo:
    """Lets `save(path, id)` write a model into a working folder and takes it over as a whole; its entry comes last.

    keep: which models stay, as `retain` does it; None: all.
    durable: fsync the files, so that a power cut leaves them too. Without, a kill at any moment leaves only whole models
    just the same, and what a power cut damaged fails its digest; it saves some ten milliseconds on a busy disk.
    Raises DiskTrouble: the disk is full (the models that were there stay). AgentError: `save` wrote no
    `model.ckpt-<id>.*`. What `save` raises passes through.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents.sweep(folder)
    for leftover in folder.glob(f"{_WORKING}*"):  # of a process that was killed; a folder has one writer
        shutil.rmtree(leftover, ignore_errors=True)
    working = folder / f"{_WORKING}{id}"
    try:
        working.mkdir()
        save(str(working), id)
        info = ModelInfo(id, tuple(_take_files(working, id)), time.time())
        before = models(folder)
        others = [model for model in before if model.id != id]
        if others != before:  # never list new files under old digests
            _write_manifest(folder, others, durable=False)
        for file in info.files:
            if durable:
                sync(working / file.name)
            os.replace(working / file.name, folder / file.name)
        if durable:
            sync(folder)
        kept = sorted([*others, info])
        kept = kept if keep is None else keep.of(kept)
        _write_manifest(folder, kept, durable=durable)
        if keep is not None:
            _remove_unlisted(folder, kept)
    except Exception as error:
        if (trouble := no_room(error, folder, f"model {id}")) is not None:
            raise trouble from error
        raise
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return info


def models(folder: Path) -> list[ModelInfo]:
    """The models whose files are all there, oldest (lowest id) first. Raises MeshError: the manifest is damaged."""
    return [info for info in listed(folder) if all((folder / file.name).is_file() for file in info.files)]


def listed(folder: Path) -> list[ModelInfo]:
    """What the manifest lists, whether or not the files are still there; lowest id first. Raises MeshError as `models`."""
    path = folder / MANIFEST
    try:
        return _read_manifest(path)
    except FileNotFoundError:
        return []
    except _DAMAGE as error:
        try:
            entries = _read_manifest(folder / _DURABLE)
        except _DAMAGE:
            raise MeshError(
                f"{path} is damaged ({error}); it is not known which models are whole, so none is loaded. Delete it to "
                "start from nothing, or restore it."
            ) from error
        _log.warning("%s is damaged (%s); taking what the last durable dump listed", path, error)
        return entries


_DAMAGE = (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError)


def _read_manifest(path: Path) -> list[ModelInfo]:
    return sorted(ModelInfo.from_json(entry) for entry in json.loads(documents.read_bytes(path))["models"])


def verify(folder: Path, info: ModelInfo) -> None:
    """Compares a model's files with their digests. Raises MeshError naming the file and the remedy."""
    for file in info.files:
        path = folder / file.name
        try:
            size, digest = path.stat().st_size, digest_of(path) if path.is_file() else "none, it is no file"
        except FileNotFoundError as error:
            raise MeshError(f"{path} is gone; model {info.id} cannot be loaded. Load another id.") from error
        if (size, digest) != (file.bytes, file.sha256):
            raise MeshError(
                f"{path} is damaged: {size} bytes, sha256 {digest[:12]}..., but {file.bytes} bytes, {file.sha256[:12]}... "
                f"were written. Model {info.id} will not be loaded. Delete the file, or load another id."
            )


def retain(folder: Path, max_count: int, max_bytes: int) -> None:
    """Removes the oldest models beyond `max_count`, and beyond `max_bytes` in all (0: no limit); the newest always stays."""
    kept = Keep(max_count, max_bytes).of(models(folder))
    if kept != listed(folder):
        _write_manifest(folder, kept, durable=False)
    _remove_unlisted(folder, kept)


def _remove_unlisted(folder: Path, kept: list[ModelInfo]) -> None:
    """Removes older files than the newest model's that nobody lists.

    It comes after the manifest: a kill in between leaves files that nobody lists, not entries without files.
    """
    names = {file.name for info in kept for file in info.files}
    for path in folder.iterdir():
        match = _MODEL_FILE.fullmatch(path.name)
        if kept and match and int(match[1]) < kept[-1].id and path.name not in names:
            path.unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """The file's sha256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def no_room(error: BaseException, folder: Path, what: str) -> DiskTrouble | None:
    """The words for `error` where a disk makes it: which, what is free, which model is the last good one; else None."""
    trouble = disk.trouble(error, folder)
    if not trouble:
        return None
    try:
        last = [info.id for info in models(folder)][-1:]
    except (MeshError, OSError):
        last = []
    good = f"the last good model stays: {last[0]}" if last else "there is no model yet"
    return DiskTrouble(
        f"no room for {what} in {folder}: {trouble}; it was not kept, {good}. Free some space, or lower max_save_model_file_count "
        "or max_save_model_bytes."
    )


def _take_files(working: Path, id: int) -> Iterable[FileInfo]:
    """Describes what the agent wrote."""
    paths = sorted(path for path in working.iterdir())
    taken = [path for path in paths if path.name.startswith(prefix(id)) and path.is_file()]
    if not taken:
        raise AgentError(
            f"Agent.save_model(path, id={id}) wrote {[path.name for path in paths] or 'nothing'}; a model is one file or several "
            f"in `path` named {prefix(id)}<ext>, or nothing can be loaded again. Name them so."
        )
    _warn_left_out(tuple(path.name.replace(str(id), "<id>") for path in paths if path not in taken))
    for path in taken:
        yield FileInfo(path.name, path.stat().st_size, digest_of(path))


@lru_cache
def _warn_left_out(names: tuple[str, ...]) -> None:
    if names:
        _log.warning(
            "Agent.save_model also wrote %s; only files named model.ckpt-<id>.<ext> are kept", ", ".join(names)
        )


def _write_manifest(folder: Path, infos: list[ModelInfo], *, durable: bool) -> None:
    infos = sorted(infos)
    text = json.dumps({"models": [info.to_json() for info in infos]})
    _write_text(folder / MANIFEST, text, durable)
    if durable:
        _write_text(folder / _DURABLE, text, durable)
    lines = ["all id list", *(f"model.ckpt-{info.id}" for info in infos)]
    _write_text(folder / ID_LIST, "\n".join(lines) + "\n", durable=False)


def _write_text(path: Path, text: str, durable: bool) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name.lstrip('.')}.tmp")
    temporary.write_text(text)
    if durable:
        sync(temporary)
    if path.is_dir():
        documents.set_aside(path, "is no file")
    temporary.replace(path)
