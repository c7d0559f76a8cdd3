"""Unrolls as aisrv makes them, from episodes whose every number says where it comes from.

Shape legend: N slots; T steps of an unroll; P players.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from kaimesh.contract.columns import MODEL_VERSION, RUN_ID, TO_PLAY
from kaimesh.contract.spaces import Spaces


class Episode(NamedTuple):
    """length: its positions. end: "terminated", "truncated", "aborted" (no last step says so) or "open"."""

    slot: int
    number: int
    length: int
    end: str


class Told(NamedTuple):
    """What one position of an episode holds."""

    obs: np.ndarray
    action: int
    policy: np.ndarray
    root_value: np.ndarray
    reward: np.ndarray
    to_play: int


def board(players: int) -> Spaces:
    """A space of flat observations for 3 actions."""
    return Spaces((2,), "<f4", "discrete", 3, players=players)


@cache
def told(episode: Episode, i: int, players: int) -> Told:
    """Position i of an episode; any two differ."""
    rng = np.random.default_rng([episode.slot, episode.number, i])
    numbers = rng.standard_normal((2, players)).astype(np.float32)
    policy = rng.dirichlet(np.ones(3)).astype(np.float32)
    obs = np.array([episode.slot * 1000 + episode.number, i], np.float32)
    return Told(obs, int(rng.integers(3)), policy, numbers[0], numbers[1], int(rng.integers(players)))


def unrolls(episodes: list[list[Episode]], players: int, steps: int) -> Iterator[dict[str, np.ndarray]]:
    """The unrolls of N = len(episodes) slots, each with its episodes one after another; the last ones are all open."""
    rows = [list(_steps(one, players)) for one in episodes]
    total = max(map(len, rows)) // steps * steps + steps
    for row, one in zip(rows, episodes, strict=True):
        endless = Episode(one[0].slot, len(one), total, "open")
        row += [("step", told(endless, i, players)) for i in range(total + 1 - len(row))]
    for start in range(0, total, steps):
        yield _unroll([row[start : start + steps + 1] for row in rows], [one[0].slot for one in episodes], start)


def _steps(episodes: list[Episode], players: int) -> Iterator[tuple[str, Told]]:
    """What each step was: "step", "terminated", "truncated" or "reset"."""
    nothing = Told(
        np.full(2, -1, np.float32), 0, np.zeros(3, np.float32), *np.full((2, players), np.nan, np.float32), 0
    )
    for episode in episodes:
        for i in range(episode.length):
            last = i == episode.length - 1 and episode.end in ("terminated", "truncated")
            yield episode.end if last else "step", told(episode, i, players)
        yield "reset", nothing


def _unroll(rows: list[list[tuple[str, Told]]], slots: list[int], start: int) -> dict[str, np.ndarray]:
    columns = {name: np.array([[getattr(step, name) for _, step in row] for row in rows]) for name in Told._fields}
    kind = np.array([[name for name, _ in row[:-1]] for row in rows])
    players = columns["reward"].shape[2]
    reward = columns.pop("reward")[:, :-1]  # NaN in resets: nobody may read it
    to_play = columns.pop("to_play").astype(np.int8)
    return {
        **columns,
        "action": columns["action"].astype(np.int32),
        "reward": reward if players > 1 else reward[:, :, 0],
        **({TO_PLAY: to_play} if players > 1 else {}),
        "terminated": kind == "terminated",
        "truncated": kind == "truncated",
        "mask": kind != "reset",
        MODEL_VERSION: np.full(len(rows), start),
        RUN_ID: np.array(slots),
    }
