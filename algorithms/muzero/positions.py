"""Draws positions of a batch of stored games and arranges them for the update, with their targets. In NumPy.

Shape legend: G games of a batch, L positions of the longest; B positions that are drawn; K steps of the model; P
players; A actions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.games import check
from kaimesh.algorithms.muzero.symmetries import symmetries
from kaimesh.algorithms.muzero.targets import Games, drawn, n_step, targets
from kaimesh.contract.arrays import ArraySpec, Columns
from kaimesh.contract.columns import POSITIONS, TO_PLAY


def arranged(
    net: Architecture,
    config: Config,
    wanted: Mapping[str, ArraySpec],
    rng: np.random.Generator,
    columns: Mapping[str, np.ndarray],
) -> Columns:
    """`obs` `[B, ...]`, all of Targets but `position`, and `game` int64 `[B]`; B = positions_per_game times G.

    With a target network, `value` are the rewards until the position that it goes on from; `later_obs`
    `[B, K + 1, ...]` and `later_discount` float32 `[B, K + 1]` are of that one.
    wanted: `games.specs`. columns: stored games `[G, L, ...]`. Raises as `games.check`.
    """
    check(columns, wanted)
    terminated = columns["terminated"]
    reward = columns["reward"] * np.float32(config.reward_scale)
    returns = n_step(reward, columns["length"], terminated, config.gamma, config.n_step)
    with_target = config.bootstrap == "target"
    value = returns.reward if with_target else returns.values(columns["root_value"])
    stored = Games(columns["action"], columns["policy"], reward, columns.get(TO_PLAY), columns["length"], terminated)
    game, start = drawn(columns[POSITIONS], config.positions_per_game * len(reward), rng)
    found = targets(stored, value, game, start, config.unroll_steps, rng)
    batch = {"obs": columns["obs"][game, start], **found._asdict(), "game": game}
    rows, position = game[:, None], batch.pop("position")
    if with_target:
        batch["later_obs"] = columns["obs"][rows, returns.bootstrap[rows, position]]
        batch["later_discount"] = np.where(found.policy_mask, returns.discount[rows, position], np.float32(0))
    return _mirrored(net, config, batch, rng)


def _mirrored(net: Architecture, config: Config, batch: Columns, rng: np.random.Generator) -> Columns:
    """The images of all positions, each by a symmetry that is drawn."""
    board = symmetries(net.spaces, config.symmetries)
    if board is None:
        return batch
    which = rng.integers(0, len(board.cells), len(batch["obs"]))
    batch |= {"obs": board.board(which, batch["obs"]), "policy": board.by_action(which, batch["policy"])}
    return {**batch, "action": board.action(which, batch["action"])}
