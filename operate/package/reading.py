"""Unpacks a package that anybody may have made, and says what it lacks."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from kaimesh.config.code.settings import APP_FILE
from kaimesh.contract.errors import ConfigError
from kaimesh.operate.package.contents import CKPT, ID_LIST, KAIWU, MODEL_FILE, Model
from kaimesh.operate.package.writing import model_hash

_MOST_BYTES, _MOST_FILES = 8 << 30, 20_000


def unpack(package: Path, place: Path) -> int:
    """Unpacks it into the empty folder `place`; returns how many files it has.

    Raises ConfigError: it is no zip, is too large, or has a file that lies elsewhere.
    """
    try:
        with zipfile.ZipFile(package) as archive:
            inside = [info for info in archive.infolist() if not info.is_dir()]
            _check(package, inside)
            for info in inside:
                target = place / PurePosixPath(info.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ConfigError(f"{package} cannot be unpacked: {error}. Make it again with tools/package.sh.") from error
    return len(inside)


def _check(package: Path, inside: list[zipfile.ZipInfo]) -> None:
    size = sum(info.file_size for info in inside)
    if size > _MOST_BYTES or len(inside) > _MOST_FILES:
        raise ConfigError(
            f"{package} would unpack to {size:,} bytes in {len(inside):,} files, more than any package has; nothing "
            "was unpacked. Leave out what is no code of agents."
        )
    for info in inside:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise ConfigError(
                f"{package} has a file {info.filename!r:.200}, which would lie outside of the package; nothing was "
                "unpacked. Make it again with tools/package.sh."
            )


def lacks(place: Path) -> list[str]:
    """What an unpacked package lacks of what a platform looks for, in words."""
    found = [f"it has no {name}" for name in (KAIWU, APP_FILE) if not (place / name).is_file()]
    model = Model.find(place / CKPT)
    if model is None:
        return [*found, f"{CKPT}/ has no file model.ckpt-<id>.*, so there is no model to load"]
    listed = _listed(place / CKPT / ID_LIST)
    if f"model.ckpt-{model.id}" not in listed:
        found.append(f"{CKPT}/{ID_LIST} does not list model.ckpt-{model.id}, so no process would ask for it")
    try:
        said = json.loads((place / CKPT / KAIWU).read_text())["model_file_hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return [*found, f"{CKPT}/{KAIWU} says no model_file_hash"]
    if said != model_hash(model.files):
        found.append(f"model {model.id} is not the one that was packed: its SHA-256 differs from {CKPT}/{KAIWU}")
    return found


def _listed(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text().splitlines() if MODEL_FILE.fullmatch(f"{line.strip()}.x")]
    except (OSError, UnicodeDecodeError):
        return []
