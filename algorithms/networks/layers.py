"""Initial weights, as NumPy arrays by name. A torso called `name` has layers `name/0`, `name/1`, ..., each with `w` and `b`.

Shape legend: I inputs, O outputs of a layer; H, W, C height, width, channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Weights = dict[str, np.ndarray]

# Output channels, kernel size and stride of each convolution, and the width of the dense layer after them: the network of
# Mnih et al., "Human-level control through deep reinforcement learning", Nature 518 (2015).
NATURE_CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
NATURE_FEATURES = 512

# The gain that keeps the scale of a signal through one layer and its activation.
GAINS = {"tanh": 2**0.5, "relu": 2**0.5}


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """A float32 array whose matrix `[product(shape[:-1]), shape[-1]]` is orthogonal times `gain` (arXiv:1312.6120)."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))  # makes the decomposition unique, and so the draw uniform
    matrix = q if rows >= columns else q.T
    return np.ascontiguousarray(gain * matrix.reshape(shape), np.float32)


def dense(rng: np.random.Generator, name: str, inputs: int, outputs: int, gain: float) -> Weights:
    """One layer: `name/w` float32 `[I, O]`, orthogonal, and `name/b` float32 `[O]`, zero."""
    return {f"{name}/w": orthogonal(rng, (inputs, outputs), gain), f"{name}/b": np.zeros(outputs, np.float32)}


def mlp(rng: np.random.Generator, name: str, inputs: int, hidden_sizes: Sequence[int], activation: str) -> Weights:
    """Dense layers `name/0`, `name/1`, ..."""
    weights: Weights = {}
    for i, outputs in enumerate(hidden_sizes):
        weights |= dense(rng, f"{name}/{i}", inputs, outputs, GAINS[activation])
        inputs = outputs
    return weights


def nature_cnn(rng: np.random.Generator, name: str, image: tuple[int, int, int]) -> Weights:
    """Convolutions `name/0` to `name/2` with kernels `[H, W, I, O]`, then the dense layer `name/3`; for images `(H, W, C)`.

    Raises ValueError: the image is too small for the three convolutions.
    """
    height, width, channels = image
    weights: Weights = {}
    for i, (outputs, kernel, stride) in enumerate(NATURE_CONVOLUTIONS):
        weights[f"{name}/{i}/w"] = orthogonal(rng, (kernel, kernel, channels, outputs), GAINS["relu"])
        weights[f"{name}/{i}/b"] = np.zeros(outputs, np.float32)
        height, width, channels = (height - kernel) // stride + 1, (width - kernel) // stride + 1, outputs
    if min(height, width) < 1:
        raise ValueError(f"images of {image} are too small for the CNN (36 x 36 is the least); use network = 'mlp'")
    return weights | dense(rng, f"{name}/3", height * width * channels, NATURE_FEATURES, GAINS["relu"])


def is_channel_first(shape: tuple[int, ...]) -> bool:
    """Whether an image's first axis is its channels: it is, where it is smaller than the last (Atari stacks: [4, 84, 84])."""
    return shape[0] < shape[-1]
