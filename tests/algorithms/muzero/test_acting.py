"""What MuZero's agent answers: by searches, over legal actions, with noise in `predict` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.algorithms.muzero import acting
from kaimesh.algorithms.muzero.agent import Agent
from kaimesh.algorithms.muzero.config import MOVES, Config
from kaimesh.algorithms.muzero.search.figures import Found
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import ENDED, TO_PLAY
from kaimesh.contract.errors import AgentError
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.spaces import Spaces
from kaimesh.process.meter import Meter
from tests.algorithms.trajectories import made

BOARD = Spaces((3, 3, 4), "|i1", "discrete", 9, legal_actions=True, players=2)
SMALL: dict[str, Any] = {"simulations": 8, "latent_size": 8, "channels": 4, "blocks": 1, "network": "mlp"}
ROWS = 12


def requests(**more: np.ndarray) -> Batch:
    rng = np.random.default_rng(5)
    legal = rng.random((ROWS, 9)) < 0.5
    legal[:, 4] = True
    columns = {
        "obs": rng.integers(0, 2, (ROWS, 3, 3, 4)).astype(np.int8),
        "legal_act": legal,
        TO_PLAY: rng.integers(0, 2, ROWS).astype(np.int8),
    }
    return Batch({**columns, **more})


@pytest.mark.parametrize("config", [{}, {"search": "gumbel"}, {"network": "residual"}, {"scalar_support_size": 3}])
def test_answers_are_legal_and_exploit_always_gives_the_same(config: dict[str, Any]) -> None:
    agent = made(Agent, BOARD, "actor", **{**SMALL, **config})
    batch = requests()
    for acts in (agent.predict(batch), agent.exploit(batch)):
        assert acts.action.dtype == np.int32
        assert acts.policy.shape == (ROWS, 9)
        assert acts.root_value.shape == (ROWS, 2)
        assert acts.policy.dtype == acts.root_value.dtype == np.float32
        assert batch.legal_act[np.arange(ROWS), acts.action].all()
        np.testing.assert_allclose(acts.policy.sum(1), 1, atol=1e-5)
        assert (acts.policy[~batch.legal_act] < 1e-6).all()
    one, same = agent.exploit(batch), agent.exploit(batch)
    np.testing.assert_array_equal(one.policy, same.policy)
    np.testing.assert_array_equal(one.action, same.action)


def test_an_ended_episode_is_answered_without_a_search() -> None:
    agent = made(Agent, BOARD, "actor", **SMALL)
    ended = np.arange(ROWS) % 3 == 0
    acts = agent.predict(requests(**{ENDED: ended}))
    assert (acts.policy[ended] == 0).all()
    np.testing.assert_allclose(acts.policy[~ended].sum(1), 1, atol=1e-5)


def test_simulations_are_counted_and_not_for_ended_episodes() -> None:
    meter = Meter("actor_0")
    agent = Agent("actor", monitor=Monitor(meter.gauge, (0, 0), meter.count, meter.phase), config=Config(**SMALL))
    agent.setup(BOARD)
    agent.predict(requests(**{ENDED: np.arange(ROWS) % 3 == 0}))
    assert meter.counters == {"user/simulations": SMALL["simulations"] * ROWS * 2 / 3}
    agent.exploit(requests())
    assert meter.counters == {"user/simulations": SMALL["simulations"] * ROWS * 5 / 3}
    assert set(meter.snapshot()["phase_seconds"]) == {"user/root", "user/search"}


def test_one_player_without_a_mask() -> None:
    agent = made(Agent, Spaces((4,), "<f4", "discrete", 2), "actor", **SMALL)
    acts = agent.predict(Batch({"obs": np.ones((3, 4), np.float32)}))
    assert acts.root_value.shape == (3, 1)
    assert set(acts.action) <= {0, 1}


def found_of(visits: list[int], count: int) -> Found:
    rows = np.tile(np.array(visits, np.int32), (count, 1))
    zeros = np.zeros((count, len(visits)), np.float32)
    return Found(rows, zeros[:, :1], zeros[..., None], zeros, rows.argmax(1).astype(np.int32))


@pytest.mark.parametrize(("heat", "wanted"), [(1.0, [0.6, 0.3, 0.1, 0]), (0.5, [36 / 46, 9 / 46, 1 / 46, 0])])
def test_moves_are_drawn_by_visits_and_temperature(heat: float, wanted: list[float]) -> None:
    count, rng = 40_000, np.random.default_rng(0)
    legal = np.ones((count, 4), bool)
    found = acting.chosen(Config(temperature=heat), found_of([6, 3, 1, 0], count), legal, 0, None, rng)
    np.testing.assert_allclose(np.bincount(found, minlength=4) / count, wanted, atol=0.01)


def test_moves_at_random_are_legal_ones() -> None:
    count, rng = 10_000, np.random.default_rng(0)
    legal = np.tile([True, False, True, True], (count, 1))
    config = Config(temperature=0.0, random_moves=0.3)
    found = acting.chosen(config, found_of([6, 0, 1, 0], count), legal, 0, None, rng)
    np.testing.assert_allclose(np.bincount(found, minlength=4) / count, [0.8, 0, 0.1, 0.1], atol=0.02)


def test_temperature_falls_by_learns() -> None:
    config = Config(total_learner_steps=100)
    assert [acting.temperature(config, learns) for learns in (0, 49, 50, 74, 75, 999)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert acting.temperature(Config(), 10**6) == 1


def test_temperature_by_moves_counts_them_in_the_slots_state() -> None:
    agent = made(Agent, BOARD, "actor", **SMALL, temperature_by="moves", temperature_moves=2)
    (state,) = agent.initial_state(ROWS).values()
    acts = agent.predict(requests(**{MOVES: state + 1}))
    np.testing.assert_array_equal(acts.columns[MOVES], 2)
    config = agent.config
    moves = np.repeat([0, 1, 2, 5], 500)
    found = acting.chosen(
        config, found_of([6, 3, 1, 0], 2000), np.ones((2000, 4), bool), 0, moves, np.random.default_rng(0)
    )
    assert (found[1000:] == 0).all()
    assert (found[:1000] != 0).mean() > 0.3
    assert made(Agent, BOARD, "aisrv", **SMALL).initial_state(3) == {}


def test_an_actor_knows_how_many_learns_made_its_model(tmp_path: Path) -> None:
    learner, actor = (made(Agent, BOARD, kind, **SMALL) for kind in ("learner", "actor"))
    learner._learner.updates, learner._stale = 7, True
    learner.save_model(str(tmp_path), 1)
    actor.load_model(str(tmp_path), 1)
    assert actor._player._learns == 7
    actor.save_model(str(tmp_path), 2)
    assert (tmp_path / "model.ckpt-1.npz").read_bytes() == (tmp_path / "model.ckpt-2.npz").read_bytes()


def test_a_model_of_another_network_is_refused(tmp_path: Path) -> None:
    made(Agent, BOARD, "actor", **SMALL).save_model(str(tmp_path), 1)
    other = made(Agent, BOARD, "actor", **{**SMALL, "latent_size": 9})
    with pytest.raises(AgentError, match=r"latent_size is 8 in the file and 9 here \(set latent_size\)"):
        other.load_model(str(tmp_path), 1)


def test_warming_up_measures_a_search() -> None:
    assert 0 < made(Agent, BOARD, "actor", **SMALL).warm_up(4) < 60


def test_what_a_first_call_takes_is_no_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow traces then, and the second call may meet the start of other processes."""
    agent, now = made(Agent, BOARD, "actor", **SMALL), [0.0]
    takes = iter([20.0, 3.0, 2.0])

    def act(self: acting.Player, columns: Any, rng: Any) -> dict[str, np.ndarray]:
        now[0] += next(takes)
        return {}

    monkeypatch.setattr(acting.Player, "act", act)
    monkeypatch.setattr(acting.Player, "warm_up", lambda self: None)
    monkeypatch.setattr("kaimesh.algorithms.muzero.agent.time.perf_counter", lambda: now[0])
    assert agent.warm_up(4) == 2
