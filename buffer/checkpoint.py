"""Checkpoints of a buffer on disk, kept where Reverb cannot delete them and checked before they are restored.

After each save Reverb deletes everything else in its checkpoint directory, and on start it restores whatever it finds
there, with the table configuration that was saved instead of the wanted one. So Reverb gets a directory of its own
(`reverb/`), which is empty except while it saves or restores. Finished checkpoints are moved to `kept/`, each with a
manifest of file sizes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, TypeAdapter

from kaimesh.contract.errors import MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.contract.untrusted import parsed
from kaimesh.process.disk import sync
from kaimesh.process.documents import read_bytes, write_json

GENERATIONS = 2
_MANIFEST = "manifest.json"
_DATA = "data"


Count = Annotated[int, Field(ge=0, le=2**53)]


class Manifest(NamedTuple):
    """What a checkpoint holds. inserted: rows ever inserted. items: the least number of items. files: path, bytes.

    rows: of each item of a queue; []: all are full. digest: of all this, in hexadecimal; "": made before there was one.
    copies: the configuration of the second table; None: there is none. copies_items: the least number of its items.
    """

    specs: list[Any]
    spaces: dict[str, Any] | None
    configuration: dict[str, str]
    inserted: Count
    items: Count
    files: list[tuple[str, Count]]
    rows: Sequence[Count] = ()
    digest: str = ""
    copies: dict[str, str] | None = None
    copies_items: Count = 0

    def signed(self) -> Manifest:
        """With its digest."""
        data = self._replace(digest="")._asdict()
        if self.copies is None:  # as if there were no such fields, which there were not at first
            del data["copies"], data["copies_items"]
        return self._replace(digest=hashlib.sha256(json_text(data).encode()).hexdigest())


_SHAPE = TypeAdapter(Manifest)


class Checkpoints:
    """The checkpoints in `folder`; nothing else in it is touched."""

    def __init__(self, folder: Path, logger: logging.Logger | None = None) -> None:
        self.folder = folder
        self.own = folder / "reverb"
        self._kept = folder / "kept"
        self._log = logger or logging.getLogger("buffer")
        self._kept.mkdir(parents=True, exist_ok=True)
        self.own.mkdir(exist_ok=True)
        self._sweep()

    def candidates(self) -> Iterator[tuple[Manifest, Path]]:
        """The intact checkpoints, newest first; logs which are damaged and why."""
        for folder in reversed(self._generations()):
            try:
                data = json.loads(read_bytes(folder / _MANIFEST))
                manifest = parsed(_SHAPE, data, f"its {_MANIFEST} is none of a checkpoint", MeshError)
                if manifest.digest and manifest != manifest.signed():
                    raise MeshError(f"its {_MANIFEST} is not as it was written")
                wrong = [name for name, size in manifest.files if (folder / _DATA / name).stat().st_size != size]
            except (OSError, ValueError, RecursionError, MeshError) as error:
                self._log.error("checkpoint %s is damaged (%s); trying the one before", folder, error)
                continue
            if wrong:
                self._log.error(
                    "checkpoint %s is damaged (size of %s); trying the one before", folder, ", ".join(wrong)
                )
                continue
            yield manifest, folder

    def keep(self, saved: Path, manifest: Manifest) -> Path:
        """Moves what Reverb saved at `saved` to `kept/`, with a manifest; deletes all but the newest GENERATIONS.

        Raises OSError: the disk is full or broken. Earlier checkpoints stay, and nothing is left of the new one.
        """
        try:
            target = self._keep(saved, manifest)
        except OSError:
            self._sweep()
            raise
        for old in self._generations()[:-GENERATIONS]:
            shutil.rmtree(old)
        return target

    def _keep(self, saved: Path, manifest: Manifest) -> Path:
        newest = max((int(path.name) for path in self._generations()), default=0)
        target = self._kept / f"{max(time.time_ns(), newest + 1):020d}"  # also where the clock was set back
        unfinished = self._kept / f".{target.name}"
        unfinished.mkdir()
        saved.replace(unfinished / _DATA)
        files = sorted((unfinished / _DATA).rglob("*"))
        sizes = [(str(path.relative_to(unfinished / _DATA)), path.stat().st_size) for path in files if path.is_file()]
        for path in files:
            sync(path)
        write_json(unfinished / _MANIFEST, manifest._replace(files=sizes).signed()._asdict(), durable=True)
        unfinished.replace(target)
        sync(self._kept)
        return target

    def lay_out(self, folder: Path) -> None:
        """Links a kept checkpoint into Reverb's directory. Hard links: Reverb deletes them later, but not the files."""
        self.clear_own()
        for source in sorted((folder / _DATA).rglob("*")):
            target = self.own / folder.name / source.relative_to(folder / _DATA)
            if source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(source, target)

    def clear_own(self) -> None:
        """Empties Reverb's directory, so that an unfinished save is not restored."""
        shutil.rmtree(self.own)
        self.own.mkdir()

    def forget(self) -> None:
        """Deletes the kept checkpoints."""
        for folder in self._generations():
            shutil.rmtree(folder)

    def _sweep(self) -> None:
        """Removes checkpoints that a kill or a full disk left unfinished."""
        for leftover in self._kept.glob(".[0-9]*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _generations(self) -> list[Path]:
        return sorted(path for path in self._kept.iterdir() if path.name.isdecimal() and path.is_dir())
