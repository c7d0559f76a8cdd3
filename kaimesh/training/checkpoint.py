"""Models on disk: each is complete or absent, listed with its digests, and kept up to a count and a size.

A folder of models holds `model.ckpt-<id>.<ext>` (one file or several for an id, written by the user's `save_model`),
Kaiwu's `id_list`, and `manifest.json`: only what this lists is a model. Users' code deletes files from such folders by
itself, so a model file may disappear at any moment. Unfinished models are in hidden folders, whose names that code does
not look for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import shutil
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kaimesh.contract.errors import AgentError, MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.process import disk, documents
from kaimesh.process.disk import DiskTrouble, sync

MANIFEST = "manifest.json"
ID_LIST = "id_list"
MAX_ID = 2**53  # beyond it a number in JSON is not exact
_MAX_NAME_BYTES = 200  # file systems take 255
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DURABLE = ".manifest.durable.json"  # the last manifest that was fsynced: a power cut may damage a newer one
_WORKING = ".dump-"
_MODEL_FILE = re.compile(r"model\.ckpt-(\d+)\..+")
_log = logging.getLogger("kaimesh.training.checkpoint")


class FileInfo(NamedTuple):
    """One file of a model. name: without its folder. bytes: its size. sha256: the hexadecimal digest."""

    name: str
    bytes: int
    sha256: str


class ModelInfo(NamedTuple):
    """One model. id: the number of learns before its dump. time: when it was dumped, Unix seconds."""

    id: int
    files: tuple[FileInfo, ...]
    time: float

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.bytes for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """The model as JSON data."""
        return {"id": self.id, "time": self.time, "files": [file._asdict() for file in self.files]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelInfo:
        """The inverse of `to_json`. Raises KeyError, TypeError, ValueError: `data` is something else (see `check`)."""
        files = (FileInfo(_a(str, f["name"]), _a(int, f["bytes"]), _a(str, f["sha256"])) for f in data["files"])
        info = cls(_a(int, data["id"]), tuple(files), float(_a((int, float), data["time"])))
        check(info)
        return info


T = TypeVar("T")


def _a(kind: type[T] | tuple[type[T], ...], value: Any) -> T:
    """`value`, of just this kind: not a number in words, nor a truth. Raises TypeError."""
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = "text" if kind is str else "whole number" if kind is int else "number"
        raise TypeError(f"{value!r:.80} stands where a {wanted} belongs")
    return value


def check(info: ModelInfo) -> None:
    """Checks a description, which anybody may have written. Raises ValueError: it is of no model."""
    if not 0 <= info.id <= MAX_ID or not info.files:
        raise ValueError(
            f"a model has an id of 0 to 2^53 and at least one file; this one: id {info.id!s:.40}, {len(info.files)} "
            "files. It was not taken; write files in save_model."
        )
    if not math.isfinite(info.time):
        raise ValueError(
            f"model {info.id} was made at {info.time}, which is no time, so it was not taken; send Unix seconds"
        )
    if len({file.name for file in info.files}) < len(info.files):
        raise ValueError(
            f"two files of model {info.id} have the same name, so one would overwrite the other and it was not taken; "
            "rename one"
        )
    for file in info.files:
        _check_name(file.name, info.id)
        if file.bytes < 0 or not _SHA256.fullmatch(file.sha256):
            raise ValueError(
                f"{file.name}: size {file.bytes} or sha256 {file.sha256!r:.80} is impossible, so model {info.id} was "
                "not taken; send the size in bytes and 64 hexadecimal digits"
            )


def _check_name(name: str, id: int) -> None:
    plain = name.isprintable() and "/" not in name and len(name.encode("utf-8", "replace")) <= _MAX_NAME_BYTES
    if not plain or not name.startswith(prefix(id)) or name == prefix(id):
        raise ValueError(
            f"{name!r:.300} is no file of model {id}, which was not taken; the names are {prefix(id)}<ext>, of at most "
            f"{_MAX_NAME_BYTES} printable bytes: rename it"
        )


class Keep(NamedTuple):
    """Which models are kept: the newest `models`, up to `bytes` in all (0: no limit).

    The newest one and the ids `spare` are kept in any case.
    """

    models: int
    bytes: int = 0
    spare: tuple[int, ...] = ()

    def of(self, infos: list[ModelInfo]) -> list[ModelInfo]:
        """The models of `infos` (oldest first) to keep."""
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
    """Lets `save(path, id)` write a model into a working folder, moves the files to `folder`, and lists the model last.

    keep: which models to keep, as in `retain`; None: all.
    durable: fsync the files, so that they survive a power cut. Without it, a kill at any moment still leaves only
    complete models, and files that a power cut damaged fail their digest; that saves some 10 ms on a busy disk.
    Raises DiskTrouble: the disk is full; earlier models stay. AgentError: `save` wrote no `model.ckpt-<id>.*`.
    Exceptions of `save` pass through.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents.sweep(folder)
    for leftover in folder.glob(f"{_WORKING}*"):  # of a killed process; only one process writes to a folder
        shutil.rmtree(leftover, ignore_errors=True)
    working = folder / f"{_WORKING}{id}"
    try:
        working.mkdir()
        save(str(working), id)
        info = _taken(working, id)
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
    """The models that the manifest lists, also if their files are gone; lowest id first.

    Raises MeshError as `models`.
    """
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
        _log.warning("%s is damaged (%s); using the list of the last dump that was written durably", path, error)
        return entries


_DAMAGE = (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError)


def _read_manifest(path: Path) -> list[ModelInfo]:
    infos = sorted(ModelInfo.from_json(entry) for entry in json.loads(documents.read_bytes(path))["models"])
    if len({info.id for info in infos}) < len(infos):
        raise ValueError("it lists two models of one id")
    return infos


def verify(folder: Path, info: ModelInfo) -> None:
    """Compares a model's files with their digests. Raises MeshError: one is gone or damaged."""
    for file in info.files:
        path = folder / file.name
        try:
            size, digest = path.stat().st_size, digest_of(path) if path.is_file() else "none, it is no file"
        except FileNotFoundError as error:
            raise MeshError(f"{path} is gone; model {info.id} cannot be loaded. Load another id.") from error
        if (size, digest) != (file.bytes, file.sha256):
            raise MeshError(
                f"{path} is damaged: {size} bytes, sha256 {digest[:12]}..., but {file.bytes} bytes, "
                f"{file.sha256[:12]}... were written. Model {info.id} will not be loaded. Delete the file, or load "
                "another id."
            )


def retain(folder: Path, max_count: int, max_bytes: int) -> None:
    """Removes the oldest models beyond `max_count` and `max_bytes` in all (0: no limit); never the newest one."""
    kept = Keep(max_count, max_bytes).of(models(folder))
    if kept != listed(folder):
        _write_manifest(folder, kept, durable=False)
    _remove_unlisted(folder, kept)


def _remove_unlisted(folder: Path, kept: list[ModelInfo]) -> None:
    """Removes model files that no entry lists and whose id is below the newest one's.

    Called after the manifest was written, so that a kill in between leaves files without entries, and never entries
    without files.
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
    """A DiskTrouble that explains `error`, if a full or broken disk caused it; else None. what: what was written."""
    trouble = disk.trouble(error, folder)
    if not trouble:
        return None
    try:
        last = [info.id for info in models(folder)][-1:]
    except (MeshError, OSError):
        last = []
    good = f"the last good model stays: {last[0]}" if last else "there is no model yet"
    return DiskTrouble(
        f"no room for {what} in {folder}: {trouble}; it was not kept, {good}. Free some space, or lower "
        "max_save_model_file_count or max_save_model_bytes."
    )


def _taken(working: Path, id: int) -> ModelInfo:
    """The model of the files that the agent wrote. Raises AgentError: there is none, or one has an impossible name."""
    paths = sorted(path for path in working.iterdir())
    taken = [path for path in paths if path.name.startswith(prefix(id)) and path.is_file()]
    if not taken:
        raise AgentError(
            f"Agent.save_model(path, id={id}) wrote {[path.name for path in paths] or 'nothing'}; a model is one file "
            f"or several in `path` named {prefix(id)}<ext>, or nothing can be loaded again. Name them so."
        )
    _warn_left_out(tuple(path.name.replace(str(id), "<id>") for path in paths if path not in taken))
    files = (FileInfo(path.name, path.stat().st_size, digest_of(path)) for path in taken)
    info = ModelInfo(id, tuple(files), time.time())
    try:
        check(info)
    except ValueError as error:
        raise AgentError(f"Agent.save_model(path, id={id}): {error}") from error
    return info


@lru_cache
def _warn_left_out(names: tuple[str, ...]) -> None:
    if names:
        _log.warning(
            "Agent.save_model also wrote %s; only files named model.ckpt-<id>.<ext> are kept", ", ".join(names)
        )


def _write_manifest(folder: Path, infos: list[ModelInfo], *, durable: bool) -> None:
    infos = sorted(infos)
    text = json_text({"models": [info.to_json() for info in infos]})
    _write_text(folder / MANIFEST, text, durable)
    if durable:
        _write_text(folder / _DURABLE, text, durable)
    lines = ["all id list", *(f"model.ckpt-{info.id}" for info in infos)]
    _write_text(folder / ID_LIST, "\n".join(lines) + "\n", durable=False)


def _write_text(path: Path, text: str, durable: bool) -> None:
    """Writes a file completely, or leaves the old one."""
    temporary = path.with_name(f".{path.name.lstrip('.')}.tmp")
    temporary.write_text(text)
    if durable:
        sync(temporary)
    if path.is_dir():
        documents.set_aside(path, "is no file")
    temporary.replace(path)
