"""One update of the weights from a batch of trajectories, as one TensorFlow function that is traced once.

Shape legend: T steps of a trajectory, B trajectories, N valid steps of the batch, U gradient steps (epochs x minibatches),
M rows of a minibatch: steps, or whole trajectories where an LSTM has to see them in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kaimesh.algorithms import learner
from kaimesh.algorithms.actor_critic.model import Architecture
from kaimesh.algorithms.actor_critic.unroll import flat, statistics, unroll
from kaimesh.algorithms.learner import explained_variance
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.lstm import STATE
from kaimesh.algorithms.networks.lstm_unroll import resets
from kaimesh.algorithms.optimizers.adam import Adam
from kaimesh.algorithms.ppo.config import Config
from kaimesh.algorithms.ppo.losses import PPOLoss, normalize, ppo_loss
from kaimesh.algorithms.samples import LONGER, Columns
from kaimesh.algorithms.targets.gae import gae


class Learner(learner.Learner):
    """`epochs` x `minibatches` gradient steps on each batch."""

    def __init__(self, net: Architecture, weights: Weights, config: Config) -> None:
        self._rng = np.random.default_rng([config.seed, 1])
        super().__init__(
            "ppo",
            net,
            weights,
            config,
            optimizer=lambda variables: Adam(variables, epsilon=config.adam_epsilon),
            inputs=[tf.TensorSpec([None, None], tf.int32)],
        )

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """As the base class's, with the generator of minibatches."""
        header, arrays = super().state()
        return {**header, "rng": self._rng.bit_generator.state}, arrays

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned."""
        super().restore(header, arrays)
        self._rng.bit_generator.state = header["rng"]

    def _inputs(self, batch: Columns, columns: Columns) -> tuple[np.ndarray, ...]:
        """Which rows each gradient step sees: int32 `[U, M]`, indices of valid steps into `[T * B]`, or of trajectories into `[B]`.

        So a masked step enters no loss and no mean. What is left over after the division sits the epoch out.
        """
        del columns
        mask = batch["mask"]  # [T, B]
        valid = np.flatnonzero(mask.any(0) if self._net.lstm_size else mask).astype(np.int32)
        if not len(valid):
            raise ValueError("all steps of the batch are masked; there is nothing to learn from")
        minibatches = min(self._config.minibatches, len(valid))
        size = len(valid) // minibatches
        epochs = [self._rng.permutation(valid)[: minibatches * size] for _ in range(self._config.epochs)]
        return (np.stack(epochs).reshape(-1, size),)

    def _update(
        self, batch: dict[str, tf.Tensor], learning_rate: tf.Tensor, *inputs: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        (minibatches,) = inputs  # [U, M]
        config = self._config
        targets = gae(
            batch["value"],
            batch["reward"] * config.reward_scale,
            batch["terminated"],
            batch["truncated"],
            batch["mask"],
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
        )
        steps = {name: batch[name][:-1] for name in LONGER if name in batch}  # [T, B, ...]
        steps |= {"advantage": targets.advantage, "value_target": targets.value_target, "mask": batch["mask"]}

        def gradient_step(i: tf.Tensor, _: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            rows = minibatches[i]  # [M]
            with tf.GradientTape() as tape:
                loss = self._loss(*self._minibatch(steps, batch.get(STATE), rows))
            gradients, norm = self._gradients(tape, loss.total_loss)
            go_on = tf.math.is_finite(loss.total_loss + norm)
            if config.target_kl > 0:
                go_on &= loss.approx_kl <= 1.5 * config.target_kl
            tf.cond(go_on, lambda: self._optimizer.apply(gradients, learning_rate), lambda: None)
            return i + 1, go_on, sums + tf.stack([*loss, norm, tf.cast(go_on, tf.float32)])

        names = (*PPOLoss._fields, "grad_norm", "gradient_steps")
        count, _, sums = tf.while_loop(
            lambda i, go_on, _: go_on & (i < tf.shape(minibatches)[0]),
            gradient_step,
            (tf.constant(0), tf.constant(True), tf.zeros(len(names))),
            parallel_iterations=1,
        )
        means = dict(zip(names, tf.unstack(sums / tf.cast(count, tf.float32)), strict=True))
        means["gradient_steps"] = sums[-1]
        variance = explained_variance(steps["value_target"], steps["value"], batch["mask"])
        return means | {"explained_variance": variance}

    def _minibatch(
        self, steps: dict[str, tf.Tensor], state: tf.Tensor | None, rows: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """The valid steps of a minibatch, `[N, ...]`, and the network's outputs there: heads `[N, A]`, values `[N]`."""
        if not self._net.lstm_size:
            step = {name: tf.gather(flat(column), rows) for name, column in steps.items()}  # [M, ...]
            head, value = unroll(self._net, self._variables, step["obs"][None], None, None)  # [1, M, ...]
            return step, head[0], value[0]
        assert state is not None
        whole = {name: tf.gather(column, rows, axis=1) for name, column in steps.items()}  # [T, M, ...]
        reset = resets(whole["mask"])[:-1]
        head, value = unroll(self._net, self._variables, whole["obs"], tf.gather(state, rows), reset)
        valid = whole["mask"]
        step = {name: tf.boolean_mask(column, valid) for name, column in whole.items() if name != "obs"}
        return step, tf.boolean_mask(head, valid), tf.boolean_mask(value, valid)

    def _loss(self, step: dict[str, tf.Tensor], head: tf.Tensor, value: tf.Tensor) -> PPOLoss:
        config = self._config
        now = statistics(self._net, self._variables, head, step["action"], step.get("legal_act"))
        return ppo_loss(
            log_prob=now.log_prob,
            behaviour_log_prob=step["log_prob"],
            entropy=now.entropy,
            advantage=normalize(step["advantage"]) if config.normalize_advantages else step["advantage"],
            value=value,
            behaviour_value=step["value"],
            value_target=step["value_target"],
            clip=config.clip,
            value_clip=config.value_clip,
            value_cost=config.value_cost,
            entropy_cost=config.entropy_cost,
        )
