"""MuZero's model: representation, dynamics and prediction, as dense layers (mlp) or residual convolutions (residual).

Shape legend: H, W, C height, width, channels.
"""

from __future__ import annotations

from typing import Any

from kaimesh.algorithms.muzero import mlp, residual_layers
from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.symmetries import symmetries
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.torso import BYTE, Torso, torso_of
from kaimesh.contract.seeds import Purpose, generator
from kaimesh.contract.spaces import Part, Spaces


def architecture(spaces: Spaces, config: Config) -> Architecture:
    """The network for `spaces` that `config` asks for.

    Raises ValueError: continuous actions; convolutions for observations that have no height and width; symmetries that
    the game does not have.
    """
    if spaces.action_kind != "discrete":
        raise ValueError(
            f"MuZero searches among a number of actions; this environment's are {spaces.action_kind}, which it cannot "
            "count. Set algo = 'ppo'."
        )
    symmetries(spaces, config.symmetries)
    kind = _kind(spaces, config.network)
    if kind == "mlp":
        torso, sizes = torso_of(spaces, _WithNetwork(config)), (config.latent_size, 0, 0)
    else:
        torso, sizes = Torso(_parts(spaces), kind, (), "relu", False), (0, config.channels, config.blocks)
    return Architecture(spaces, torso, *sizes, config.scalar_support_size, config.scalar_transform)


def initial_weights(net: Architecture, config: Config) -> Weights:
    """Weights by name, from `config.seed` alone."""
    rng = generator(config.seed, Purpose.WEIGHTS)
    return mlp.initial_weights(rng, net) if net.torso.kind == "mlp" else residual_layers.initial_weights(rng, net)


def header(net: Architecture) -> dict[str, Any]:
    """The entries of a model file's header that describe the network behind the torso."""
    names = ("latent_size", "channels", "blocks", "support", "transformed")
    return {name: getattr(net, name) for name in names}


class _WithNetwork:
    """A TorsoConfig with network = "mlp"."""

    network, activation = "mlp", "relu"

    def __init__(self, config: Config) -> None:
        self.hidden_sizes, self.normalize_observations = config.hidden_sizes, config.normalize_observations


def _parts(spaces: Spaces) -> tuple[Part, ...]:
    return spaces.parts or (Part("obs", spaces.obs_dtype, tuple(spaces.obs_shape)),)


def _kind(spaces: Spaces, network: str) -> str:
    planes = not spaces.parts and (len(spaces.obs_shape) == 3 or (len(spaces.obs_shape) == 2 and _is_image(spaces)))
    if network == "residual" and not planes:
        raise ValueError(
            f"network = 'residual' with observations {spaces.obs_dtype} {list(spaces.obs_shape)}: convolutions read "
            "planes [H, W, C] or images, so nothing can be built. Set network = 'mlp'."
        )
    if network != "auto":
        return network
    return "residual" if planes and _is_image(spaces) and residual_layers.halvings(_parts(spaces)[0]) else "mlp"


def _is_image(spaces: Spaces) -> bool:
    return spaces.obs_dtype == BYTE
