"""run_mode = "eval": evaluates the model that the configuration names, in place of starting a mesh."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from kaimesh import ROOT
from kaimesh.config import Config
from kaimesh.contract.errors import ConfigError

_PROGRAM = "kaimesh.arena.evaluate"  # by name, for the arena is a house of its own
_CKPT = "ckpt"  # of a folder of agents: where its models lie if the configuration's folder is not on this machine


def evaluate(config: Config) -> int:
    """Runs tools/evaluate.sh's program; returns its exit code. Raises ConfigError: there is no such model."""
    model = model_of(config)
    with tempfile.TemporaryDirectory(prefix="kaimesh-eval-") as folder:
        conf = Path(folder, "conf.toml")
        conf.write_text(config.to_toml(), encoding="utf-8")
        words = [sys.executable, "-m", _PROGRAM, "--conf", str(conf), "--trust", "--model", str(model)]
        return subprocess.run(words, cwd=ROOT).returncode


def model_of(config: Config) -> Path:
    """The file of the model that eval_model_dir and eval_model_id name; of several files, the first.

    A relative folder lies in the folder of agents, if one runs; so does Kaiwu's `/data/projects/<app>/...`, and the
    folder `ckpt` takes the place of one that this machine does not have. Raises ConfigError: there is none.
    """
    app, code = config.app, config.code
    named = Path(app.eval_model_dir)
    folders = [ROOT / named]
    if code is not None:
        inside = named.parts[4:] if named.parts[:3] == ("/", "data", "projects") else named.parts
        folders = [named] if named.is_absolute() else []
        folders += [code.root.joinpath(*inside)] if inside[:1] != ("/",) else []
        folders += [code.root / _CKPT, *sorted(code.root.glob(f"*/{_CKPT}"))]
    for folder in folders:
        if found := sorted(folder.glob(f"model.ckpt-{app.eval_model_id}.*")):
            return found[0]
    raise ConfigError(
        f"run_mode = eval: there is no model.ckpt-{app.eval_model_id}.* in {' or '.join(map(str, folders))}; nothing "
        "was evaluated. Correct eval_model_dir or eval_model_id, or set run_mode = train."
    )
