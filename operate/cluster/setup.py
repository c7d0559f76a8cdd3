"""What `docker compose up` does first: it makes the tokens, once, and checks the configuration.

If the configuration is wrong nothing is started, as with tools/start.sh. All containers use the copy that is made here,
so that they have the same configuration however late one of them is restarted. A role that is not trusted with the mesh
token, because foreign environments run there, has a volume of its own with its own role's token.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from pathlib import Path

from kaimesh.config import Config, load
from kaimesh.config.own_roles import cannot_be_run
from kaimesh.config.packages import find_own_code
from kaimesh.contract.errors import EXIT_CONFIG, EXIT_OK, ConfigError
from kaimesh.contract.user_agent import check_reanalysing
from kaimesh.operate.cluster import places
from kaimesh.process.agents import dotted
from kaimesh.process.run_dir import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, RunDir, runs_dir
from kaimesh.wire.gate import role_token


def setup() -> int:
    """Makes the tokens, checks, copies; returns the exit code."""
    make_token(places.TOKEN, os.environ.get(TOKEN_VARIABLE, "").strip())
    find_own_code()
    try:
        config = load(places.CONF)
        check(config)
        folders = share_out(places.MESH, places.UNTRUSTED)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    for warning in config.warnings:
        print(f"note: {warning}")
    here = fingerprint([Path("conf"), Path("diy")])
    for folder in folders:
        _write(folder / places.MESH_CONF.name, places.CONF.read_text())
        _write(folder / places.GENERATION.name, here)
    print(f"{config.app.app} with {config.app.algo}: the mesh may start")
    return EXIT_OK


def share_out(mesh: Path, untrusted: Path) -> list[Path]:
    """Every folder that containers mount: `mesh`, and those in `untrusted`, which get their role's token."""
    folders = [folder for folder in sorted(untrusted.glob("*")) if folder.is_dir()]
    token = (mesh / places.TOKEN.name).read_text()
    for folder in folders:
        make_token(folder / places.TOKEN.name, role_token(token, folder.name))
    return [mesh, *folders]


def make_token(path: Path, given: str) -> None:
    """Writes `given` if that is not "", else a random token if there is none yet; only its owner may read it."""
    if not path.exists() or given not in ("", path.read_text()):
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "w") as file:
            file.write(given or secrets.token_hex(32))


def token_for(role: str) -> str:
    """The token of `role`, by the mesh token in the environment, or else by that of the newest run.

    Raises ConfigError: there is none, or no role is called so.
    """
    if role not in (known := places.roles()):
        raise ConfigError(f"no role is called {role!r}, so it has no token; there are: {', '.join(known)}.")
    given = os.environ.get(TOKEN_VARIABLE) or os.environ.get(TOKEN_FILE_VARIABLE)
    run = RunDir(".") if given else RunDir.latest(runs_dir())
    return role_token(run.token(), role)


def check(config: Config) -> None:
    """Raises ConfigError: a cluster cannot run this configuration."""
    app = config.app
    if wrong := cannot_be_run(config.roles):
        raise ConfigError(
            f"{config.source} names what is not in the image, so nothing was started:\n  " + "\n  ".join(wrong)
        )
    if app.wrapper_type != "remote":
        raise ConfigError(
            f"wrapper_type = {app.wrapper_type}: containers would wait for each other for ever; nothing was started. "
            "Set wrapper_type = remote, or use tools/start.sh."
        )
    if app.run_mode != "train":
        raise ConfigError(
            f"run_mode = {app.run_mode}: a cluster only trains; nothing was started. Set run_mode = train, or use "
            "tools/evaluate.sh."
        )
    if app.reanalyse_count:
        check_reanalysing(dotted(config.algo.learner_agent), app.algo)


def fingerprint(folders: list[Path]) -> str:
    """A digest of the names and contents of all files in `folders`, without Python's caches."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            content = path.read_bytes()
            digest.update(f"{path} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
