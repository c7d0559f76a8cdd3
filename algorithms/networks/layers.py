"""Initial weights, as NumPy arrays by name. A torso `name` has layers `name/0`, `name/1`, ..., each with `w` and `b`.

Shape legend: I inputs, O outputs of a layer; H, W, C height, width, channels; V numbers beside an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Weights = dict[str, np.ndarray]

# Output channels, kernel size and stride of each convolution of a CNN.
STRIDED = {
    "nature": ((32, 8, 4), (64, 4, 2), (64, 3, 1)),  # Mnih et al., Nature 518 (2015)
    "impala": ((16, 8, 4), (32, 4, 2)),  # the shallow network of arXiv:1802.01561, figure 3
}
# The deep network there: channels of each section, which is a convolution, a pooling by 2, and two residual blocks.
SECTIONS = (16, 32, 32)
BLOCKS = 2
CNN_FEATURES = {"nature": 512, "impala": 256, "resnet": 256}  # of the dense layer at the end

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


def convolution(rng: np.random.Generator, name: str, inputs: int, outputs: int, kernel: int) -> Weights:
    """One layer: `name/w` float32 `[kernel, kernel, I, O]`, orthogonal, and `name/b` float32 `[O]`, zero."""
    shape = (kernel, kernel, inputs, outputs)
    return {f"{name}/w": orthogonal(rng, shape, GAINS["relu"]), f"{name}/b": np.zeros(outputs, np.float32)}


def mlp(rng: np.random.Generator, name: str, inputs: int, hidden_sizes: Sequence[int], activation: str) -> Weights:
    """Dense layers `name/0`, `name/1`, ..."""
    weights: Weights = {}
    for i, outputs in enumerate(hidden_sizes):
        weights |= dense(rng, f"{name}/{i}", inputs, outputs, GAINS[activation])
        inputs = outputs
    return weights


def strided_cnn(
    rng: np.random.Generator, name: str, image: tuple[int, int, int], vector_width: int, kind: str
) -> Weights:
    """Convolutions `name/0`, ... of STRIDED[kind], then a dense layer on their output and V numbers more.

    image: `(H, W, C)`. Raises ValueError: the image is too small for the convolutions.
    """
    height, width, channels = image
    weights: Weights = {}
    for i, (outputs, kernel, stride) in enumerate(STRIDED[kind]):
        weights |= convolution(rng, f"{name}/{i}", channels, outputs, kernel)
        height, width, channels = (height - kernel) // stride + 1, (width - kernel) // stride + 1, outputs
    if min(height, width) < 1:
        raise ValueError(f"images of {image} are too small for network = {kind!r}, which would be empty; use 'mlp'")
    inputs = height * width * channels + vector_width
    return weights | dense(rng, f"{name}/{len(STRIDED[kind])}", inputs, CNN_FEATURES[kind], GAINS["relu"])


def resnet(rng: np.random.Generator, name: str, image: tuple[int, int, int], vector_width: int, kind: str) -> Weights:
    """Sections `name/0`, ...: a convolution, and blocks of two, `name/<section>/<block>`; a dense layer as above."""
    height, width, channels = image
    weights: Weights = {}
    for i, outputs in enumerate(SECTIONS):
        weights |= convolution(rng, f"{name}/{i}", channels, outputs, 3)
        for block in range(BLOCKS):
            for half in ("a", "b"):
                weights |= convolution(rng, f"{name}/{i}/{block}{half}", outputs, outputs, 3)
        height, width, channels = -(-height // 2), -(-width // 2), outputs
    inputs = height * width * channels + vector_width
    return weights | dense(rng, f"{name}/{len(SECTIONS)}", inputs, CNN_FEATURES[kind], GAINS["relu"])
