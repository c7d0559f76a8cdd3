"""Writes the zip of a package."""

from __future__ import annotations

import hashlib
import re
import time
import zipfile
from pathlib import Path

from kaimesh.config.code import Code
from kaimesh.config.code.settings import APP_FILE
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.json_text import json_text
from kaimesh.operate.package.contents import CKPT, ID_LIST, KAIWU, Model

_EVAL = re.compile(r"^\s*eval_model_(dir|id)\s*=.*$\n?", re.MULTILINE)


def name_of(code: Code, model: Model, now: float) -> str:
    """What Kaiwu calls such a file. now: Unix seconds."""
    when = time.strftime("%Y_%m_%d_%H_%M_%S", time.localtime(now))
    return f"{code.app}-{code.algo}-{model.id}-{when}-{code.version or 'unknown'}.zip"


def write(target: Path, code: Code, files: list[Path], model: Model, now: float) -> None:
    """Writes the package `target`, whole or not at all, and beside it `<target>.json`, which says what it is.

    files: relative to the folder. Raises ConfigError: a file cannot be read or written.
    """
    half = target.with_name(f".{target.name}.half")
    try:
        with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as package:
            for file in files:
                text = code.root / file
                if str(file) == APP_FILE:
                    package.writestr(str(file), _with_model(text.read_text(encoding="utf-8-sig"), code, model))
                else:
                    package.write(text, str(file))
            if Path(KAIWU) not in files:
                package.writestr(KAIWU, json_text({"version": code.version, "project_code": code.app}))
            for path in model.files:
                package.write(path, f"{CKPT}/{path.name}")
            package.writestr(f"{CKPT}/{ID_LIST}", f"all id list\nmodel.ckpt-{model.id}\n")
            package.writestr(f"{CKPT}/{KAIWU}", json_text(_of_the_model(code, model)))
        half.replace(target)
        target.with_name(f"{target.name}.json").write_text(json_text(_about(target, code, model, now)) + "\n")
    except OSError as error:
        half.unlink(missing_ok=True)
        raise ConfigError(f"{target} cannot be made: {error}; there is no package. Name another file by -o.") from error


def model_hash(files: tuple[Path, ...]) -> str:
    """The SHA-256 of a model's files, one after another by their names."""
    whole = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _of_the_model(code: Code, model: Model) -> dict[str, object]:
    return {"version": code.version, "project_code": code.app, "model_file_hash": model_hash(model.files)}


def _about(target: Path, code: Code, model: Model, now: float) -> dict[str, object]:
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    return {
        "model_file_name": target.name,
        "project_code": code.app,
        "algorithm": code.algo,
        "train_step": model.id,
        "created_at": made,
        "code_hash": code.hash,
    }


def _with_model(text: str, code: Code, model: Model) -> str:
    """configure_app.toml with the two lines by which an evaluation finds the model, each once, in its last table."""
    rest = _EVAL.sub("", text).rstrip("\n")
    return f'{rest}\neval_model_dir = "/data/projects/{code.app}/{CKPT}"\neval_model_id = {model.id}\n'
