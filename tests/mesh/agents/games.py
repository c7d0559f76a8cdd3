"""An agent whose samples are whole games, and that tells in each how many learns its actor knew of."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import numpy as np

from kaimesh.agent import ABORTED, ENDED, MODEL_VERSION, POSITIONS, RUN_ID, Batch, TableSpec, beat
from kaimesh.contract.spaces import Spaces
from tests.mesh.agents.config import Config
from tests.mesh.agents.toy import Toy

LONGEST = 64
_KEPT = ("reward", "learns")


class Gamer(Toy):
    """Samples are games of up to LONGEST steps: their rewards, and what `load_model` got as id in the actor."""

    table = TableSpec(kind="replay", rows_per_item=1)
    unroll_length = 4
    predict_rows_at_most = 2
    sees_ends = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._open: dict[int, list[tuple[float, int]]] = defaultdict(list)
        self._id = -1

    def setup(self, spaces: Spaces) -> None:
        self._actions = spaces.action_size

    def warm_up(self, rows: int) -> float:
        assert rows == 2
        time.sleep(0.01)
        return 1e6 if Config.fault == "slow" else 0.01

    def predict(self, list_obs_data: Batch) -> Batch:  # type: ignore[override]
        beat()
        count = len(list_obs_data)
        assert count <= 2
        assert list_obs_data.columns[ENDED].dtype == bool
        return Batch({"action": np.ones(count, np.int64), "learns": np.full(count, self._id)})

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        super().load_model(path, id)
        self._id = int(id)

    def sample_of(self, unrolls: Batch) -> list[Any] | Batch:
        done = []
        for row, run in enumerate(unrolls.columns[RUN_ID].tolist()):
            for t in range(unrolls.mask.shape[1]):
                if unrolls.columns[ABORTED][row, t]:
                    self._open.pop(run, None)
                if not unrolls.mask[row, t]:
                    continue
                self._open[run].append((unrolls.reward[row, t], unrolls.learns[row, t]))
                if unrolls.terminated[row, t] or unrolls.truncated[row, t]:
                    done.append((self._open.pop(run), run, unrolls.columns[MODEL_VERSION][row]))
        if not done:
            return []
        rewards, learns = np.zeros((len(done), LONGEST), np.float32), np.full((len(done), LONGEST), -1)
        for row, (steps, *_) in enumerate(done):
            rewards[row, : len(steps)], learns[row, : len(steps)] = zip(*steps, strict=True)
        origin = {name: np.array([game[place] for game in done]) for place, name in ((1, RUN_ID), (2, MODEL_VERSION))}
        lengths = np.array([len(steps) for steps, *_ in done], np.int32)
        return Batch({"reward": rewards, "learns": learns, POSITIONS: lengths, **origin})

    def open_steps(self) -> int:
        return sum(map(len, self._open.values()))

    def learn(self, list_sample_data: Batch) -> dict[str, float]:
        lengths = list_sample_data.columns[POSITIONS]
        assert lengths.min() > 0
        for game, length in zip(list_sample_data.learns, lengths, strict=True):
            assert (game[length:] == -1).all()
            assert (np.diff(game[:length]) >= 0).all(), "an actor's models grow"
            assert game[0] >= 0, "it has loaded one"
        self.newest = int(list_sample_data.learns.max())
        return {**super().learn(list_sample_data), "newest": float(self.newest), POSITIONS: 2 * len(lengths)}
