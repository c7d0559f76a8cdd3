"""The operations that a network is built from, once for NumPy and once for TensorFlow.

A network is defined once, as a function that takes such a library; actors with an MLP pass NumPy's, learners
TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kaimesh.algorithms.networks import lstm, numpy_mlp
from kaimesh.algorithms.networks.torso import Torso


class Library(NamedTuple):
    """The operations of NumPy or of TensorFlow.

    torso: (torso, weights, name, obs `[B, ...]`) to features `[B, F]`. lstm: (weights, name, features, state `[B, S]`)
    to outputs and the next state.
    """

    torso: Callable[[Torso, Mapping[str, Any], str, Any], Any]
    lstm: Callable[[Mapping[str, Any], str, Any, Any], tuple[Any, Any]]


NUMPY = Library(numpy_mlp.forward, lstm.step)  # TensorFlow's is networks/compiled.TENSORFLOW
