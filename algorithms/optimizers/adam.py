"""Adam, arXiv:1412.6980, over a dict of variables; its state is plain arrays, so that a resume is exact to the bit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


class Adam:
    """First and second moments `m` and `v` per variable, and the number of `step`s taken."""

    def __init__(
        self, variables: Mapping[str, tf.Variable], *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-5
    ) -> None:
        self._variables = dict(variables)
        self._beta1, self._beta2, self._epsilon = beta1, beta2, epsilon
        self._slots = {
            f"{slot}/{name}": tf.Variable(tf.zeros_like(variable), trainable=False)
            for slot in ("m", "v")
            for name, variable in self._variables.items()
        }
        self._step = tf.Variable(0, trainable=False, dtype=tf.int64)

    def apply(self, gradients: Mapping[str, tf.Tensor], learning_rate: tf.Tensor) -> None:
        """One step, algorithm 1 of the paper, on every variable. Runs inside a tf.function."""
        step = tf.cast(self._step.assign_add(1), tf.float32)
        for name, variable in self._variables.items():
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._slots[f"m/{name}"].handle,
                v=self._slots[f"v/{name}"].handle,
                beta1_power=tf.pow(self._beta1, step),
                beta2_power=tf.pow(self._beta2, step),
                lr=learning_rate,
                beta1=self._beta1,
                beta2=self._beta2,
                epsilon=self._epsilon,
                grad=gradients[name],
            )

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs, by name."""
        return {"step": self._step.numpy(), **{name: slot.numpy() for name, slot in self._slots.items()}}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned."""
        self._step.assign(state["step"])
        for name, slot in self._slots.items():
            slot.assign(state[name])
