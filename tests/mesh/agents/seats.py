"""An agent for games of two players that learns nothing and looks at what it is given."""

from __future__ import annotations

import numpy as np

from kaimesh.contract.arrays import Batch
from kaimesh.contract.spaces import Spaces
from tests.mesh.agents.toy import VectorisedToy

PLAYERS = 2


class Seats(VectorisedToy):
    """Plays the first move that is allowed; raises where a column of the players is not as it should be."""

    def setup(self, spaces: Spaces) -> None:
        assert spaces.players == PLAYERS, spaces

    def predict(self, list_obs_data: Batch) -> Batch:  # type: ignore[override]
        turn = list_obs_data.obs[:, 0, 0, -PLAYERS:].argmax(1)
        assert list_obs_data.to_play.dtype == np.int8
        assert (list_obs_data.to_play == turn).all() or not list_obs_data.legal_act.any(1).all(), list_obs_data.to_play
        return Batch({"action": list_obs_data.legal_act.argmax(1)})

    def learn(self, list_sample_data: Batch) -> dict[str, float]:
        reward, to_play = list_sample_data.reward, list_sample_data.to_play
        count, steps = reward.shape[:2]
        assert (reward.shape, reward.dtype) == ((count, self.unroll_length, PLAYERS), np.float32)
        assert (to_play.shape, to_play.dtype) == ((count, steps + 1), np.int8)
        assert not reward.sum(2).any(), "one wins what the other loses"
        goes_on = list_sample_data.mask & ~list_sample_data.terminated
        assert (to_play[:, 1:] != to_play[:, :-1])[goes_on].all()
        return super().learn(list_sample_data)
