"""Agents that walk through an open realm, to the nearest treasure and at last to the end; vectorised and Kaiwu-style.

Both do the same. Model number n does not see the treasure at point n.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh.contract.agent import BaseAgent
from kaimesh.contract.arrays import Batch
from kaimesh.contract.structs import attached, create_cls

POINTS = range(1, 16)


class Walker(BaseAgent):
    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        assert Path(str(path), f"model.ckpt-{id}.txt").exists()
        self.blind = int(id)

    def direction(self, end: int, treasures: dict[int, tuple[float, int]]) -> int:
        """treasures: point -> (its way, its direction 1..8), of those that are there."""
        seen = {point: far for point, far in treasures.items() if point != self.blind}
        return (min(seen.values())[1] if seen else end) - 1


class VectorisedWalker(Walker):
    def setup(self, spaces: Any) -> None:
        assert spaces.legal_actions

    def exploit(self, list_obs_data: Batch) -> Batch:
        objects = list_obs_data.columns["obs"][:, 6:].reshape(-1, 17, 6)
        directions = 1 + np.round(np.arctan2(objects[..., 2], objects[..., 1]) / (math.pi / 4)).astype(int) % 8
        actions = [
            self.direction(
                directions[i, 0], {p: (row[p + 1, 5], directions[i, p + 1]) for p in POINTS if row[p + 1, 0] == 1}
            )
            for i, row in enumerate(objects)
        ]
        return Batch({"action": np.array(actions, np.int64)})


class Kaiwu(Walker):
    def exploit(self, list_obs_data: Any) -> Any:
        acts = []
        for row in list_obs_data:
            treasures = {p: (row.ways[p - 1], row.directions[p - 1]) for p in POINTS if row.directions[p - 1]}
            acts.append(ActData(action=self.direction(int(row.end), treasures)))
        return acts


ObsData = create_cls("ObsData", end=None, directions=None, ways=None)
ActData = create_cls("ActData", action=None)


@attached
def observation_process(raw_obs: Any) -> Any:
    feature = raw_obs.feature
    treasures = feature.treasure_pos
    return ObsData(
        end=feature.end_pos.direction,
        directions=np.array([t.direction for t in treasures]),
        ways=np.array([t.grid_distance for t in treasures], np.float32),
    )


@attached
def action_process(act_data: Any) -> list[int]:
    return [int(act_data.action)]
