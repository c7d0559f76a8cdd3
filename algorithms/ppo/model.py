"""The network of PPO: a policy head and a value head on two torsos, or on one that they share.

One definition serves NumPy (actors, with an MLP) and TensorFlow: `forward` is given the torso function of either.

Shape legend: B rows; A actions (discrete) or action dimensions (continuous); F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from algorithms.networks import layers
from algorithms.networks import torso as torso_module
from algorithms.networks.layers import Weights
from algorithms.networks.torso import Torso, torso_of
from algorithms.ppo.config import Config
from kaimesh.agent import Spaces

Forward = Callable[[Torso, Mapping[str, Any], str, Any], Any]  # (torso, weights, name, obs [B, ...]) -> features [B, F]


class Architecture(NamedTuple):
    """What the shapes of all weights follow from; stored with every model. shared: whether policy and value share the torso."""

    spaces: Spaces
    torso: Torso
    shared: bool


def architecture(spaces: Spaces, config: type[Config]) -> Architecture:
    """The network for `spaces` that `config` asks for. Raises ValueError: as `torso_of`."""
    torso = torso_of(spaces, config)
    shared = config.torso == "shared" or (config.torso == "auto" and torso.kind != "mlp")
    return Architecture(spaces, torso, shared)


def initial_weights(net: Architecture, config: type[Config]) -> Weights:
    """Weights by name, from `config.seed` alone: torsos `policy/<i>` and `value/<i>` (or `torso/<i>`), heads `<name>/out`."""
    rng = np.random.default_rng(config.seed)
    weights: Weights = {}
    for name in ("torso",) if net.shared else ("policy", "value"):
        weights |= torso_module.initial_weights(rng, name, net.torso)
    # A small gain makes the first policy nearly uniform (arXiv:2006.05990, section 3.2).
    weights |= layers.dense(rng, "policy/out", net.torso.features, net.spaces.action_size, 0.01)
    weights |= layers.dense(rng, "value/out", net.torso.features, 1, 1.0)
    if net.spaces.action_kind == "continuous":
        weights["policy/log_std"] = np.full(net.spaces.action_size, config.initial_log_std, np.float32)
    return weights | torso_module.standardisation(net.torso)


def forward(net: Architecture, torso: Forward, weights: Mapping[str, Any], obs: Any) -> tuple[Any, Any]:
    """Logits or action means, float32 `[B, A]`, and values, float32 `[B]`, of observations `[B, ...]`.

    Works on NumPy arrays as on tensors: `torso` decides, and the heads are what both can write as `x @ w + b`.
    """
    policy = torso(net.torso, weights, "torso" if net.shared else "policy", obs)  # [B, F]
    value = policy if net.shared else torso(net.torso, weights, "value", obs)  # [B, F]
    head = policy @ weights["policy/out/w"] + weights["policy/out/b"]  # [B, A]
    return head, (value @ weights["value/out/w"] + weights["value/out/b"])[:, 0]
