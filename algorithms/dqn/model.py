"""The network of DQN: a torso, perhaps an LSTM, and one linear layer of action values, or of advantages and a value.

Shape legend: B rows; A actions; N atoms of a distribution of returns, 1 where only its mean is learned; O outputs,
A + 1 with dueling heads, else A; S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kaimesh.algorithms.dqn.config import Config
from kaimesh.algorithms.networks import layers, lstm
from kaimesh.algorithms.networks import torso as torso_module
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.library import Library
from kaimesh.algorithms.networks.torso import Torso, torso_of
from kaimesh.contract.seeds import Purpose, generator
from kaimesh.contract.spaces import Spaces


class Architecture(NamedTuple):
    """Describes the network: it decides the shapes of all weights, and is stored with every model.

    support: least and largest return of the atoms.
    """

    spaces: Spaces
    torso: Torso
    dueling: bool
    atoms: int
    support: tuple[float, float]
    lstm_size: int

    @property
    def outputs(self) -> int:
        """O: the outputs of the heads for each atom."""
        return self.spaces.action_size + self.dueling

    @property
    def returns(self) -> np.ndarray:
        """The return that each atom stands for: float32 `[N]`."""
        return np.linspace(*self.support, self.atoms, dtype=np.float32)


def architecture(spaces: Spaces, config: Config) -> Architecture:
    """The network for `spaces` that `config` asks for. Raises ValueError: continuous actions; as `torso_of`."""
    if spaces.action_kind != "discrete":
        raise ValueError(
            f"DQN chooses among a number of actions; this environment's are {spaces.action_kind}, for which it has no "
            "values. Set algo = 'ppo'."
        )
    torso = torso_of(spaces, config)
    support = (config.value_min, config.value_max) if config.atoms > 1 else (0.0, 0.0)
    return Architecture(spaces, torso, config.dueling, config.atoms, support, config.lstm_size)


def initial_weights(net: Architecture, config: Config) -> Weights:
    """Weights by name, from `config.seed` alone: the torso `torso/<i>`, `lstm`, and the heads `out`."""
    rng = generator(config.seed, Purpose.WEIGHTS)
    weights = torso_module.initial_weights(rng, "torso", net.torso)
    if net.lstm_size:
        weights |= lstm.initial_weights(rng, "lstm", net.torso.features, net.lstm_size)
    features = net.lstm_size or net.torso.features
    # A small gain: all actions begin with about the same value, near 0.
    weights |= layers.dense(rng, "out", features, net.outputs * net.atoms, 0.1)
    return weights | torso_module.standardisation(net.torso)


def forward(net: Architecture, library: Library, weights: Mapping[str, Any], obs: Any, *state: Any) -> tuple[Any, ...]:
    """Outputs of the heads, float32 `[B, O N]`, of observations `[B, ...]`, in the `library` of NumPy or TensorFlow.

    With an LSTM, `state` is its state before these observations, `[B, S]`; the state after them is returned second.
    """
    features = library.torso(net.torso, weights, "torso", obs)  # [B, F]
    if net.lstm_size:
        features, *state = library.lstm(weights, "lstm", features, *state)  # type: ignore[assignment]
    return (features @ weights["out/w"] + weights["out/b"], *state)


def header(net: Architecture) -> dict[str, Any]:
    """The entries of a model file's header that describe the heads."""
    return {"dueling": net.dueling, "atoms": net.atoms, "support": net.support}


def action_values(net: Architecture, heads: np.ndarray) -> np.ndarray:
    """Q, float32 `[B, A]`, out of `heads` `[B, O N]`; in NumPy what `losses.distributions` and `losses.means` do."""
    x = heads.reshape(len(heads), net.outputs, net.atoms)
    if net.dueling:
        advantage, value = x[:, :-1], x[:, -1:]
        x = value + advantage - advantage.mean(1, keepdims=True)  # [B, A, N]
    if net.atoms == 1:
        return x[:, :, 0]
    weight = np.exp(x - x.max(2, keepdims=True))
    values: np.ndarray = weight @ net.returns / weight.sum(2)
    return values
