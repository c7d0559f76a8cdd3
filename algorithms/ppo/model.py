"""The network of PPO: a policy head and a value head on two torsos, or on one that they share.

One definition serves NumPy (actors, with an MLP) and TensorFlow: `forward` is given the torso function of either.

Shape legend: B rows; A actions (discrete) or action dimensions (continuous); F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from algorithms.networks import layers
from algorithms.networks.layers import Weights
from algorithms.ppo.config import Config
from kaimesh.agent import Spaces

BYTES = np.dtype(np.uint8).str  # spaces.obs_dtype of images and of console memory
Torso = Callable[[Mapping[str, Any], str, Any], Any]  # (weights, name, obs [B, ...]) -> features [B, F]


class Architecture(NamedTuple):
    """What the shapes of all weights follow from; stored with every model.

    kind: "mlp" or "cnn". shared: whether policy and value share the torso. standardise: whether there are weights
    `obs/mean` and `obs/scale`; these are not trained by gradients.
    """

    spaces: Spaces
    kind: str
    hidden_sizes: tuple[int, ...]
    activation: str
    shared: bool
    standardise: bool


def architecture(spaces: Spaces, config: type[Config]) -> Architecture:
    """The network for `spaces` that `config` asks for. Raises ValueError: a CNN for what is no uint8 image."""
    image = spaces.obs_dtype == BYTES and len(spaces.obs_shape) == 3
    kind = config.network
    if kind == "auto":
        kind = "cnn" if image and sorted(spaces.obs_shape)[1] >= 36 else "mlp"
    if kind == "cnn" and not image:
        raise ValueError(
            f"network = 'cnn' with observations {spaces.obs_dtype} {spaces.obs_shape}; it takes uint8 images of three axes. "
            "Set [ppo] network = 'mlp'."
        )
    shared = config.torso == "shared" or (config.torso == "auto" and kind == "cnn")
    standardise = kind == "mlp" and (config.normalize_observations or spaces.obs_dtype == BYTES)
    return Architecture(
        spaces,
        kind,
        tuple(config.hidden_sizes) if kind == "mlp" else (),
        config.activation if kind == "mlp" else "relu",
        shared,
        standardise,
    )


def initial_weights(net: Architecture, config: type[Config]) -> Weights:
    """Weights by name, from `config.seed` alone: torsos `policy/<i>` and `value/<i>` (or `torso/<i>`), heads `<name>/out`."""
    rng = np.random.default_rng(config.seed)
    width = int(np.prod(net.spaces.obs_shape))
    weights: Weights = {}
    for name in ("torso",) if net.shared else ("policy", "value"):
        if net.kind == "cnn":
            weights |= layers.nature_cnn(rng, name, _height_width_channels(net.spaces.obs_shape))
        else:
            weights |= layers.mlp(rng, name, width, net.hidden_sizes, net.activation)
    features = layers.NATURE_FEATURES if net.kind == "cnn" else net.hidden_sizes[-1]
    # A small gain makes the first policy nearly uniform (arXiv:2006.05990, section 3.2).
    weights |= layers.dense(rng, "policy/out", features, net.spaces.action_size, 0.01)
    weights |= layers.dense(rng, "value/out", features, 1, 1.0)
    if net.spaces.action_kind == "continuous":
        weights["policy/log_std"] = np.full(net.spaces.action_size, config.initial_log_std, np.float32)
    if net.standardise:
        is_bytes = net.spaces.obs_dtype == BYTES
        weights["obs/mean"] = np.zeros(width, np.float32)
        weights["obs/scale"] = np.full(width, 1 / 255 if is_bytes else 1, np.float32)
    return weights


def forward(net: Architecture, torso: Torso, weights: Mapping[str, Any], obs: Any) -> tuple[Any, Any]:
    """Logits or action means, float32 `[B, A]`, and values, float32 `[B]`, of observations `[B, ...]`.

    Works on NumPy arrays as on tensors: `torso` decides, and the heads are what both can write as `x @ w + b`.
    """
    policy = torso(weights, "torso" if net.shared else "policy", obs)  # [B, F]
    value = policy if net.shared else torso(weights, "value", obs)  # [B, F]
    head = policy @ weights["policy/out/w"] + weights["policy/out/b"]  # [B, A]
    return head, (value @ weights["value/out/w"] + weights["value/out/b"])[:, 0]


def _height_width_channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    first, second, third = shape
    return (second, third, first) if layers.is_channel_first(shape) else (first, second, third)
