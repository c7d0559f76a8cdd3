"""MuZero in one process: rounds of games and learns, which depend on the seed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.algorithms.muzero.agent import Agent
from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.synchronous import Rounds
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import POSITIONS, for_learn
from tests.algorithms.muzero.stream import Episode, board, unrolls
from tests.algorithms.trajectories import made

SMALL: dict[str, Any] = {
    **{"window": 8, "n_step": 3, "unroll_steps": 2, "latent_size": 8, "positions_per_game": 2},
    **{"sync_games": 4, "sync_learns": 2, "sync_batch": 5, "sync_memory": 6},
}


def rows(first: int, count: int) -> Batch:
    return Batch({"number": first + np.arange(count)})


def test_a_round_begins_when_there_are_enough_games() -> None:
    rounds = Rounds(Config(sync_games=5))
    assert len(rounds.gathered(rows(0, 2))) == 0
    assert len(rounds.gathered(rows(2, 0))) == 0
    np.testing.assert_array_equal(rounds.gathered(rows(2, 4)).number, range(6))
    assert len(rounds.gathered(rows(6, 4))) == 0


def test_the_newest_games_are_drawn_all_alike() -> None:
    rounds = Rounds(Config(sync_memory=6, sync_learns=50, sync_batch=40))
    seen: list[np.ndarray] = []

    def update(columns: Any) -> dict[str, Any]:
        seen.append(columns["number"])
        return {"total_loss": float(len(seen))}

    assert rounds.learn(rows(0, 4), update) == {"total_loss": 25.5}
    assert set(np.concatenate(seen)) == {0, 1, 2, 3}
    seen.clear()
    rounds.learn(rows(4, 5), update)
    times = np.bincount(np.concatenate(seen), minlength=9)
    assert (times[:3] == 0).all()
    assert np.abs(times[3:] / 2000 - 1 / 6).max() < 0.04


def trained(folder: Path, seed: int) -> bytes:
    """The model after all rounds of 6 slots' games."""
    agent = made(Agent, board(2), **SMALL, seed=seed)
    episodes = [[Episode(slot, k, 3 + k, "terminated") for k in range(3)] for slot in range(6)]
    learns = 0
    for unroll in unrolls(episodes, 2, 4):
        games = agent.sample_of(Batch(unroll))
        if len(games):
            assert len(games) >= 4
            metrics = agent.learn(for_learn(games))
            assert metrics[POSITIONS] == 2 * 5 * 2
            learns += 1
    assert learns >= 2
    assert agent._learner.updates == 2 * learns
    agent.save_model(str(folder), seed)
    return (folder / f"model.ckpt-{seed}.npz").read_bytes()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, op_by_op: None) -> None:
    one, same, other = (trained(tmp_path, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
