"""From a configuration to a running mesh. Everything that can be wrong is found before anything is made or started."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from kaimesh import supervise
from kaimesh.config import Config, load
from kaimesh.config.check import is_local
from kaimesh.config.load import ROOT
from kaimesh.config.reading import parse, read
from kaimesh.errors import ConfigError
from kaimesh.mesh import LIVE_STATES, git_commit, supervisor_pid
from kaimesh.ports import check_ports
from kaimesh.run import RunDir, read_json, write_json

DEFAULT_CONF = ROOT / "conf" / "configure_app.toml"


class Wish(NamedTuple):
    """What the user asked for. conf None: the default file, or with resume the run's own."""

    conf: Path | None = None
    overrides: Mapping[str, str] = MappingProxyType({})
    resume: bool = False
    max_env_steps: int = 0
    max_seconds: float = 0.0


def runs_dir(conf: Path | None = None) -> Path:
    """Where runs lie, for commands that need no whole configuration: environment, else the file, else `runs`."""
    path = conf or DEFAULT_CONF
    wanted = os.environ.get("runs_dir", "")  # noqa: SIM112 - a key's variable has the key's name
    if not wanted and path.exists():
        wanted = str(read(path, []).data.get("app", {}).get("runs_dir", ""))
    return ROOT / (wanted or "runs")


def overrides_of(app: str | None, algo: str | None, settings: list[str]) -> dict[str, str]:
    """`--app`, `--algo` and every `--set key=value` by key. Raises ConfigError: a setting without `=`."""
    found = {key: value for key, value in (("app", app), ("algo", algo)) if value is not None}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"--set {setting!r} is not key=value, such as --set train_batch_size=32; nothing was started."
            )
        found[key.strip()] = value.strip()
    return found


def configure(wish: Wish) -> tuple[Config, RunDir | None]:
    """The configuration, and the run to go on with (None: a new one). Raises ConfigError."""
    if not wish.resume:
        return _trainable(load(wish.conf or DEFAULT_CONF, wish.overrides)), None
    where = ROOT / parse(wish.overrides["runs_dir"], str) if "runs_dir" in wish.overrides else runs_dir(wish.conf)
    run = RunDir.latest(where)
    if not run.conf.exists():
        raise ConfigError(f"{run.root} has no conf.toml: it was never started, so there is nothing to resume.")
    before = load(run.conf)
    config = load(wish.conf or run.conf, wish.overrides)
    for key in ("app", "algo", "wrapper_type"):
        was, wanted = getattr(before.app, key), getattr(config.app, key)
        if was != wanted:
            raise ConfigError(
                f"--resume with {key} = {wanted}: the run {run.root.name} has {key} = {was}, and its checkpoints and samples "
                "would not fit. Start a new run without --resume."
            )
    return _trainable(config), run


def _trainable(config: Config) -> Config:
    if config.app.run_mode != "train":
        raise ConfigError(
            f"run_mode = {config.app.run_mode}: the mesh only trains; nothing was started. Set run_mode = train, or "
            "use tools/evaluate.sh."
        )
    return config


def elsewhere(config: Config) -> list[str]:
    """What the configuration leaves to other machines, in words."""
    app = config.app
    addresses = {
        "buffer_addrs": app.buffer_addrs,
        "actor_addrs": app.actor_addrs,
        "learner_addr": [app.learner_addr],
        "model_pool_addr": [app.model_pool_addr],
    }
    return [
        f"{key}: {address} is another machine; that process must be started there"
        for key, group in addresses.items()
        for address in group
        if app.wrapper_type != "local" and not is_local(address)
    ]


def start(config: Config, resumed: RunDir | None, wish: Wish) -> RunDir:
    """Starts the mesh; returns when supervisord and the keeper are up. Raises ConfigError, MeshError."""
    runs = ROOT / config.app.runs_dir
    with _alone(runs):
        _check_none_runs(runs)
        check_ports(config.app)
        run = resumed or RunDir.create(runs, config.app.app, config.app.algo)
        run.prepare()
        config.dump(run.conf)
        if run.result.exists():
            run.result.rename(run.result.with_name(f"result-{time.strftime('%Y%m%d-%H%M%S')}.json"))
        socket_file = supervise.socket_path(run)
        mesh = {
            "run": str(run.root),
            "commit": git_commit(),
            "state": "starting",
            "reason": "",
            "started": time.time(),
            "limits": {"max_env_steps": wish.max_env_steps, "max_seconds": wish.max_seconds},
            "supervisor": {"socket": str(socket_file)},
            "processes": {
                program.name: {"role": program.role, "address": program.address}
                for program in supervise.programs(config.app)
            },
        }
        write_json(run.mesh, mesh)  # the keeper, which supervisord starts, reads it and from then on writes it
        supervise.launch(config.app, run, socket_file)
    return run


def _check_none_runs(runs: Path) -> None:
    if not (runs / "latest").exists():
        return
    run = RunDir.latest(runs)
    mesh = read_json(run.mesh)
    if mesh.get("state") in LIVE_STATES and supervisor_pid(run):
        raise ConfigError(
            f"a mesh is running already, in {run.root} ({mesh['state']}); a second one would fight over its ports and its files. "
            "Stop it with tools/stop.sh all, or look at it with tools/status.sh."
        )


@contextmanager
def _alone(runs: Path) -> Iterator[None]:
    """Two starts at the same moment take turns; the second then finds the first one's mesh."""
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / ".start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
