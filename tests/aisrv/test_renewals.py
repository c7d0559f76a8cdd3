"""Environments that fail in a running aisrv: no sample joins two episodes, and the rule by which it gives up."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.aisrv.renewals import LAST, Renewals
from kaimesh.aisrv.rollout import Group
from kaimesh.algorithms.targets.nstep import n_step
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import EnvContractError, EnvError, Stopped
from kaimesh.contract.user_agent import UserAgent, read_agent
from kaimesh.process.meter import Meter
from tests.envs.faulty import LENGTH, Faulty, fresh, play

LOG = logging.getLogger("test")


@pytest.fixture(autouse=True)
def numbers() -> None:
    fresh()


class Impatient(threading.Event):
    """Notes how long it was to be waited for, and waits no time."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


class Quiet:
    """Acts 0, and keeps what it is given to learn."""

    on_policy = False

    def __init__(self) -> None:
        self.samples: list[Batch] = []
        self._count = 0

    @property
    def user(self) -> UserAgent:
        return read_agent(self)

    def initial_state(self, count: int) -> dict[str, np.ndarray]:
        return {"seen": np.zeros((count, 1), np.float32)}

    def send(self, batch: Batch) -> None:
        self._state = batch.columns["seen"] + 1

    def receive(self) -> tuple[Batch, int]:
        return Batch({"action": np.zeros(len(self._state), np.int64), "seen": self._state}), 0

    def learn(self, batch: Batch) -> None:
        self.samples.append(Batch({name: column.copy() for name, column in batch.columns.items()}))


def roll(app: str, unroll: int, steps: int, seed: int, rate: float) -> tuple[list[Batch], Meter]:
    """Samples of three environments, each of which fails in a step with probability `rate`."""
    rng, meter = np.random.default_rng(seed), Meter("aisrv_0")
    renew = Renewals(meter, Impatient(), LOG, steps_each=0).of_group(0)
    env = envs.make_vector(f"tests.envs.faulty:{app}", 3, seed=seed, renew=renew)
    agent = Quiet()
    meter.state("working")
    group = Group(env, agent, unroll, meter, run_id=0, seed=seed)
    counted = 0
    for _ in range(steps):
        for one in Faulty.made:
            if rng.random() < rate:
                one.fault, one.at = str(rng.choice(["step", "obs nan", "reward nan", "obs shape"])), one.steps + 1
        counted += group.advance()
    assert meter.snapshot()["state"] == "working"
    made = sum(int(sample.mask.sum()) for sample in agent.samples)
    assert counted == made + group.unfinished, "every step is in a sample, or unfinished"
    return agent.samples, meter


@pytest.mark.parametrize("app", ["Faulty", "Together"])
@pytest.mark.parametrize("unroll", [1, 3, 4, 7])
def test_no_sample_joins_two_episodes(app: str, unroll: int) -> None:
    samples, meter = roll(app, unroll, steps=140, seed=unroll, rate=0.05)
    cut = ends = 0
    for sample in samples:
        over = sample.terminated | sample.truncated
        life, age = sample.obs[..., 0], sample.obs[..., 1]
        goes_on = (life[:, 1:] == life[:, :-1]) & (age[:, 1:] == age[:, :-1] + 1)
        assert goes_on[sample.mask].all(), "a step leads to the next observation of the same environment and episode"
        assert (sample.reward == sample.mask).all(), "each step earned 1, and what was no step nothing"
        assert not over[~sample.mask].any()
        assert not (sample.terminated & sample.truncated).any()
        assert (age[:, 1:][sample.terminated] == LENGTH).all()
        after = ~sample.mask[:, 1:] & sample.mask[:, :-1]  # the episode is over before a step that is none
        assert over[:, :-1][after].all()
        begins = sample.mask[:, 0]
        np.testing.assert_array_equal(sample.columns["seen"][begins, 0], age[begins, 0], "the state of this episode")
        cut += int(sample.truncated.sum())
        ends += int(over.sum())
        target = n_step(
            *(sample.columns[name].T for name in ("reward", "terminated", "truncated", "mask")), gamma=1.0, n=LENGTH + 1
        )
        where = target.bootstrap.T  # the observation that the sum goes on with
        for row, step in np.argwhere(sample.mask):
            assert life[row, where[row, step]] == life[row, step]
            assert target.reward[step, row] == age[row, where[row, step]] - age[row, step]
    counters = meter.snapshot()["counters"]
    assert counters["env_restarts"] >= (9 if app == "Together" else 5)
    assert ends > 5
    assert cut > 0 or unroll == 1
    assert all(earned == LENGTH == length for _, earned, length in meter.snapshot()["recent_episodes"]), "whole ones"


def test_one_that_fails_again_and_again_is_given_up_with_its_first_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    meter, stop = Meter("aisrv_0"), Impatient()
    renew = Renewals(meter, stop, LOG).of_group(4)
    env = envs.make_vector("tests.envs.faulty:Faulty", 2, env_conf={"fault": "step", "at": 5}, renew=renew)
    env.reset()
    with pytest.raises(EnvError, match=r"raised ConnectionError in step: .*\(environment 4: failure 10 within") as end:
        play(env, 1000)
    assert isinstance(end.value.__cause__, ConnectionError)
    assert caplog.text.count("Traceback") == 1
    assert 'raise ConnectionError("the game server closed' in caplog.text
    assert meter.counters["env_restarts"] == 2 * (LAST - 1)
    assert not stop.waits, "each had made steps"


def test_what_returns_nonsense_again_and_again_is_not_restarted_at_all() -> None:
    renew = Renewals(Meter("aisrv_0"), Impatient(), LOG).of_group(0)
    env = envs.make_vector("tests.envs.faulty:Faulty", 2, env_conf={"fault": "reward nan", "at": 5}, renew=renew)
    env.reset()
    with pytest.raises(EnvContractError, match=r"a reward is nan.*failure 10 within"):
        play(env, 1000)


def test_one_that_fails_now_and_then_never_is() -> None:
    meter = Meter("aisrv_0")
    renew = Renewals(meter, Impatient(), LOG).of_group(0)
    env = envs.make_vector("tests.envs.faulty:Faulty", 1, env_conf={"fault": "step", "at": 120}, renew=renew)
    env.reset()
    play(env, 2500)
    assert meter.counters["env_restarts"] > LAST


class Failing:
    """What makes an environment, `left` times in vain."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self) -> str:
        self.left -= 1
        if self.left >= 0:
            raise ConnectionError("no game server")
        return "made"


def test_a_server_that_is_away_is_waited_for_and_the_state_says_so() -> None:
    meter, stop = Meter("aisrv_0"), Impatient()
    meter.state("working")
    renew = Renewals(meter, stop, LOG).of_group(2)
    states: list[str] = []
    make = Failing(6)

    def made() -> str:
        states.append(meter.snapshot()["blocked_on"])
        return make()

    assert renew(range(1, 2), 50, "step", ConnectionError("gone"), made) == "made"
    assert stop.waits == sorted(stop.waits)
    assert 5 < sum(stop.waits) < 30
    assert set(states) == {"environment 3, made anew after ConnectionError"}
    assert meter.snapshot()["state"] == "working"
    with pytest.raises(EnvError, match="in its constructor or first reset: no game server"):
        renew(range(1, 2), 51, "step", ConnectionError("gone"), Failing(100))
    stop.set()
    with pytest.raises(Stopped):
        Renewals(meter, stop, LOG, steps_each=0).of_group(0)(range(1), 0, "step", ConnectionError("gone"), Failing(100))


def test_failures_that_become_many_are_logged_seldom(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    renew = Renewals(Meter("aisrv_0"), Impatient(), LOG, clock=lambda: now[0], steps_each=0).of_group(0)
    for step in range(0, 1000, 10):
        now[0] += 1.0
        renew(range(1), step, "step", ConnectionError("gone"), lambda: None)
    assert caplog.text.count("failed in step") == 10


def test_a_whole_vector_counts_all_its_environments() -> None:
    meter = Meter("aisrv_0")
    renew = Renewals(meter, Impatient(), LOG).of_group(0)
    conf: dict[str, Any] = {"fault": "step", "at": 5, "which": [0]}
    env = envs.make_vector("tests.envs.faulty:Together", 3, env_conf=conf, renew=renew)
    env.reset()
    play(env, 9)
    assert meter.counters["env_restarts"] == 3
