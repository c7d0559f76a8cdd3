"""Describes MuZero's network: what decides the shapes of all weights.

Shape legend: B rows; A actions; P players; V outputs for one number (see support); U numbers of a latent state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kaimesh.algorithms.muzero import support
from kaimesh.algorithms.networks.torso import Torso
from kaimesh.contract.spaces import Spaces


class Architecture(NamedTuple):
    """Describes the network: it decides the shapes of all weights, and is stored with every model.

    torso: the representation's; its kind, "mlp" or "residual", is that of the whole network. latent_size: U, of an mlp;
    channels, blocks: of a residual network. support: S, 0 where numbers are learned as one output. transformed: whether
    `support.transform` of a number is learned. lstm_size: 0.
    """

    spaces: Spaces
    torso: Torso
    latent_size: int
    channels: int
    blocks: int
    support: int
    transformed: bool
    lstm_size: int = 0

    @property
    def outputs_of_number(self) -> int:
        """V: outputs for one number."""
        return 2 * self.support + 1

    @property
    def outputs_of_prediction(self) -> int:
        """A + P V: logits of the policy and values."""
        return self.spaces.action_size + self.spaces.players * self.outputs_of_number

    @property
    def outputs_of_step(self) -> int:
        """U + P V, and P more with several players: an mlp's latent state, rewards, logits of who plays next."""
        return self.latent_size + self.outputs_beside_state

    @property
    def outputs_beside_state(self) -> int:
        """P V, and P more with several players: rewards and logits of who plays next."""
        players = self.spaces.players
        return players * self.outputs_of_number + (players if players > 1 else 0)

    def numbers(self, heads: np.ndarray) -> np.ndarray:
        """Values or rewards float32 `[B, P]` of the outputs `heads` `[B, P V]`."""
        shaped = heads.reshape(len(heads), self.spaces.players, self.outputs_of_number)
        return support.decode(shaped, self.support, self.transformed)
