"""What benchmarks count, against samples themselves."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import psutil
import pytest

from benchmarks.cores import SIMULATIONS, Look, stopped, turn_of
from benchmarks.pairs import environment_of
from benchmarks.report import ROOT
from benchmarks.slopes import slope
from benchmarks.soak import slopes
from benchmarks.train import transition_bytes
from benchmarks.turns import Side
from kaimesh import envs
from kaimesh.aisrv.policy import AgentPolicy
from kaimesh.aisrv.rollout import Group
from kaimesh.config import load
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.contract import stacking
from kaimesh.contract.arrays import Batch
from kaimesh.contract.user_agent import UserAgent, read_agent
from kaimesh.process.meter import Meter
from tests.harness import wait_until


class Still:
    """An agent that always does the same."""

    def __init__(self, length: int) -> None:
        self.unroll_length = length

    def predict(self, batch: Batch) -> Batch:
        return Batch({"action": np.zeros(len(batch), np.int32), "value": np.zeros(len(batch), np.float32)})


class Keeper(AgentPolicy):
    """Keeps samples instead of learning from them."""

    on_policy = False

    def __init__(self, user: UserAgent) -> None:
        super().__init__(user, version=lambda: 0)
        self.user = user
        self.samples: list[Batch] = []

    def learn(self, samples: Batch) -> None:
        self.samples.append(samples.take(np.arange(len(samples))))  # a copy


@pytest.mark.parametrize(("app", "smaller"), [("ale:pong", 3.4), ("gym:CartPole-v1", 1.0)])
def test_bytes_of_a_transition_with_frames_and_with_stacks(app, smaller):
    config = load(DEFAULT_CONF, {"app": app, "algo": "impala"})
    agent = Keeper(read_agent(Still(20)))
    env = envs.make_vector(app, 2, seed=1)
    group = Group(env, agent, 20, Meter("aisrv_0"), run_id=0, seed=1)
    steps = sum(group.advance() for _ in range(21))
    env.close()
    unfinished = group.unfinished
    (sample,) = agent.samples
    statuses = {
        "aisrv_0": {
            "counters": {"env_steps": steps, "env_steps_unfinished": unfinished, "samples_made": 2},
            "gauges": {},
        },
        "buffer_0": {"counters": {}, "gauges": {"sample_bytes": float(sample.specs.row_bytes)}},
    }
    found = transition_bytes(config, statuses)
    valid = int(sample.mask.sum())
    assert found["bytes_per_transition"] == 2 * sample.specs.row_bytes / valid
    assert found["bytes_with_stacks"] == 2 * stacking.restored(sample).specs.row_bytes / valid
    assert found["bytes_with_stacks"] >= smaller * found["bytes_per_transition"]


@pytest.mark.parametrize("rise", [0.0, 3.0, -0.5])
def test_a_slope_and_its_interval(rise: float) -> None:
    x = np.arange(400.0)
    covered = 0
    for seed in range(40):
        wave = np.convolve(
            np.random.default_rng(seed).normal(size=len(x) + 9), np.ones(10), "valid"
        )  # neighbours agree
        found = slope(x, 1e6 + rise * x + wave)
        assert found is not None
        assert found.value == pytest.approx(rise, abs=0.05)
        covered += abs(found.value - rise) <= found.plus_minus
    assert covered >= 32  # of 40, at 95 % each; with independent errors' interval it would be some 20


def test_no_slope_where_nothing_moves() -> None:
    assert slope(np.zeros(20), np.arange(20.0)) is None
    assert slope(np.arange(5.0), np.arange(5.0)) is None


def test_what_a_soak_says_grew() -> None:
    samples = [
        {
            "t": 1000.0 + 10 * i,
            "learns": 5 * i,
            "disk_bytes": 7,
            "disk_files": 2,
            "processes": {
                "learner_0": {"pid": 9 + (i > 60), "anonymous": 1000 * i, "resident": 5, "files": 3, "threads": 4}
            },
        }
        for i in range(101)
    ]
    report = slopes(samples, 100.0)
    learner = report["processes"]["learner_0"]
    assert (report["samples"], report["learns"], learner["starts"]) == (91, 500, 2)
    assert learner["anonymous"]["first"] == 61_000  # of its last life
    assert learner["anonymous"]["per_hour"].value == pytest.approx(360_000)
    assert learner["anonymous"]["per_1000_learns"].value == pytest.approx(200_000)
    assert report["disk"]["disk_bytes"]["per_hour"].value == 0


def test_where_an_actors_time_goes() -> None:
    """In ten seconds: six of calls, half of them the search; two of waiting; one without a core."""
    first = Look(100.0, {SIMULATIONS: 500, "batches": 10}, {"wait": 3.0, "predict": 7.0}, 100.2, {1: (5.0, 1.0)})
    phases = {"wait": 6.0, "predict": 13.0, "user/search": 3.0, "user/root": 1.0, "answer": 0.5}
    counters = {SIMULATIONS: 16_500, "batches": 30}
    last = Look(110.0, counters, phases, 110.2, {1: (11.0, 2.0), 2: (1.0, 0.0), 3: (0.1, 7.0)})
    turn = turn_of(first, last, simulations=25)
    assert turn.rows == 16_000 / 25 / 20
    assert turn.wall == 1600
    assert turn.own == pytest.approx(1600 / 0.9)  # thread 3 waits for a core, but hardly works
    assert turn.cpu == pytest.approx(1600 / 0.71)
    shares = {name: round(share, 3) for name, share in turn.shares.items()}
    assert shares["no_core"] == 0.1
    within = {"search": 0.3, "root": 0.1, "around": 0.2, "answer": 0.05, "load": 0, "idle": 0.19, "requests": 0.16}
    assert {name: share for name, share in shares.items() if name != "no_core"} == within


def test_what_is_stopped_in_a_turn_goes_on_after_it_even_if_that_fails() -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)

        def fail() -> None:
            wait_until(lambda: process.status() == psutil.STATUS_STOPPED, 10, "it stands still")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), stopped([child.pid]):
            fail()
        assert process.status() != psutil.STATUS_STOPPED


@pytest.mark.long
@pytest.mark.parametrize("what", ["predict-1", "buffer-in"])
def test_two_of_the_same_cost_the_same_in_turns(what: str) -> None:
    with Side(what, ROOT, environment_of(ROOT)) as one, Side(what, ROOT, environment_of(ROOT)) as other:
        for side in (one, other):
            side.start()
        processes = [*one.processes, *other.processes]
        assert {process.status() for process in processes} == {psutil.STATUS_STOPPED}
        ratios = [one.turn(0.3) / other.turn(0.3) for _ in range(20)]
    assert 0.8 < np.median(ratios) < 1.25
    psutil.wait_procs(processes, timeout=10)
    assert not any(process.is_running() for process in processes)
