"""Batches as the mesh makes them, from random observations and an agent's own predictions, step after step.

Shape legend: B trajectories, T steps.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.contract.agent import BaseAgent
from kaimesh.contract.arrays import Batch
from kaimesh.contract.recurrence import RecurrentState
from kaimesh.contract.spaces import Spaces

DISCRETE = Spaces((5,), "<f4", "discrete", 3, legal_actions=True)
CONTINUOUS = Spaces((5,), "<f4", "continuous", 2, (-1.0, -1.0), (1.0, 1.0))
IMAGES = Spaces((4, 84, 84), "|u1", "discrete", 6)


def made(agent_cls: Any, spaces: Spaces = DISCRETE, agent_type: str = "learner", **config: Any) -> Any:
    """An agent whose configuration differs from the default in `config`, with a small network."""
    agent = agent_cls(agent_type, config=agent_cls.algorithm.config(**{"hidden_sizes": (16, 16), **config}))
    agent.setup(spaces)
    return agent


_learners: dict[str, tuple[Any, Path]] = {}  # each with the folder that holds its beginning


def again(agent_cls: Any, spaces: Spaces = DISCRETE, **config: Any) -> Any:
    """A learner as `made` makes it. Equal arguments give the same object, set back to its beginning: tracing is slow.

    A test that compares two learners of the same arguments, or two lives of one, takes `made`.
    """
    key = repr((agent_cls, spaces, sorted(config.items())))
    if key not in _learners:
        agent, folder = made(agent_cls, spaces, **config), Path(tempfile.mkdtemp(prefix="kaimesh-tests-"))
        agent.save_model(str(folder), 0)
        agent.save_training_state(str(folder))
        _learners[key] = agent, folder
    agent, folder = _learners[key]
    agent.load_model(str(folder), 0)
    agent.load_training_state(str(folder))
    return agent


def forget() -> None:
    """Frees the learners of `again`: TensorFlow wants its functions freed before the interpreter ends."""
    for _, folder in _learners.values():
        shutil.rmtree(folder)
    _learners.clear()


def observations(spaces: Spaces, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Random ones, `[count, ...]`; action 1 is always legal."""
    obs = (
        rng.integers(0, 256, (count, *spaces.obs_shape))
        if spaces.obs_dtype == "|u1"
        else rng.standard_normal((count, *spaces.obs_shape))
    )
    columns = {"obs": obs.astype(spaces.obs_dtype)}
    if spaces.legal_actions:
        columns["legal_act"] = rng.random((count, spaces.action_size)) < 0.7
        columns["legal_act"][:, 1] = True
    return columns


def trajectories(
    agent: BaseAgent, spaces: Spaces, *, seed: int = 0, count: int = 8, length: int = 16, skip: int = 0
) -> Batch:
    """One batch `[B, T(+1), ...]`, with ends and reset steps. skip: steps of the same episodes that came before it."""
    rng = np.random.default_rng(seed)
    total = skip + length
    ends = rng.random((count, total)) < 0.15
    ends[:, 1:] &= ~ends[:, :-1]
    mask = np.ones((count, total), bool)
    mask[:, 1:] = ~ends[:, :-1]
    terminated = ends & (rng.random((count, total)) < 0.5)
    reward = rng.standard_normal((count, total)).astype(np.float32)
    entries, state = acted(agent, spaces, rng, mask, skip)
    flags = {"terminated": terminated, "truncated": ends & ~terminated, "mask": mask}
    return Batch({**entries, **state, "reward": reward[:, skip:], **{k: v[:, skip:] for k, v in flags.items()}})


def acted(
    agent: BaseAgent, spaces: Spaces, rng: np.random.Generator, mask: np.ndarray, skip: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Observations and answers `[B, T + 1, ...]` from step `skip` on, and a recurrent state before that one."""
    count, total = mask.shape
    state, before, rows = RecurrentState(agent, count), {}, []
    for t in range(total + 1):
        if t:
            state.advance(~mask[:, t - 1])
        if t == skip:
            before = state.columns
        entry = observations(spaces, rng, count)
        answer = state.take(agent.predict(Batch({**entry, **state.columns})))
        rows.append({**entry, **{name: column.copy() for name, column in answer.columns.items()}})
    return {name: np.stack([row[name] for row in rows[skip:]], 1) for name in rows[0]}, before


def saved(agent: BaseAgent, folder: Path, id: int) -> bytes:
    """The bytes of the model."""
    agent.save_model(str(folder), id)
    return (folder / f"model.ckpt-{id}.npz").read_bytes()
