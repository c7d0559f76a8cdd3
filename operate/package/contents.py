"""What belongs into a package: the files of a folder of agents, and the model that goes with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kaimesh.config.code import Code, overlay
from kaimesh.contract.errors import ConfigError
from kaimesh.process.run_dir import RunDir

CKPT, ID_LIST, KAIWU = "ckpt", "id_list", "kaiwu.json"
MODEL_FILE = re.compile(r"model\.ckpt-([0-9]+)\..+")
_NEVER = ("ckpt", "log", "train", "runs", ".git", "__pycache__")  # top folders that are no agents' code


class Model(NamedTuple):
    """One model. files: all that belong to its id, sorted."""

    id: int
    files: tuple[Path, ...]

    @classmethod
    def find(cls, folder: Path, id: int | None = None) -> Model | None:
        """The model `id` of a folder, None: the newest. None: it has none."""
        found: dict[int, list[Path]] = {}
        for path in sorted(folder.glob("model.ckpt-*")):
            if (match := MODEL_FILE.fullmatch(path.name)) and path.is_file():
                found.setdefault(int(match[1]), []).append(path)
        wanted = max(found, default=0) if id is None else id
        return cls(wanted, tuple(found[wanted])) if wanted in found else None


def files_of(code: Code) -> list[Path]:
    """The files of a package, relative to the folder: kaiwu.json, conf/, and what `copy_dir` names; where it says
    nothing, every top folder with Python files. Raises ConfigError: copy_dir names a folder that there is not.
    """
    said = [name.strip() for name in str(code.kept.get("copy_dir", "")).split(",") if name.strip()]
    for name in said:
        if not (code.root / name).is_dir():
            raise ConfigError(
                f"copy_dir names {name}, and {code.root} has no such folder; no package was made. Correct it in "
                f"{code.conf}."
            )
    chosen = {"conf", *(said or _folders_with_code(code.root))}
    found = [path for path, info in overlay.files(code.root) if path.is_file()]
    inside = [path.relative_to(code.root) for path in found]
    return [path for path in inside if str(path) == KAIWU or path.parts[0] in chosen]


def _folders_with_code(root: Path) -> Iterator[str]:
    for path in root.iterdir():
        if path.is_dir() and path.name not in _NEVER and any(path.rglob("*.py")):
            yield path.name


def model_of(wanted: str, run: RunDir | None, code: Code) -> Model:
    """The model `wanted`: "latest", an id, a folder of models (its newest), or a file model.ckpt-<id>.*

    run: where "latest" and ids are looked for, then in the folder's own ckpt/. Raises ConfigError: there is none.
    """
    places = [code.root / CKPT]
    if run is not None:
        places = [run.ckpt, run.user_ckpt, *places]
    if wanted != "latest" and not wanted.isdecimal():
        path = Path(wanted)
        match = MODEL_FILE.fullmatch(path.name)
        found = Model.find(path.parent, int(match[1])) if match and path.is_file() else Model.find(path)
    else:
        number = None if wanted == "latest" else int(wanted)
        found = next((model for place in places if (model := Model.find(place, number))), None)
    if found is None:
        where = ", ".join(map(str, places))
        raise ConfigError(
            f"--model {wanted!r:.200}: there is no such model ({where}), so no package was made. Train first, or name "
            "an id, a folder, or a file model.ckpt-<id>.*"
        )
    return found


def run_of(code: Code, runs: Path) -> RunDir | None:
    """The newest run of this folder of agents; None: there is none."""
    for path in sorted(runs.glob("*/conf.toml"), key=lambda path: path.stat().st_mtime, reverse=True):
        if f'root = "{code.root}"' in path.read_text(errors="replace").splitlines():
            return RunDir(path.parent)
    return None
