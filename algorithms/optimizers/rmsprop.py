"""RMSProp as in TensorFlow 1 and IMPALA: the epsilon is inside the root, and the mean square begins at 1.

Hinton, Srivastava and Swersky, Neural networks for machine learning, lecture 6e; arXiv:1802.01561, appendix D.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


class RMSProp:
    """The running mean `ms` of squared gradients per variable, and the momentum's running sum `mom`."""

    def __init__(
        self, variables: Mapping[str, tf.Variable], *, decay: float = 0.99, momentum: float = 0.0, epsilon: float = 0.01
    ) -> None:
        self._variables = dict(variables)
        self._decay, self._momentum, self._epsilon = decay, momentum, epsilon
        self._slots = {f"ms/{name}": tf.Variable(tf.ones_like(v), trainable=False) for name, v in variables.items()}
        self._slots |= {f"mom/{name}": tf.Variable(tf.zeros_like(v), trainable=False) for name, v in variables.items()}

    def apply(self, gradients: Mapping[str, tf.Tensor], learning_rate: tf.Tensor) -> None:
        """One step on every variable; runs inside a tf.function.

        `ms = decay ms + (1 - decay) g^2`, `mom = momentum mom + rate g / sqrt(ms + epsilon)`, `variable -= mom`.
        """
        for name, variable in self._variables.items():
            tf.raw_ops.ResourceApplyRMSProp(
                var=variable.handle,
                ms=self._slots[f"ms/{name}"].handle,
                mom=self._slots[f"mom/{name}"].handle,
                lr=learning_rate,
                rho=self._decay,
                momentum=self._momentum,
                epsilon=self._epsilon,
                grad=gradients[name],
            )

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs, by name."""
        return {name: slot.numpy() for name, slot in self._slots.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned."""
        for name, slot in self._slots.items():
            slot.assign(state[name])
