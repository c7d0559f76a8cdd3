"""What a search loses in the mesh: an actor's simulations/s on a core of its own, against its search alone there.

    .venv/bin/python -m benchmarks.cores                               # tic-tac-toe, three minutes
    .venv/bin/python -m benchmarks.cores --app spiel:connect_four --settle 60
    .venv/bin/python -m benchmarks.cores --beside aisrv                # environments on the actor's core, too

A mesh trains with MuZero: its actor is pinned to one core, the processes of --beside too, all others to another one.
Then, in turns, the mesh works, or all of it is stopped (SIGSTOP) while this program searches, pinned to the actor's
core: with the newest model, positions of its own play, and as many rows at once as the actor had on average. So a noisy
neighbour of the machine is in both. replay_ratio is 0 unless --set says otherwise: play does not wait for the learner.

ratio      the actor's simulations per second, as a share of those of the search alone: the compiled search, with its
           network, and nothing around it. Seconds in which the actor wanted its core and had not got it are left out
           (others took it, or with --beside the mesh itself); `ratio_wall` has them in it
per_cpu    the same by CPU seconds of the actor's process, so without what it waited for
of_calls   what whole calls of the agent reach alone, as a share of the search: with the root's network, the noise, and
           the choice of the move
shares     of the actor's time by the wall, where it goes: `search`; `root`, the network there; `around`, the rest of
           the agent's call; `answer`, encoded and sent; `load`, newer models; `idle`, it waits for requests;
           `requests`, they are read and decoded, and all else. `no_core`: time within these without a core

Prints JSON; intervals are those of medians over the turns.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.pairs import environment_of, interval
from benchmarks.report import ROOT, as_program, finish
from kaimesh import envs
from kaimesh.aisrv.policy import AgentPolicy
from kaimesh.aisrv.rollout import Group
from kaimesh.arena.models import find_model
from kaimesh.config import Config, load
from kaimesh.config.roles import ACTOR, KEEPER, role_of
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import ENDED
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.predicting import LATEST, ModelId
from kaimesh.contract.user_agent import UserAgent
from kaimesh.operate.local.mesh_file import SUPERVISOR, pids
from kaimesh.process.agents import make_agent
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir

SIMULATIONS = "user/simulations"
_WATCHING = (KEEPER.first, SUPERVISOR)
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_KEPT = 40  # requests of the play alone whose positions are searched
_AGAIN_S = 1.0  # of the mesh, from when it goes on to the first look
_BUSY = 0.05  # of a process's CPU time: a thread with less is none that works
_PHASES = {"search": "user/search", "root": "user/root", "answer": "answer", "load": "load"}


class Look(NamedTuple):
    """An actor at one moment. at: monotonic, s, of its counters and phases; read_at: of the other two.

    threads: of each, its CPU seconds, and those for which it wanted a core and had none.
    """

    at: float
    counters: Mapping[str, float]
    phases: Mapping[str, float]
    read_at: float
    threads: Mapping[int, tuple[float, float]]


def look(run: RunDir, pid: int) -> Look:
    """The actor's next status, as soon as it is there."""
    before = run.statuses()[ACTOR.first]["clock"]
    while (status := run.statuses()[ACTOR.first])["clock"] == before:
        time.sleep(0.005)
    threads = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            ran, waited, _ = (task / "schedstat").read_text().split()
            threads[int(task.name)] = int(ran) / 1e9, int(waited) / 1e9
    return Look(status["clock"], status["counters"], status["phase_seconds"], time.monotonic(), threads)


class Turn(NamedTuple):
    """The actor between two looks. Rates are simulations per second; rows: that were searched in a call, on average."""

    own: float
    wall: float
    cpu: float
    rows: float
    shares: dict[str, float]


def turn_of(first: Look, last: Look, simulations: int) -> Turn:
    """simulations: of each row."""
    seconds, read_s = last.at - first.at, last.read_at - first.read_at
    done = last.counters[SIMULATIONS] - first.counters[SIMULATIONS]
    calls = last.counters["batches"] - first.counters["batches"]
    both = [
        [now - before for now, before in zip(last.threads[i], first.threads.get(i, (0.0, 0.0)), strict=True)]
        for i in last.threads
    ]
    cpu = sum(ran for ran, _ in both) / read_s
    without = sum(waited for ran, waited in both if ran > _BUSY * cpu * read_s) / read_s
    no_core = min(without, max(0.0, 1 - cpu))  # threads of its own that wait for each other have the core
    phases = {name: (last.phases[name] - first.phases.get(name, 0.0)) / seconds for name in last.phases}
    shares = {name: phases.get(phase, 0.0) for name, phase in _PHASES.items()}
    shares["around"] = phases["predict"] - shares["search"] - shares["root"]
    shares["idle"] = max(0.0, 1 - cpu - no_core)
    shares["requests"] = 1 - sum(shares.values())
    rate = done / seconds
    return Turn(rate / (1 - no_core), rate, rate / cpu, done / simulations / calls, {**shares, "no_core": no_core})


class Played(AgentPolicy):
    """Plays with an agent in this process, and keeps what it was asked."""

    on_policy = False

    def __init__(self, user: UserAgent) -> None:
        super().__init__(user, version=lambda: 0)
        self.user = user
        self.asked: deque[Batch] = deque(maxlen=_KEPT)

    def send(self, batch: Batch, exploit: bool = False, model: ModelId = LATEST) -> None:
        """See Policy."""
        going_on = np.flatnonzero(~batch.columns[ENDED])
        self.asked.append(batch.take(going_on))  # a copy
        super().send(batch, exploit, model)

    def learn(self, samples: Batch) -> None:
        """Nothing is learned."""


class Alone:
    """The search of an actor of `config` in this process, with the models of `run`."""

    def __init__(self, config: Config, run: RunDir) -> None:
        app, self._meter, self._run = config.app, Meter("alone"), run
        meter = self._meter
        user = make_agent(config, "actor", monitor=Monitor(meter.gauge, (0, 0), meter.count, meter.phase))
        env = envs.make_vector(
            app.app,
            user.predict_rows_at_most,
            env_conf=app.env_conf,
            max_episode_steps=app.max_episode_steps,
            seed=app.random_seed,
            unit_actions=user.unit_actions,
        )
        env = envs.featured(env, user.featured)
        assert user.prepared is not None
        assert user.vectorised is not None
        assert user.warming is not None
        user.prepared.setup(env.spaces)
        self._user, self._played = user, Played(user)
        self._load()
        user.warming.warm_up(user.predict_rows_at_most)
        self._group = Group(env, self._played, user.vectorised.unroll_length, Meter("play"), run_id=0)

    def turn(self, rows: int, seconds: float, steps: int) -> dict[str, float]:
        """Simulations per second of the search, of whole calls of the agent, and of those by the wall. It loads the
        newest model and plays `steps` steps before.
        """
        self._load()
        for _ in range(steps):
            self._group.advance()
        asked = Batch.concatenate(list(self._played.asked))
        asked = asked.take(np.random.default_rng(0).permutation(len(asked)))
        calls = [asked[i : i + rows] for i in range(0, len(asked) - rows + 1, rows)]
        began, before = time.process_time(), self._meter.snapshot()
        end, i = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            self._user.agent.predict(calls[i % len(calls)])
            i += 1
        cpu_s, now = time.process_time() - began, self._meter.snapshot()
        wall_s, phase = now["clock"] - before["clock"], _PHASES["search"]
        done = now["counters"][SIMULATIONS] - before["counters"][SIMULATIONS]
        search_s = now["phase_seconds"][phase] - before["phase_seconds"][phase]
        return {"cpu": done / cpu_s / (search_s / wall_s), "wall": done / search_s, "calls": done / cpu_s}

    def _load(self) -> None:
        folder, number = find_model(self._run, "latest")
        self._user.agent.load_model(path=str(folder), id=number)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="spiel:tic_tac_toe")
    parser.add_argument("--beside", nargs="*", default=[], metavar="ROLE", help="on the actor's core, such as aisrv")
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], help="the actor's, the others' (default: 0 1)")
    parser.add_argument("--settle", type=float, default=20.0, help="seconds before the first turn (default: 20)")
    parser.add_argument("--turns", type=int, default=20, help="of each side (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn of the mesh (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in tools/start.sh")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    wanted = {**environment_of(ROOT), **dict.fromkeys(_VARIABLES, "1")}
    if wanted != dict(os.environ):  # libraries read it when they are loaded
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.cores", *sys.argv[1:]], wanted)
    with mesh(arguments) as (run, processes):
        pin(os.getpid(), arguments.cores[0])
        turns = list(in_turns(arguments, run, processes))
    shown = {name: getattr(arguments, name) for name in ("app", "beside", "set", "settle")}
    finish("cores", {**shown, **report(turns)}, arguments.json)


@contextmanager
def mesh(arguments: argparse.Namespace) -> Iterator[tuple[RunDir, dict[str, int]]]:
    """A mesh that has begun to learn, each process pinned: its run, and the pids by name, the watching ones first."""
    command = [sys.executable, "-m", "kaimesh.operate.cli"]
    runs = ROOT / "runs"
    start = [*command, "start", "--detach", "--algo", "muzero", "--app", arguments.app]
    for setting in ("replay_ratio=0", f"runs_dir={runs}", *arguments.set):
        start += ["--set", setting]
    subprocess.run(start, cwd=ROOT, check=True, stdout=sys.stderr)
    run = RunDir(RunDir.latest(runs).root.resolve())
    try:
        while not any(status["counters"].get("learner_steps") for status in run.statuses().values()):
            time.sleep(0.5)
        found = dict(pids(run))
        processes = {name: found[name] for name in sorted(found, key=lambda name: name not in _WATCHING)}
        for name, pid in processes.items():
            near = name == ACTOR.first or role_of(name) in arguments.beside
            pin(pid, arguments.cores[0 if near else 1])
        yield run, processes
    finally:
        subprocess.run([*command, "stop", "all", "--run", str(run.root)], cwd=ROOT, check=True, stdout=sys.stderr)


def pin(pid: int, core: int) -> None:
    """All threads of a process, and those that they will start."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task), {core})


@contextmanager
def stopped(processes: Sequence[int]) -> Iterator[None]:
    """All of them stand still, the first ones longest, so that they do not see it of the others."""
    try:
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(processes):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def in_turns(
    arguments: argparse.Namespace, run: RunDir, processes: Mapping[str, int]
) -> Iterator[tuple[Turn, dict[str, float]]]:
    """Turns of the mesh, and of the search alone after each."""
    config = load(run.conf, {})
    alone = Alone(config, run)
    time.sleep(arguments.settle)
    for number in range(arguments.turns):
        time.sleep(_AGAIN_S)
        first = look(run, processes[ACTOR.first])
        time.sleep(arguments.seconds)
        turn = turn_of(first, look(run, processes[ACTOR.first]), config.hyper["simulations"])
        with stopped(list(processes.values())):
            found = alone.turn(max(1, round(turn.rows)), arguments.seconds / 3, 2 if number else _KEPT)
        told = {"turn": number + 1, **turn._asdict(), "alone": found, "load": os.getloadavg()[0]}
        print(told, file=sys.stderr, flush=True)
        yield turn, found


def report(turns: Sequence[tuple[Turn, dict[str, float]]]) -> dict[str, Any]:
    """The figures, each with its interval."""

    def spread(values: Iterator[float], digits: int = 3) -> list[float]:
        return [round(value, digits) for value in interval(list(values))]

    return {
        "ratio": spread(turn.own / alone["cpu"] for turn, alone in turns),
        "ratio_wall": spread(turn.wall / alone["wall"] for turn, alone in turns),
        "per_cpu": spread(turn.cpu / alone["cpu"] for turn, alone in turns),
        "of_calls": spread(alone["calls"] / alone["cpu"] for _, alone in turns),
        "rows": spread((turn.rows for turn, _ in turns), 1),
        "sims_per_s": spread((turn.own for turn, _ in turns), 0),
        "alone_sims_per_s": spread((alone["cpu"] for _, alone in turns), 0),
        "shares": {name: spread(turn.shares[name] for turn, _ in turns) for name in turns[0][0].shares},
        "load_average": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    as_program(main)
