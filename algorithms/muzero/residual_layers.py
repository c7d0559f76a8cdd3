"""MuZero's residual network: its first weights, and how an action looks to a convolution. No TensorFlow here.

    representation   planes --strided convolutions, if an image--> convolution --> blocks, scaled --> latent [H, W, C]
    dynamics         latent and action's planes --> convolution, plus latent --> blocks --> next latent (scaled)
                     next latent, not scaled --> head `dynamics`: rewards, logits of who plays next
    prediction       latent --> heads `prediction/policy` and `prediction/value`

A block is relu(x + convolution(relu(convolution(x)))), all 3 x 3. A head is a convolution 1 x 1 to HEAD_CHANNELS, relu,
a dense layer, relu, and a dense layer. Its outputs do not begin near 0: with a tenth of their size, it took a third
more updates to learn as much of Connect Four's threats.

Shape legend: H, W, C height, width, channels of a latent state; E planes of an action; A actions.
"""

from __future__ import annotations

import numpy as np

from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.networks import layers
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.torso import BYTE, LEAST_PIXELS
from kaimesh.contract.spaces import Part, Spaces

HEAD_CHANNELS, HEAD_UNITS = 16, 64
_MOST_PIXELS = 8  # of a latent state's sides, when an image is made smaller


def halvings(part: Part) -> int:
    """Strided convolutions before a latent state; 0 for boards and small images."""
    if part.dtype != BYTE or min(part.height_width) < LEAST_PIXELS:
        return 0
    side, count = max(part.height_width), 0
    while side > _MOST_PIXELS:
        side, count = -(-side // 2), count + 1
    return count


def board(part: Part) -> tuple[int, int, int]:
    """Height, width and channels of an observation. Planes that are no bytes have their channels last."""
    if part.dtype == BYTE:
        return (*part.height_width, part.channels)
    return (part.shape[0], part.shape[1], part.shape[2])


def latent_shape(net: Architecture) -> tuple[int, int, int]:
    """(H, W, C)."""
    part = net.torso.parts[0]
    height, width, _ = board(part)
    for _ in range(halvings(part)):
        height, width = -(-height // 2), -(-width // 2)
    return height, width, net.channels


def action_planes(spaces: Spaces, height: int, width: int) -> np.ndarray:
    """Each action as planes float32 `[A, H, W, E]`.

    Of boards: as many actions as cells (or one more, which passes): a one in the cell. As many as columns: ones in the
    column. Else, and of images, E = A: ones all over a plane of its own.
    """
    count, cells = spaces.action_size, height * width
    board = spaces.obs_dtype != BYTE
    if board and count in (cells, cells + 1):
        return np.eye(count, cells, dtype=np.float32).reshape(count, height, width, 1)
    if board and count == width:
        columns = np.eye(count, dtype=np.float32)[:, None, :, None]
        return np.repeat(columns, height, 1)
    everywhere = np.eye(count, dtype=np.float32)[:, None, None, :]
    return np.tile(everywhere, (1, height, width, 1))


def initial_weights(rng: np.random.Generator, net: Architecture) -> Weights:
    """All weights by name."""
    part = net.torso.parts[0]
    height, width, channels = latent_shape(net)
    inputs, count = board(part)[2], halvings(part)
    weights: Weights = {}
    for i in range(count):
        weights |= layers.convolution(rng, f"representation/halving/{i}", inputs, channels, 3)
        inputs = channels
    weights |= _tower(rng, "representation", inputs, channels, net.blocks)
    planes = action_planes(net.spaces, height, width).shape[3]
    weights |= _tower(rng, "dynamics", channels + planes, channels, net.blocks)
    weights |= _head(rng, "dynamics", (height, width, channels), net.outputs_beside_state)
    weights |= _head(rng, "prediction/policy", (height, width, channels), net.spaces.action_size)
    values = net.outputs_of_prediction - net.spaces.action_size
    return weights | _head(rng, "prediction/value", (height, width, channels), values)


def _tower(rng: np.random.Generator, name: str, inputs: int, channels: int, blocks: int) -> Weights:
    weights = layers.convolution(rng, f"{name}/in", inputs, channels, 3)
    for block in range(blocks):
        weights |= layers.convolution(rng, f"{name}/{block}a", channels, channels, 3)
        second = layers.convolution(rng, f"{name}/{block}b", channels, channels, 3)
        # At first a block changes little of what goes through it (arXiv:1901.09321), for a step applies many of them.
        weights |= {key: array * np.float32(0.3) for key, array in second.items()}
    return weights


def _head(rng: np.random.Generator, name: str, latent: tuple[int, int, int], outputs: int) -> Weights:
    height, width, channels = latent
    weights = layers.convolution(rng, f"{name}/head", channels, HEAD_CHANNELS, 1)
    inputs = height * width * HEAD_CHANNELS
    weights |= layers.dense(rng, f"{name}/hidden", inputs, HEAD_UNITS, layers.GAINS["relu"])
    return weights | layers.dense(rng, f"{name}/out", HEAD_UNITS, outputs, 1.0)
