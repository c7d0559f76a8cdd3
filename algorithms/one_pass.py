"""Acts by one forward pass of the network, as all algorithms but MuZero do: in NumPy for an MLP, else in TensorFlow.

Shape legend: B rows; S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np

from kaimesh.algorithms.algorithm import Algorithm, Columns, OnePassModel
from kaimesh.algorithms.networks import library, lstm
from kaimesh.algorithms.networks.layers import Weights


class OnePass:
    """A Player (kaimesh.algorithms.algorithm) that calls `model.forward`, then `algorithm.act`.

    With an LSTM, the rows have the column of its state before each observation, and the answer that of the state after
    it. TensorFlow is imported for a CNN only.
    """

    def __init__(self, algorithm: Algorithm[Any, Any], net: Any, config: Any, weights: Weights) -> None:
        assert algorithm.act is not None
        self._weights = weights
        self._choose = partial(algorithm.act, net, config)
        self._state = (lstm.STATE,) if net.lstm_size else ()
        forward = partial(cast("OnePassModel[Any, Any]", algorithm.model).forward, net)
        self._assign, self._forward = self._inference(net, forward)

    def assign(self, weights: Weights, learns: int) -> None:
        """See Player."""
        del learns
        self._weights = weights
        self._assign(weights)

    def act(self, columns: Columns, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """See Player."""
        state = self._state
        outputs = self._forward(columns["obs"], *(columns[name] for name in state))
        heads, after = outputs[: len(outputs) - len(state)], outputs[len(outputs) - len(state) :]
        return {**self._choose(self._weights, columns, heads, rng), **dict(zip(state, after, strict=True))}

    def _inference(
        self, net: Any, forward: Callable[..., tuple[Any, ...]]
    ) -> tuple[Callable[[Mapping[str, Any]], None], Callable[..., tuple[Any, ...]]]:
        """Two functions: one takes new weights, one predicts."""
        if net.torso.kind == "mlp":
            return lambda _: None, lambda *inputs: forward(library.NUMPY, self._weights, *inputs)
        from kaimesh.algorithms.networks.compiled import TENSORFLOW, Compiled

        states = lstm.initial_state(1, net.lstm_size) if net.lstm_size else {}
        state = ((column.shape[1:], column.dtype.str) for column in states.values())
        spaces = net.spaces
        compiled = Compiled(partial(forward, TENSORFLOW), self._weights, spaces.obs_shape, spaces.obs_dtype, *state)
        return compiled.assign, compiled
