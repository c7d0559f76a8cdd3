"""Describes the torso of a network: its inputs, its layers, its initial weights. No TensorFlow here.

A torso turns one observation into features. Its weights are called `name/0`, `name/1`, ..., see `layers`. The forward
passes are in `numpy_mlp` and `differentiable`, which read the same description.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from kaimesh.algorithms.networks import layers
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.contract.spaces import Part, Spaces

BYTE = np.dtype(np.uint8).str  # of images and of console memory
NETWORKS = ("auto", "mlp", "nature", "impala", "resnet")
LEAST_PIXELS = 36  # of an image's sides, for the strides of the convolutions


class TorsoConfig(Protocol):
    """The hyper-parameters that decide on a torso."""

    @property
    def network(self) -> str: ...
    @property
    def hidden_sizes(self) -> tuple[int, ...]: ...
    @property
    def activation(self) -> str: ...
    @property
    def normalize_observations(self) -> bool: ...


class Torso(NamedTuple):
    """Describes a torso: it decides the shapes of its weights, and is stored with every model.

    parts: what one observation consists of. kind: one of NETWORKS but "auto". hidden_sizes, activation: of an MLP;
    those of a CNN are as in its paper. standardise: whether there are weights `obs/mean` and `obs/scale`, which are not
    trained by gradients.
    """

    parts: tuple[Part, ...]
    kind: str
    hidden_sizes: tuple[int, ...]
    activation: str
    standardise: bool

    @property
    def width(self) -> int:
        """How many numbers an MLP reads of one observation."""
        return sum(part.width for part in self.parts)

    @property
    def image(self) -> Part | None:
        """The part that convolutions read: bytes in at least two axes."""
        return next((part for part in self.parts if part.dtype == BYTE and len(part.shape) >= 2), None)

    @property
    def vector_width(self) -> int:
        """How many numbers the parts other than the image have."""
        return sum(part.width for part in self.parts if part is not self.image)

    @property
    def features(self) -> int:
        """How many features come out."""
        return self.hidden_sizes[-1] if self.kind == "mlp" else layers.CNN_FEATURES[self.kind]


class Network(Protocol):
    """What the Architecture of every algorithm has. lstm_size: units of an LSTM, 0 without one."""

    @property
    def spaces(self) -> Spaces: ...
    @property
    def torso(self) -> Torso: ...
    @property
    def lstm_size(self) -> int: ...


def torso_of(spaces: Spaces, config: TorsoConfig) -> Torso:
    """The torso for `spaces` that `config` asks for by network, hidden_sizes, activation and normalize_observations.

    Raises ValueError: a CNN for observations without an image, or with one that is too small.
    """
    parts = spaces.parts or (Part("obs", spaces.obs_dtype, tuple(spaces.obs_shape)),)
    torso = Torso(parts, "mlp", tuple(config.hidden_sizes), config.activation, False)
    kind = config.network
    large = torso.image is not None and min(torso.image.height_width) >= LEAST_PIXELS
    if kind == "auto":
        kind = "nature" if large else "mlp"
    if kind == "mlp":
        return torso._replace(
            standardise=config.normalize_observations or (spaces.obs_dtype == BYTE and not spaces.parts)
        )
    if torso.image is None:
        raise ValueError(
            f"network = {kind!r} with observations {spaces.obs_dtype} {list(spaces.obs_shape)}; it takes uint8 images, "
            "so nothing can be built. Set network = 'mlp'."
        )
    if not large and kind != "resnet":
        raise ValueError(
            f"network = {kind!r} with images {list(torso.image.shape)}: its strides need {LEAST_PIXELS} pixels a side, "
            "or nothing is left to look at. Set network = 'resnet' or 'mlp'."
        )
    return torso._replace(kind=kind, hidden_sizes=(), activation="relu")


def initial_weights(rng: np.random.Generator, name: str, torso: Torso) -> Weights:
    """The torso's weights as `name/...`, without those of `standardisation`."""
    if torso.kind == "mlp":
        return layers.mlp(rng, name, torso.width, torso.hidden_sizes, torso.activation)
    assert torso.image is not None
    image = (*torso.image.height_width, torso.image.channels)
    make = layers.resnet if torso.kind == "resnet" else layers.strided_cnn
    return make(rng, name, image, torso.vector_width, torso.kind)


def standardisation(torso: Torso) -> Weights:
    """The first values of `obs/mean` and `obs/scale`; {} if the torso does not standardise."""
    if not torso.standardise:
        return {}
    scale = 1 / 255 if torso.parts[0].dtype == BYTE else 1
    return {"obs/mean": np.zeros(torso.width, np.float32), "obs/scale": np.full(torso.width, scale, np.float32)}
