"""What train_test.py runs: a training of a few learns in one process, and the check that every part of it did its work.

The aisrv is the mesh's own; kaimesh.operate.serial stands for the other processes. With wrapper_type = local there are
no others: the aisrv trains the agent itself.
"""

from __future__ import annotations

import argparse
import fcntl
import math
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kaimesh import CALLER_VARIABLE, ROOT
from kaimesh.config import Config, caller, load
from kaimesh.config.code import Code
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.packages import find_own_code
from kaimesh.contract.errors import EXIT_OK, ConfigError, MeshError, Stopped
from kaimesh.operate.cli.code import code_of
from kaimesh.operate.cli.start import overrides_of
from kaimesh.operate.cli.trial import Trial
from kaimesh.operate.serial import SerialMesh
from kaimesh.operate.serial_keys import (
    EPISODE_STEPS,
    LIMITER,
    OFF_POLICY,
    SETTINGS,
    SETTINGS_OF_CODE,
    UNUSED,
    neutral,
)
from kaimesh.process import hosting
from kaimesh.process.agents import table
from kaimesh.process.documents import write_text
from kaimesh.process.life import Context, set_threads
from kaimesh.process.logs import configure as configure_logging
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.process.turn import Turn
from kaimesh.process.watch import Watch
from kaimesh.wire.proxies import bypass, hosts_of

if TYPE_CHECKING:
    from kaimesh.contract.spaces import Spaces


class Wish(NamedTuple):
    """What was asked for: the configuration's file, and keys with the text of their values, which are stronger. code:
    a folder of agents, which has its configuration itself.
    """

    conf: str | Path
    keys: dict[str, str]
    code: Code | None = None

    def read(self) -> Config:
        """The configuration, before the agent is imported: off-policy unless that was asked for. Raises ConfigError."""
        settings = SETTINGS if self.code is None else SETTINGS_OF_CODE
        keys = {**settings, **OFF_POLICY, **self.keys}
        return load(self.conf, keys, quiet={*settings, *UNUSED}, code=self.code)

    def read_for(self, config: Config) -> Config:
        """The same, as the agent's table wants it, which imports the agent; KAIMESH_RUN_DIR is set before."""
        if self.code is not None:
            return self.read()
        replay = table(config).kind == "replay"
        policy = OFF_POLICY if replay or config.app.replay_share else {}
        keys = {key: text for key, text in self.keys.items() if replay or key != LIMITER}  # a queue has none
        return load(self.conf, {**SETTINGS, **policy, **keys})


def wish(
    algo: str | None, conf: str | Path, seed: int | None, typed: dict[str, str], folder: Path | None = None
) -> Wish:
    """typed: key to text. folder: of agents.

    Notes on standard error what of it means nothing here."""
    unused = neutral(typed, lambda note: print(f"note: {note}", file=sys.stderr))
    keys = {} if algo is None else {"algo": algo}
    keys |= {**({} if seed is None else {"random_seed": str(seed)}), **typed, **unused}
    if folder is None:
        return Wish(conf, keys)
    code = code_of(folder, keys, lambda note: print(f"note: {note}", file=sys.stderr))
    os.environ.setdefault("max_step_no", EPISODE_STEPS)
    return Wish(code.conf, keys, code)


@contextmanager
def claimed(runs: Path) -> Iterator[RunDir]:
    """An empty run directory of this process's own, `train_test`; while another process has that, `train_test-2`, ...

    Raises ConfigError: it cannot be written.
    """
    number, name = 1, "train_test"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        while (lock := _locked(runs / f".{name}.lock")) is None:
            number, name = number + 1, f"train_test-{number + 1}"
        run_dir = RunDir(runs / name)
        shutil.rmtree(run_dir.root, ignore_errors=True)
        run_dir.prepare()
    except OSError as error:
        raise ConfigError(
            f"the run's files cannot be written: {error}; nothing was started. Set runs_dir to a folder that you may "
            "write in."
        ) from error
    if number > 1:
        print(f"note: another train_test.py uses {runs / 'train_test'}; this one uses {name}", file=sys.stderr)
    os.environ["KAIMESH_RUN_DIR"] = str(run_dir.root)  # agents may read it while they are imported
    try:
        yield run_dir
    finally:
        os.close(lock)


@contextmanager
def tried_out(config: Config) -> Iterator[Callable[[], None]]:
    """Begins to try out the environment, in a process of its own, as a start does. Yields a function that waits until
    that is done, and prints a note on standard error; it raises ConfigError: nothing can be trained on it.
    """
    trial = Trial(config)

    def wait() -> None:
        if note := trial.verdict():
            print(f"note: {note}", file=sys.stderr)

    try:
        yield wait
    finally:
        trial.close()


def _locked(path: Path) -> int | None:
    """The file's descriptor, locked until it is closed or this process ends; None: another process has the lock."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def run(config: Config, run_dir: RunDir, learns: int, watched: bool = True) -> None:
    """Trains `learns` times in `run_dir` and checks the result. Raises what the agent raised.

    watched: whether to end the process if nothing happens for watchdog_seconds.
    """
    from kaimesh.aisrv.service import AisrvService

    app = config.app
    bypass(hosts_of(config.addresses))
    write_text(run_dir.conf, config.to_toml())
    meter = Meter("train_test", run_dir.status / "train_test.json")
    logger = configure_logging("train_test", app.log_level, app.log_format, run_dir.root.name)
    context = Context("train_test", 0, config, run_dir, run_dir.token(), 1, meter, logger, threading.Event())
    made: list[SerialMesh] = []
    turn, local = Turn(), _Learns(learns, context.stop)

    def links(context: Context, spaces: Spaces) -> SerialMesh:
        made.append(SerialMesh(context, spaces, learns, turn))
        return made[0]

    watch = Watch.over(meter, turn, app, config.algo.train_workflow)
    if watched:
        watch.start()
    service = AisrvService(context, make_links=links, learned=local)
    watch.built = True
    try:
        service.run()
    except Stopped:
        pass
    except Exception:
        service.close()
        raise
    # After Ctrl-C nothing is closed: other threads still use it, and the process ends at once.
    service.close()
    watch.stop()
    mesh = made[0] if made else None
    if mesh is not None:
        mesh.trainer.close()
    meter.publish()
    check(meter, run_dir, learns, local.made if mesh is None else mesh.learned, mesh)


class _Learns:
    """Counts the learns of local mode; sets `stop` after the last one. Called after each."""

    def __init__(self, wanted: int, stop: threading.Event) -> None:
        self.made = 0
        self._wanted, self._stop = wanted, stop

    def __call__(self) -> None:
        self.made += 1
        if self.made >= self._wanted:
            self._stop.set()


def check(meter: Meter, run_dir: RunDir, learns: int, made: int, mesh: SerialMesh | None) -> None:
    """Raises MeshError: a step on the way from samples to the actor's new model did not happen.

    made: learns, of the `learns` that were wanted. mesh: None: there was no such way, for the agent trained in the
    aisrv (wrapper_type = local).
    """
    from kaimesh.training import checkpoint

    snapshot = meter.snapshot()
    counters = snapshot["counters"]
    losses = {name: value for name, value in snapshot["gauges"].items() if name.startswith("learn/")}
    dumped = [info.id for info in checkpoint.models(run_dir.ckpt)]
    last = int(meter.info.get("model_version", -1)) if mesh is None else mesh.last
    learned = f"{made} of {learns} learns" if made else "nothing was learned"
    waited = f", and the learner still waited for {mesh.waiting_for()}" if mesh else ": does it call agent.learn?"
    problems = [
        (made < learns, f"{learned}: the workflow ended{waited}"),
        (not all(map(math.isfinite, losses.values())), f"a metric is not finite: {losses}; look at the loss in learn"),
        (last not in dumped, f"checkpoint {last} was not dumped; there are {dumped}: does save_model write it?"),
    ]
    if mesh is not None:
        pooled, version = mesh.store.latest(), mesh.batcher.version
        problems += [
            (not counters.get("inserted"), "no sample reached the buffer: does the workflow call agent.learn?"),
            (
                pooled is None or pooled.id != last,
                f"the model pool's newest model is {pooled and pooled.id}, not {last}",
            ),
            (version != last, f"the actor predicts with model {version}, not {last}"),
        ]
    if wrong := [text for failed, text in problems if failed]:
        raise MeshError("; ".join(wrong))
    samples = counters["samples_learned" if mesh is None else "inserted"]
    print(
        f"{counters.get('env_steps', 0):,.0f} env steps, {samples:,.0f} samples, {made} learns, models {dumped}; "
        + ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
    )


def main(algo: str, description: str) -> int:
    """The command line of train_test.py; returns the exit code. algo: the default. description: for --help."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", type=Path, metavar="PATH", help="a folder of agents written for Kaiwu")
    parser.add_argument(
        "--algo", help=f"a table of conf/algo_conf.toml (default: {algo}; with --code: what the folder says)"
    )
    parser.add_argument("--conf", default=DEFAULT_CONF, help="configuration (default: conf/configure_app.toml)")
    parser.add_argument("--learns", type=int, default=3, help="learns to do (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="random_seed")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the configuration, repeatable"
    )
    parser.add_argument("--no-watchdog", action="store_true", help="never end because nothing moves")
    arguments = parser.parse_args()
    if arguments.learns < 1:
        parser.error(f"--learns {arguments.learns}: at least one is needed")
    os.environ[CALLER_VARIABLE] = os.getcwd()
    set_threads(1)
    if arguments.code is None:
        find_own_code()
    try:
        settings = overrides_of(None, None, arguments.set)
        folder = None if arguments.code is None else caller.typed(arguments.code)
        named = arguments.algo or (algo if folder is None else None)
        wanted = wish(named, arguments.conf, arguments.seed, settings, folder)
        first = wanted.read()
        for warning in first.warnings:
            print(f"note: {warning}", file=sys.stderr)
        with tried_out(first) as wait, claimed(ROOT / first.app.runs_dir) as run_dir:
            hosting.enter(first, run_dir, "train_test")
            config = wanted.read_for(first)  # imports the agent, meanwhile
            wait()
            try:
                run(config, run_dir, arguments.learns, watched=not arguments.no_watchdog)
            finally:
                if changed := hosting.record(config, run_dir):
                    print(f"note: {changed}", file=sys.stderr)
    except ConfigError as error:
        sys.exit(str(error))
    print(f"Train test succeed ({run_dir.root})", flush=True)
    return EXIT_OK
