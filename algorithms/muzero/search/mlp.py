"""The network of dense layers as compiled code runs it: its weights as arrays, and its two forward passes.

Shape legend: B rows; U numbers of a latent state; A actions; P players; V outputs for one number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Mlp(NamedTuple):
    """Dynamics and prediction; see `packed`. Fields are the compiled code's own business."""

    data: np.ndarray


def packed(
    weights: Mapping[str, np.ndarray], hidden: int, actions: int, players: int, support: int, transformed: bool
) -> Mlp:
    """The arrays of `weights` by the names of `kaimesh.algorithms.muzero.mlp` (`dynamics/0/w`, `dynamics/action`,
    `prediction/out/b`, ...); hidden layers end in relu, latent states are scaled to 0..1.

    hidden: number of hidden layers of dynamics and of prediction. support: S, 0 where a number is one output.
    transformed: whether numbers are learned as `support.transform` of them. To be called once for each set of weights.
    """
    raise NotImplementedError
