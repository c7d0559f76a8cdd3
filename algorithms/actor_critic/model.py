"""The network: a policy head and a value head on two torsos, or on a shared one, which may have an LSTM behind it.

Shape legend: B rows; A actions (discrete) or action dimensions (continuous); F features; S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from kaimesh.algorithms.networks import layers, lstm
from kaimesh.algorithms.networks import torso as torso_module
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.library import Library
from kaimesh.algorithms.networks.torso import Torso, TorsoConfig, torso_of
from kaimesh.contract.seeds import Purpose, generator
from kaimesh.contract.spaces import Spaces


class ModelConfig(TorsoConfig, Protocol):
    """The hyper-parameters that decide on the network and its initial weights."""

    @property
    def torso(self) -> str: ...
    @property
    def lstm_size(self) -> int: ...
    @property
    def initial_log_std(self) -> float: ...
    @property
    def seed(self) -> int: ...


class Architecture(NamedTuple):
    """Describes the network: it decides the shapes of all weights, and is stored with every model.

    shared: whether the policy and the value share the torso. lstm_size: units of the LSTM; 0: there is none.
    """

    spaces: Spaces
    torso: Torso
    shared: bool
    lstm_size: int = 0

    @property
    def features(self) -> int:
        """How many numbers the heads read."""
        return self.lstm_size or self.torso.features


def architecture(spaces: Spaces, config: ModelConfig) -> Architecture:
    """The network for `spaces` that `config` asks for. Raises ValueError: as `torso_of`."""
    torso = torso_of(spaces, config)
    shared = config.torso == "shared" or (config.torso == "auto" and (torso.kind != "mlp" or config.lstm_size > 0))
    return Architecture(spaces, torso, shared, config.lstm_size)


def initial_weights(net: Architecture, config: ModelConfig) -> Weights:
    """Weights by name, from `config.seed` alone.

    Torsos are `policy/<i>` and `value/<i>`, or `torso/<i>`; then `lstm`; heads `policy/out` and `value/out`.
    """
    rng = generator(config.seed, Purpose.WEIGHTS)
    weights: Weights = {}
    for name in ("torso",) if net.shared else ("policy", "value"):
        weights |= torso_module.initial_weights(rng, name, net.torso)
    if net.lstm_size:
        weights |= lstm.initial_weights(rng, "lstm", net.torso.features, net.lstm_size)
    # A small gain makes the first policy nearly uniform (arXiv:2006.05990, section 3.2).
    weights |= layers.dense(rng, "policy/out", net.features, net.spaces.action_size, 0.01)
    weights |= layers.dense(rng, "value/out", net.features, 1, 1.0)
    if net.spaces.action_kind == "continuous":
        weights["policy/log_std"] = np.full(net.spaces.action_size, config.initial_log_std, np.float32)
    return weights | torso_module.standardisation(net.torso)


def forward(net: Architecture, library: Library, weights: Mapping[str, Any], obs: Any, *state: Any) -> tuple[Any, ...]:
    """Logits or action means, float32 `[B, A]`, and values, float32 `[B]`, of observations `[B, ...]`.

    With an LSTM, `state` is its state before these observations, `[B, S]`; the state after them is returned third.
    The arrays are NumPy's or TensorFlow's: `library` has the operations for one of them.
    """
    policy = library.torso(net.torso, weights, "torso" if net.shared else "policy", obs)  # [B, F]
    if net.lstm_size:
        policy, *state = library.lstm(weights, "lstm", policy, *state)  # type: ignore[assignment]
    value = policy if net.shared else library.torso(net.torso, weights, "value", obs)  # [B, F]
    head = policy @ weights["policy/out/w"] + weights["policy/out/b"]  # [B, A]
    return head, (value @ weights["value/out/w"] + weights["value/out/b"])[:, 0], *state


def header(net: Architecture) -> dict[str, Any]:
    """The entries of a model file's header that describe the policy and the value."""
    return {"shared": net.shared}
