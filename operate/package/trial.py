"""One unpacked package in a process of its own: `python -m kaimesh.operate.package.trial FOLDER RUNS STEPS`.

FOLDER has the package, RUNS gets the run, and STEPS, a file, a line for each step that was done. What it prints is for
the user; an error ends it with the original traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from kaimesh.config import Config, load
from kaimesh.config.code import Code
from kaimesh.contract.agent import user_code
from kaimesh.contract.errors import EXIT_OK, MeshError
from kaimesh.operate.package.contents import CKPT, Model
from kaimesh.operate.serial_keys import EPISODE_STEPS, OFF_POLICY, SETTINGS_OF_CODE
from kaimesh.operate.train_test import claimed, run
from kaimesh.process import hosting
from kaimesh.process.agents import make_agent
from kaimesh.process.guarded import guarded
from kaimesh.process.life import set_threads

STEPS = ("reads", "imports", "loads", "predicts")
_LEARNS = 1


def _configured(folder: Path, runs: Path, model: Model) -> Config:
    """Its configuration, as small as a training can be, which begins with the package's model."""
    code = Code.read(folder)
    keys = {
        **SETTINGS_OF_CODE,
        **OFF_POLICY,
        "run_mode": "train",
        "runs_dir": str(runs),
        "preload_model": "true",
        "preload_model_dir": str(folder / CKPT),
        "preload_model_id": str(model.id),
    }
    return load(code.conf, keys, code=code)


def main(folder: Path, runs: Path, steps: Path) -> int:
    """The steps, each in one line of `steps` once it is done. Raises what failed."""

    def done(step: str, words: str) -> None:
        with steps.open("a") as file:
            file.write(f"{step} {words}\n")

    os.environ.setdefault("max_step_no", EPISODE_STEPS)
    model = Model.find(folder / CKPT)
    assert model is not None, "`lacks` was asked before"
    config = _configured(folder, runs, model)
    assert config.code is not None
    done("reads", f"{config.code.why}; {config.code.app}, {config.code.algo}")
    with claimed(runs) as run_dir:
        hosting.enter(config, run_dir, "verify")
        user = make_agent(config, "actor")
        done("imports", f"{user.name} of {config.algo.actor_agent}")
        with user_code(f"actor: {user.name}.load_model(path={str(folder / CKPT)!r}, id={model.id})"):
            user.agent.load_model(path=str(folder / CKPT), id=model.id)
        done("loads", f"model {model.id}: {', '.join(path.name for path in model.files)}")
        run(config, run_dir, _LEARNS)
        done("predicts", f"its workflow played, and learned {_LEARNS} time")
    return EXIT_OK


def _told() -> int:
    try:
        return main(*map(Path, sys.argv[1:4]))
    except MeshError as error:
        traceback.print_exception(error.__cause__ or error)
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    set_threads(1)
    code = guarded(_told, "verify")
    sys.stdout.flush()
    os._exit(code)  # a normal exit would wait for Reverb's threads
