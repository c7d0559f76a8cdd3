"""A run's directory, `runs/<app>_<algo>_<time>/`: its paths, and the files that processes share through it."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from kaimesh import ROOT, typed
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.reading import read
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.untrusted import path_name
from kaimesh.process import documents

TOKEN_VARIABLE = "KAIMESH_TOKEN"
TOKEN_FILE_VARIABLE = "KAIMESH_TOKEN_FILE"  # a container's secret
RESERVE, RESERVE_BYTES = ".reserve", 64 << 10
SUPERVISORD_OUT = "supervisord.out"  # in logs/: what it said before it had a log
_FILES = ("mesh.json", "result.json", "conf.toml", "history.jsonl", "supervisord.pid", "supervisord.conf", RESERVE)
_NESTED = ("training_state", "buffer/buffer_*", "buffer/buffer_*/kept", "buffer/buffer_*/reverb")


def runs_dir(conf: Path | None = None) -> Path:
    """Where runs lie, for commands that need no whole configuration: environment, else the file, else `runs`."""
    path = conf or DEFAULT_CONF
    wanted = os.environ.get("runs_dir", "")  # noqa: SIM112 - a key's variable has the key's name
    if not wanted and path.exists():
        wanted = str(read(path, []).data.get("app", {}).get("runs_dir", ""))
    return ROOT / (wanted or "runs")


class RunDir:
    """Paths of one run. `latest` beside the runs points to the newest."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(os.path.realpath(root))  # unlike Path.resolve it raises nothing where links go in a circle

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
        return f"{path_name(app).replace('_', '-')}_{path_name(algo)}"

    @classmethod
    def create(cls, runs: str | Path, app: str, algo: str) -> RunDir:
        """A new run directory with its token, and `latest` pointing to it."""
        run = cls.make(runs, app, algo)
        run.become_latest()
        return run

    @classmethod
    def make(cls, runs: str | Path, app: str, algo: str) -> RunDir:
        """A new run directory with its token. Raises OSError: it cannot be written; nothing is left behind then."""
        base, name = Path(os.path.realpath(runs)), cls.name_of(app, algo)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        root, attempt = base / f"{name}_{stamp}", 1
        while root.exists():
            attempt += 1
            root = base / f"{name}_{stamp}-{attempt}"
        run = cls(root)
        try:
            run.prepare()
        except BaseException:  # Ctrl-C too
            shutil.rmtree(root, ignore_errors=True)
            raise
        return run

    def become_latest(self) -> None:
        """`latest` beside this run points to it from now on."""
        link, temporary = self.root.parent / "latest", self.root.parent / f".latest.{os.getpid()}"
        if link == self.root:  # a run that was copied to that name
            return
        if os.path.lexists(link) and not link.is_symlink():
            documents.set_aside(link, "is no link")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self.root.name)
        temporary.replace(link)

    @classmethod
    def latest(cls, runs: str | Path) -> RunDir:
        """The newest run. Raises ConfigError: there is none."""
        link = Path(runs) / "latest"
        if not link.is_dir():
            raise ConfigError(
                f"no run in {runs}: nothing was started from here, so there is nothing to show; start one with "
                f"{typed('start')}"
            )
        return cls(link)

    def prepare(self) -> None:
        """Makes the folders and the token where they are missing. Raises OSError."""
        for folder in self._folders():
            folder.mkdir(parents=True, exist_ok=True)
        path = self.root / "token"
        if not (os.environ.get(TOKEN_VARIABLE) or os.environ.get(TOKEN_FILE_VARIABLE)):
            with suppress(FileExistsError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_hex(16))

    def reserve(self) -> None:
        """Allocates the disk space that the last files of a run will need. Raises OSError: there is none."""
        path = self.root / RESERVE
        with path.open("wb") as file:
            file.write(b"space for the last files of the run, see kaimesh/process/run_dir.py\n".ljust(RESERVE_BYTES))
            file.flush()
            os.fsync(file.fileno())

    def release(self) -> None:
        """Frees that space for the files that are written next."""
        with suppress(OSError):
            (self.root / RESERVE).unlink()

    def repair(self) -> None:
        """Repairs what a damaged disk, a power cut or a kill left behind. Call it while no process runs.

        A file in the place of a folder, a folder in the place of a file, and an empty token are renamed, with a
        warning, so that they are made anew; unfinished files are removed. Raises OSError: the disk accepts no change.
        """
        nested = (path for pattern in _NESTED for path in self.root.glob(pattern) if ".damaged-" not in path.name)
        for folder in (*self._folders(), *nested):
            if os.path.lexists(folder) and not folder.is_dir():
                documents.set_aside(folder, "is no folder")
        files = [self.root / name for name in _FILES]
        logs = (path for path in self.logs.iterdir() if ".damaged-" not in path.name) if self.logs.is_dir() else ()
        for path in (*files, *self.status.glob("[!.]*.json"), *logs):
            if os.path.lexists(path) and not path.is_file():  # opening a pipe would block
                documents.set_aside(path, "is no file")
        token = self.root / "token"
        if os.path.lexists(token) and not _secret(documents.read_text(token)):
            documents.set_aside(token, "holds no token; a new one is made")
        for folder in (self.root, self.status):
            documents.sweep(folder)

    def _folders(self) -> tuple[Path, ...]:
        folders: tuple[Path, ...] = (self.logs, self.status, self.ckpt, self.user_ckpt, self.model_pool, self.buffer)
        return (*folders, self.tensorboard)

    def token(self) -> str:
        """The mesh token: KAIMESH_TOKEN, else the content of the file KAIMESH_TOKEN_FILE, else the run's own file.

        A process that shall not have it is given its role's token in one of these (kaimesh.wire.gate).
        Blanks and line ends around it are no part of it, wherever it comes from. A variable that is empty is not set.
        Raises ConfigError: there is none, or it is empty.
        """
        if given := os.environ.get(TOKEN_VARIABLE):
            if token := _secret(given):
                return token
            raise ConfigError(
                f"{TOKEN_VARIABLE} holds only blanks, or characters that no header can carry; every connection would "
                "be refused. Set it to printable characters, such as openssl rand -hex 32 prints."
            )
        path = Path(os.environ.get(TOKEN_FILE_VARIABLE) or self.root / "token")
        try:
            token = _secret(documents.read_bytes(path).decode())
        except (OSError, ValueError) as error:
            token, why = "", f"cannot be read ({error})"
        else:
            why = "is empty or damaged"
        if not token:
            raise ConfigError(
                f"no mesh token: {TOKEN_VARIABLE} is not set and {path} {why}; every connection would be refused. Set "
                f"{TOKEN_VARIABLE} to the same value in every process, or delete the file where a start made it."
            )
        return token

    def statuses(self) -> dict[str, dict[str, Any]]:
        """What every process published last, by process name."""
        paths = sorted(self.status.glob("[!.]*.json"))
        said = ((path.stem, documents.read_json(path, documents.STATUS)) for path in paths)
        return {name: status for name, status in said if status}


def _secret(text: str) -> str:
    """The token in a file's text; "" where it is empty or holds characters that no header can carry."""
    token = text.strip()
    return token if token.isprintable() else ""
