"""One definition of a network serves NumPy (actors with an MLP) and TensorFlow: it is given the functions of either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kaimesh.algorithms.networks import lstm, numpy_mlp
from kaimesh.algorithms.networks.torso import Torso


class Library(NamedTuple):
    """What NumPy and TensorFlow each have their own of.

    torso: (torso, weights, name, obs `[B, ...]`) to features `[B, F]`. lstm: (weights, name, features, state `[B, S]`)
    to outputs and the next state.
    """

    torso: Callable[[Torso, Mapping[str, Any], str, Any], Any]
    lstm: Callable[[Mapping[str, Any], str, Any, Any], tuple[Any, Any]]


NUMPY = Library(numpy_mlp.forward, lstm.step)  # TensorFlow's is networks/compiled.TENSORFLOW
