"""One update of the weights from a batch of trajectories, as one TensorFlow function that is traced once.

Shape legend: T steps of a trajectory, B trajectories; A actions, N atoms, S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.dqn import losses, model
from kaimesh.algorithms.dqn.config import Config
from kaimesh.algorithms.dqn.model import Architecture
from kaimesh.algorithms.dqn.replay import importance_exponent, importance_weights, priorities
from kaimesh.algorithms.networks import lstm_unroll, torsos
from kaimesh.algorithms.networks.compiled import TENSORFLOW
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.lstm import STATE
from kaimesh.algorithms.networks.moments import RunningMoments
from kaimesh.algorithms.networks.torso import BYTE
from kaimesh.algorithms.optimizers.adam import Adam
from kaimesh.algorithms.samples import Columns, column_specs, time_major
from kaimesh.algorithms.targets.nstep import NStep, n_step
from kaimesh.contract.columns import PRIORITY, PROBABILITY

_TARGET = NStep(
    reward=tf.TensorSpec([None, None], tf.float32),
    discount=tf.TensorSpec([None, None], tf.float32),
    bootstrap=tf.TensorSpec([None, None], tf.int32),
)


class Learner:
    """The weights, those of the target network, the optimizer and the update. `updates` counts the calls of `update`."""

    def __init__(self, net: Architecture, weights: Weights, config: Config) -> None:
        self._net, self._config = net, config
        self._variables = {name: tf.Variable(value) for name, value in weights.items()}
        self._target = {name: tf.Variable(value, trainable=False) for name, value in weights.items()}
        self._trained = {name: v for name, v in self._variables.items() if not name.startswith("obs/")}
        self._adam = Adam(self._trained, epsilon=config.adam_epsilon)
        follows = net.torso.standardise and config.normalize_observations and net.spaces.obs_dtype != BYTE
        self._moments = RunningMoments(len(weights["obs/mean"])) if follows else None
        self.updates = 0
        self._columns = column_specs(net)
        scalar, row = tf.TensorSpec([], tf.float32), tf.TensorSpec([None], tf.float32)
        signature = [self._columns, _TARGET, row, scalar, scalar]
        self._function = tf.function(self._update, autograph=False, input_signature=signature)

    def weights(self) -> Weights:
        """A copy of all weights, by name."""
        return {name: variable.numpy() for name, variable in self._variables.items()}

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replaces all weights, of both networks."""
        for variables in (self._variables, self._target):
            for name, variable in variables.items():
                variable.assign(weights[name])

    @property
    def traces(self) -> int:
        """How often TensorFlow has traced the update; more than once means a signature that changes between calls."""
        return int(self._function.experimental_get_tracing_count())

    def learning_rate(self) -> float:
        """Of the next update."""
        config = self._config
        if config.learning_rate_schedule == "linear":
            return config.learning_rate * max(0.0, 1 - self.updates / config.total_learner_steps)
        return config.learning_rate

    def update(self, columns: Columns) -> dict[str, Any]:
        """One gradient step on a batch of samples, columns `[B, T(+1), ...]`; returns metrics, and the samples' new PRIORITY.

        PROBABILITY float64 `[B]`, where it is a column, gives the samples' weights.
        Raises SampleError: a column is missing or has another shape or dtype. FloatingPointError: a column, the loss or the
        gradient is not finite; that step was not made.
        """
        config = self._config
        batch = time_major(columns, self._columns, "DQN")  # [T(+1), B, ...]
        target = n_step(
            batch["reward"] * np.float32(config.reward_scale),
            *(batch[name] for name in ("terminated", "truncated", "mask")),
            gamma=config.gamma,
            n=config.n_step,
        )
        weight = self._weight(columns, batch["mask"].shape[1])
        rate = self.learning_rate()
        metrics, td_error = self._function(batch, target, weight, np.float32(rate), np.float32(self._target_rate()))
        result = {name: float(value) for name, value in metrics.items()}
        for name in ("total_loss", "grad_norm"):
            if not np.isfinite(result[name]):
                raise FloatingPointError(
                    f"{name} = {result[name]} in learn {self.updates} (mean value {result['q']}); that gradient step was not "
                    "applied. Lower learning_rate or reward_scale, or look at the rewards and observations."
                )
        self.updates += 1
        self._follow(batch["obs"])
        new = priorities(td_error.numpy(), batch["mask"], config.priority_max_share, config.priority_floor)
        return {**result, "learning_rate": rate, "importance_weight": float(weight.mean()), PRIORITY: new}

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain data and arrays: everything but the weights that `restore` needs to go on exactly."""
        arrays = {f"adam/{name}": value for name, value in self._adam.state().items()}
        arrays |= {f"target/{name}": variable.numpy() for name, variable in self._target.items()}
        if self._moments is not None:
            arrays |= {f"moments/{name}": value for name, value in self._moments.state().items()}
        return {"updates": self.updates}, arrays

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned."""
        parts: dict[str, dict[str, np.ndarray]] = {"adam": {}, "target": {}, "moments": {}}
        for path, array in arrays.items():
            part, _, name = path.partition("/")
            parts[part][name] = array
        self._adam.restore(parts["adam"])
        for name, variable in self._target.items():
            variable.assign(parts["target"][name])
        if self._moments is not None:
            self._moments.restore(parts["moments"])
        self.updates = int(header["updates"])

    def _weight(self, columns: Columns, count: int) -> np.ndarray:
        """Importance weights, float32 `[B]`."""
        if PROBABILITY not in columns:
            return np.ones(count, np.float32)
        config = self._config
        exponent = importance_exponent(
            config.importance_exponent, config.importance_exponent_final, self.updates, config.total_learner_steps
        )
        return importance_weights(columns[PROBABILITY], exponent)

    def _target_rate(self) -> float:
        """The share of the way that the target network goes to the online one after this update."""
        if self._config.target_rate > 0:
            return self._config.target_rate
        return float((self.updates + 1) % self._config.target_period == 0)

    def _follow(self, obs: np.ndarray) -> None:
        """Standardises by what was seen; after the gradient step, which so sees what the actors saw."""
        if self._moments is None:
            return
        self._moments.add(obs.reshape(-1, int(np.prod(self._net.spaces.obs_shape))))
        for name, value in self._moments.weights().items():
            self._variables[name].assign(value)

    def _update(
        self,
        batch: dict[str, tf.Tensor],
        target: NStep,
        weight: tf.Tensor,
        learning_rate: tf.Tensor,
        target_rate: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The whole update: `batch` time-major, `target` of each step, `weight` `[B]`; metrics, and errors `[T, B]`."""
        net, mask = self._net, batch["mask"]
        steps = tf.reduce_sum(tf.cast(mask, tf.float32))
        bootstrap = self._unroll(self._target, batch)  # [T + 1, B, A, N]
        with tf.GradientTape() as tape:
            online = self._unroll(self._variables, batch)  # [T + 1, B, A, N]
            chosen = losses.of_action(online[:-1], tf.where(mask, batch["action"][:-1], 0))  # [T, B, N]
            judge = online if self._config.double else bootstrap
            action = losses.best(losses.means(net, judge), batch.get("legal_act"))  # [T + 1, B]
            later = losses.of_action(bootstrap, action)  # [T + 1, B, N]
            later = tf.gather(tf.transpose(later, [1, 0, 2]), tf.transpose(target.bootstrap), batch_dims=1)
            loss, error = self._loss(chosen, tf.transpose(later, [1, 0, 2]), target)  # [T, B]
            total = tf.reduce_sum(tf.where(mask, weight * loss, 0.0)) / tf.maximum(steps, 1.0)
        gradients = tape.gradient(total, list(self._trained.values()))
        norm = tf.linalg.global_norm(gradients)
        if self._config.max_grad_norm > 0:
            gradients, _ = tf.clip_by_global_norm(gradients, self._config.max_grad_norm, norm)
        named = dict(zip(self._trained, gradients, strict=True))
        tf.cond(tf.math.is_finite(total + norm), lambda: self._step(named, learning_rate, target_rate), lambda: None)

        def mean(values: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(tf.where(mask, values, 0.0)) / tf.maximum(steps, 1.0)

        metrics = {"total_loss": total, "grad_norm": norm, "td_error": mean(tf.abs(error))}
        return metrics | {"q": mean(losses.means(net, chosen))}, error

    def _unroll(self, weights: Mapping[str, tf.Variable], batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Every action's value, or logits of its distribution, at every observation: float32 `[T + 1, B, A, N]`."""
        net, obs = self._net, batch["obs"]
        time_and_batch = tf.unstack(tf.shape(obs)[:2])
        obs = tf.reshape(obs, [-1, *obs.shape[2:]])
        if net.lstm_size:
            features = torsos.forward(net.torso, weights, "torso", obs)
            features = tf.reshape(features, [*time_and_batch, net.torso.features])
            reset = lstm_unroll.resets(batch["mask"])
            features = lstm_unroll.unroll(weights, "lstm", features, batch[STATE], reset)  # [T + 1, B, H]
            heads = tf.tensordot(features, weights["out/w"], 1) + weights["out/b"]
        else:
            heads = tf.reshape(
                model.forward(net, TENSORFLOW, weights, obs)[0], [*time_and_batch, net.outputs * net.atoms]
            )
        return losses.distributions(net, heads)

    def _loss(self, chosen: tf.Tensor, later: tf.Tensor, target: NStep) -> tuple[tf.Tensor, tf.Tensor]:
        """Each step's loss and its error, the target's mean less the value's, float32 `[T, B]`; `chosen`, `later` `[T, B, N]`.

        The errors of C51 are those of the means too, not its losses, so that they compare with the actors' first ones.
        """
        net = self._net
        if net.atoms == 1:
            goal = tf.stop_gradient(target.reward + target.discount * later[..., 0])
            error = goal - chosen[..., 0]
            return losses.huber(error, self._config.huber_delta), error
        returns = tf.constant(net.returns)
        goal = losses.projected(returns, tf.nn.softmax(later), target.reward, target.discount)
        goal = tf.stop_gradient(goal)  # [T, B, N]
        loss = tf.nn.softmax_cross_entropy_with_logits(goal, chosen)
        return loss, tf.linalg.matvec(goal, returns) - losses.means(net, chosen)

    def _step(self, gradients: dict[str, tf.Tensor], learning_rate: tf.Tensor, target_rate: tf.Tensor) -> None:
        self._adam.apply(gradients, learning_rate)
        tf.cond(target_rate > 0, lambda: self._move_target(target_rate), lambda: None)

    def _move_target(self, rate: tf.Tensor) -> None:
        for name, variable in self._target.items():
            variable.assign(rate * self._variables[name] + (1 - rate) * variable)
