"""The frame of an update: weights, optimizer, learning rate, moments of the observations; traced once, resumed exactly.

Shape legend: T steps of a trajectory, B trajectories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.actor_critic.model import Architecture
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.moments import RunningMoments
from kaimesh.algorithms.networks.torso import BYTE
from kaimesh.algorithms.samples import Columns, column_specs, time_major
from kaimesh.contract.columns import PRIORITY, PROBABILITY


class Optimizer(Protocol):
    """kaimesh.algorithms.optimizers.adam or kaimesh.algorithms.optimizers.rmsprop."""

    def apply(self, gradients: Mapping[str, tf.Tensor], learning_rate: tf.Tensor) -> None:
        """One step on every variable."""

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs, by name."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned."""


class Learner:
    """The weights, the optimizer, and `update`, whose inside is the algorithm's `_update`.

    algo: the algorithm's table in the configuration. optimizer: makes one for the trained variables.
    inputs: the signature of what `_inputs` adds to a batch. `updates` counts the calls of `update`.
    """

    def __init__(
        self,
        algo: str,
        net: Architecture,
        weights: Weights,
        config: Any,
        optimizer: Callable[[Mapping[str, tf.Variable]], Optimizer],
        inputs: Sequence[tf.TensorSpec] = (),
    ) -> None:
        self._algo, self._net, self._config = algo, net, config
        self._variables = {name: tf.Variable(value) for name, value in weights.items()}
        self._trained = {name: v for name, v in self._variables.items() if not name.startswith("obs/")}
        self._optimizer = optimizer(self._trained)
        follows = net.torso.standardise and config.normalize_observations and net.spaces.obs_dtype != BYTE
        self._moments = RunningMoments(len(weights["obs/mean"])) if follows else None
        self.updates = 0
        self._columns = column_specs(net, "log_prob", "value")
        signature = [self._columns, tf.TensorSpec([], tf.float32), *inputs]
        self._function = tf.function(self._update, autograph=False, input_signature=signature)

    def weights(self) -> Weights:
        """A copy of all weights, by name."""
        return {name: variable.numpy() for name, variable in self._variables.items()}

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replaces all weights."""
        for name, variable in self._variables.items():
            variable.assign(weights[name])

    @property
    def traces(self) -> int:
        """How often TensorFlow has traced the update; more than once means a signature that changes between calls."""
        return int(self._function.experimental_get_tracing_count())

    def learning_rate(self) -> float:
        """Of the next update."""
        config = self._config
        if config.learning_rate_schedule == "linear":
            return float(config.learning_rate * max(0.0, 1 - self.updates / config.total_learner_steps))
        return float(config.learning_rate)

    def update(self, columns: Columns) -> dict[str, Any]:
        """Learns from one batch of samples, columns `[B, T(+1), ...]`; returns metrics.

        Where the samples were drawn by priorities (they have the column PROBABILITY), and `_update` returns it, PRIORITY float32 `[B]`
        is among the metrics.
        Raises SampleError: a column is missing or has another shape or dtype. FloatingPointError: a column, the loss or the
        gradient is not finite. The weights are those before the step that failed.
        """
        batch = time_major(columns, self._columns, self._algo.upper())  # [T(+1), B, ...]
        rate = self.learning_rate()
        metrics = self._function(batch, np.float32(rate), *self._inputs(batch, columns))
        result = {name: float(value) for name, value in metrics.items() if name != PRIORITY}
        for name in ("total_loss", "grad_norm"):
            if not np.isfinite(result[name]):
                losses = ", ".join(f"{key} = {result[key]}" for key in ("policy_loss", "value_loss", "entropy"))
                raise FloatingPointError(
                    f"{name} = {result[name]} in learn {self.updates} ({losses}); that gradient step was not applied. "
                    f"Lower [{self._algo}] learning_rate or reward_scale, or look at the rewards and observations."
                )
        self.updates += 1
        if self._moments is not None:  # after the gradient steps, which so see what the actors saw
            self._moments.add(batch["obs"].reshape(-1, int(np.prod(self._net.spaces.obs_shape))))
            for name, value in self._moments.weights().items():
                self._variables[name].assign(value)
        priority = {PRIORITY: metrics[PRIORITY].numpy()} if PRIORITY in metrics and PROBABILITY in columns else {}
        return {**result, "learning_rate": rate, **priority}

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain data and arrays: everything but the weights that `restore` needs to go on exactly."""
        arrays = {f"optimizer/{name}": value for name, value in self._optimizer.state().items()}
        if self._moments is not None:
            arrays |= {f"moments/{name}": value for name, value in self._moments.state().items()}
        return {"updates": self.updates}, arrays

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned."""
        self._optimizer.restore(_under("optimizer/", arrays))
        if self._moments is not None:
            self._moments.restore(_under("moments/", arrays))
        self.updates = int(header["updates"])

    def _inputs(self, batch: Columns, columns: Columns) -> tuple[np.ndarray, ...]:
        """What `_update` gets besides `batch`, which is time-major; `columns` are all of the samples'."""
        del batch, columns
        return ()

    def _update(
        self, batch: dict[str, tf.Tensor], learning_rate: tf.Tensor, *inputs: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The whole update, `batch` time-major; returns metrics, `total_loss` and `grad_norm` among them."""
        raise NotImplementedError

    def _gradients(self, tape: tf.GradientTape, loss: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Gradients by name, clipped, and their global norm before that."""
        gradients = tape.gradient(loss, list(self._trained.values()))
        norm = tf.linalg.global_norm(gradients)
        if self._config.max_grad_norm > 0:
            gradients, _ = tf.clip_by_global_norm(gradients, self._config.max_grad_norm, norm)
        return dict(zip(self._trained, gradients, strict=True)), norm


def explained_variance(target: tf.Tensor, value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """`1 - Var(target - value) / Var(target)` over valid steps, `[T, B]` each: 1 where the values were right, <= 0 where useless."""
    target, value = tf.boolean_mask(target, mask), tf.boolean_mask(value, mask)
    return 1 - tf.math.reduce_variance(target - value) / (tf.math.reduce_variance(target) + 1e-8)


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
