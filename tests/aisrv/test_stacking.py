"""Frame stacks are stored as single frames, and come back exactly as the environment gave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaimesh import envs
from kaimesh.aisrv.local import LocalLinks
from kaimesh.aisrv.rollout import Group
from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.ingest import Ingest
from kaimesh.config import App
from kaimesh.contract import stacking
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.user_agent import UserAgent, read_agent
from kaimesh.process.meter import Meter
from tests.buffer.conftest import config_of

N = 3


class Gambler:
    """Plays at random; keeps every observation that it was asked for and every sample."""

    on_policy = False

    def __init__(self, actions: int, seed: int) -> None:
        self._rng, self._actions = np.random.default_rng(seed), actions
        self.seen: list[np.ndarray] = []
        self.samples: list[Batch] = []

    @property
    def user(self) -> UserAgent:
        return read_agent(self)

    def send(self, batch: Batch) -> None:
        self.seen.append(batch.obs.copy())

    def receive(self) -> tuple[Batch, int]:
        return Batch({"action": self._rng.integers(self._actions, size=N)}), 0

    def learn(self, batch: Batch) -> None:
        self.samples.append(Batch({name: column.copy() for name, column in batch.columns.items()}))


def roll(app: str, conf: dict[str, Any], limit: int, length: int, unrolls: int, seed: int) -> Gambler:
    env = envs.make_vector(app, N, env_conf=conf, seed=seed, max_episode_steps=limit)
    agent = Gambler(env.spaces.action_size, seed)
    group = Group(env, agent, length, Meter("aisrv_0"), run_id=0, seed=seed)
    for _ in range(unrolls * length + 1):
        group.advance()
    env.close()
    return agent


def given_by_the_environment(agent: Gambler, length: int, unroll: int) -> np.ndarray:
    """Observations [N, T + 1, K, H, W] of an unroll."""
    return np.stack(agent.seen[unroll * length : (unroll + 1) * length + 1], 1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    length=st.integers(1, 9),
    limit=st.integers(
        1, 14
    ),  # episodes end in many places of an unroll, also several in one, and one inside a stack's length
    stack=st.sampled_from([4, 4, 2, 1]),
    game=st.sampled_from([("ale:pong", {}), ("ale:breakout", {"episodic_life": True, "noop_max": 1})]),
    seed=st.integers(0, 999),
)
def test_stacks_are_those_that_the_environment_gave(length, limit, stack, game, seed):
    app, conf = game
    unrolls = 30 // length + 2
    agent = roll(app, {**conf, "stack_num": stack}, limit, length, unrolls, seed)
    assert len(agent.samples) == unrolls
    resets = 0
    for u, sample in enumerate(agent.samples):
        assert "obs" not in sample.columns
        assert sample.columns[stacking.FRAMES].shape == (N, length + stack, 84, 84)
        back = stacking.restored(sample)
        assert stacking.FRAMES not in back.columns
        np.testing.assert_array_equal(back.obs, given_by_the_environment(agent, length, u))
        resets += int((~sample.mask).sum())
    assert resets >= 2 * N, "episodes must end, or this shows nothing"


def test_lost_lives_and_colours_too():
    agent = roll(
        "ale:breakout", {"episodic_life": True, "grayscale": False, "img_height": 40, "img_width": 36}, 0, 20, 12, 5
    )
    assert sum(int((~sample.mask).sum()) for sample in agent.samples) > 3
    for u, sample in enumerate(agent.samples):
        assert sample.columns[stacking.FRAMES].shape == (N, 24, 40, 36, 3)
        np.testing.assert_array_equal(stacking.restored(sample).obs, given_by_the_environment(agent, 20, u))


def test_what_a_step_saw_and_led_to_is_restored_where_emulators_fail():
    def renew(slots: range, steps: int, verb: str, error: Exception, make: Callable[[], Any]) -> Any:
        return make()

    env = envs.make_vector("ale:pong", N, seed=1, max_episode_steps=9, renew=renew)
    emulator, failing = env.env.env.step, iter([False] * 6 + [True] + [False] * 3)

    def step(actions: np.ndarray) -> Any:
        if next(failing):
            raise ConnectionError("gone")
        return emulator(actions)

    env.env.env.step = step  # type: ignore[method-assign]  # of the first one alone
    agent, length = Gambler(env.spaces.action_size, 1), 4
    group = Group(env, agent, length, Meter("aisrv_0"), run_id=0, seed=1)
    [group.advance() for _ in range(5 * length + 1)]
    env.close()
    assert [int((~sample.mask).sum()) // N for sample in agent.samples] == [0, 2, 0, 0, 1]
    for u, sample in enumerate(agent.samples):
        back, given = stacking.restored(sample).obs, given_by_the_environment(agent, length, u)
        np.testing.assert_array_equal(back[:, :-1][sample.mask], given[:, :-1][sample.mask])
        np.testing.assert_array_equal(back[:, 1:][sample.mask], given[:, 1:][sample.mask])


def test_the_past_of_another_episode_is_not_there_and_would_be_without_the_mask():
    agent = roll("ale:pong", {}, 6, 8, 4, 1)
    sample = agent.samples[1]
    forgetful = Batch({**sample.columns, "mask": np.ones_like(sample.mask)})
    assert not np.array_equal(stacking.restored(forgetful).obs, given_by_the_environment(agent, 8, 1))


def test_samples_without_stacks_are_left_alone():
    batch = Batch({"obs": np.zeros((2, 3)), "mask": np.ones((2, 2), bool)})
    assert stacking.restored(batch) is batch


def test_an_agent_that_learns_in_place_gets_stacks():
    agent = roll("ale:pong", {}, 6, 8, 2, 1)
    learned: list[Batch] = []

    class Local:
        unroll_length = 8

        def learn(self, batch: Batch) -> None:
            learned.append(batch)

    LocalLinks(read_agent(Local()), training=None).put(agent.samples[0])
    np.testing.assert_array_equal(learned[0].obs, given_by_the_environment(agent, 8, 0))
    assert not [name for name in learned[0].columns if name.startswith("_")]


def test_the_buffer_holds_single_frames_and_the_learner_gets_stacks():
    length = 20
    agent = roll("ale:pong", {}, 13, length, 4, 1)
    app = App(train_batch_size=N, replay_buffer_capacity=4 * N)
    table = TableSpec(kind="queue", rows_per_item=1)
    ingest = Ingest(table, app)
    reader = Reader(
        [], [], "", batch_size=N, table=table, config=config_of(app), meter=Meter("learner_0"), controls=[ingest]
    )
    try:
        ingest.declare(agent.samples[0].specs, None)
        for u, sample in enumerate(agent.samples):
            ingest.insert(sample)
            ingest.flush(5.0)
            batch = reader.next_batch(20.0)
            assert batch is not None
            np.testing.assert_array_equal(batch.obs, given_by_the_environment(agent, length, u))
        assert ingest.specs is not None
        stored, stacks = ingest.specs.row_bytes, batch.specs.row_bytes
        assert stored < 0.3 * stacks  # 24 frames in place of 84
    finally:
        reader.close()
        ingest.close()


def test_other_past_than_zeros_is_refused():
    env = envs.make_vector("ale:pong", N, max_episode_steps=4, seed=0)
    step = env.step

    def padded(actions: np.ndarray) -> Any:
        observation, *rest = step(actions)
        first = ~observation[:, :-1].any((1, 2, 3))
        observation[first] = observation[first][:, -1:]
        return observation, *rest

    env.step = padded  # type: ignore[method-assign]
    group = Group(env, Gambler(6, 0), 20, Meter("aisrv_0"), run_id=0, seed=0)
    with pytest.raises(ConfigError, match="older frames that are not zeros"):
        [group.advance() for _ in range(8)]
    env.close()
