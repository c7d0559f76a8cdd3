"""A run's directory: what lies where in `runs/<app>_<algo>_<time>/`, and the files that processes share through it."""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from kaimesh.errors import ConfigError

TOKEN_VARIABLE = "KAIMESH_TOKEN"
TOKEN_FILE_VARIABLE = "KAIMESH_TOKEN_FILE"  # a container's secret


def write_json(path: Path, data: Any) -> None:
    """Writes whole or not at all: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    temporary.write_text(json.dumps(data, indent=1, default=str))
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or {} if the file is not there yet."""
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return data


class RunDir:
    """Paths of one run. `latest` beside the runs points to the newest."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()

    conf = property(lambda self: self.root / "conf.toml")  # the resolved configuration
    logs = property(lambda self: self.root / "logs")
    status = property(lambda self: self.root / "status")  # one JSON file a process, rewritten every second
    ckpt = property(lambda self: self.root / "ckpt")  # the learner's dumps
    user_ckpt = property(lambda self: self.root / "user_ckpt")  # saves that the workflow asked for
    model_pool = property(lambda self: self.root / "model_pool")
    buffer = property(lambda self: self.root / "buffer")
    tensorboard = property(lambda self: self.root / "tensorboard")
    mesh = property(lambda self: self.root / "mesh.json")  # pids, ports, state: what stop and status act on
    result = property(lambda self: self.root / "result.json")

    @staticmethod
    def name_of(app: str, algo: str) -> str:
        """What runs of this environment and algorithm are called, without their time."""
        return f"{re.sub(r'[^A-Za-z0-9.-]+', '-', app)}_{algo}"

    @classmethod
    def create(cls, runs: str | Path, app: str, algo: str) -> RunDir:
        """A new run directory with its token, and `latest` pointing to it."""
        base, name = Path(runs).resolve(), cls.name_of(app, algo)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        root, attempt = base / f"{name}_{stamp}", 1
        while root.exists():
            attempt += 1
            root = base / f"{name}_{stamp}-{attempt}"
        run = cls(root)
        run.prepare()
        link = base / "latest"
        temporary = base / f".latest.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(root.name)
        temporary.replace(link)
        return run

    @classmethod
    def latest(cls, runs: str | Path) -> RunDir:
        """The newest run. Raises ConfigError: there is none."""
        link = Path(runs) / "latest"
        if not link.exists():
            raise ConfigError(f"no run in {runs}: nothing was started from here; start one with tools/start.sh")
        return cls(link)

    def prepare(self) -> None:
        """Makes the folders and the token, where they are not there yet."""
        for folder in (
            self.logs,
            self.status,
            self.ckpt,
            self.user_ckpt,
            self.model_pool,
            self.buffer,
            self.tensorboard,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        path = self.root / "token"
        if not path.exists() and not {TOKEN_VARIABLE, TOKEN_FILE_VARIABLE} & os.environ.keys():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(16))

    def token(self) -> str:
        """The mesh token: the environment's KAIMESH_TOKEN, else the file that KAIMESH_TOKEN_FILE names, else the run's own.

        Raises ConfigError: there is none, or it is empty.
        """
        if token := os.environ.get(TOKEN_VARIABLE):
            return token
        path = Path(os.environ.get(TOKEN_FILE_VARIABLE, self.root / "token"))
        try:
            token = path.read_text().strip()
        except OSError as error:
            token, why = "", f"cannot be read ({error})"
        else:
            why = "is empty"
        if not token:
            raise ConfigError(
                f"no mesh token: {TOKEN_VARIABLE} is not set and {path} {why}; every connection would be refused. Set "
                f"{TOKEN_VARIABLE} to the same value in every process."
            )
        return token

    def statuses(self) -> dict[str, dict[str, Any]]:
        """What every process published last, by process name."""
        return {path.stem: read_json(path) for path in sorted(self.status.glob("[!.]*.json"))}
