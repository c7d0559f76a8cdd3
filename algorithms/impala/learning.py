"""One gradient step from a batch of trajectories, as one TensorFlow function that is traced once.

Shape legend: T steps of a trajectory, B trajectories; A actions or action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from kaimesh.algorithms import learner
from kaimesh.algorithms.actor_critic.model import Architecture
from kaimesh.algorithms.actor_critic.unroll import flat, statistics, unroll
from kaimesh.algorithms.impala.config import Config
from kaimesh.algorithms.impala.losses import ImpalaLoss, clipped_reward, impala_loss, importance_weights, priorities
from kaimesh.algorithms.learner import Optimizer, explained_variance
from kaimesh.algorithms.networks.heads import ActionStatistics
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.lstm import STATE
from kaimesh.algorithms.networks.lstm_unroll import resets
from kaimesh.algorithms.optimizers.adam import Adam
from kaimesh.algorithms.optimizers.rmsprop import RMSProp
from kaimesh.algorithms.samples import Columns
from kaimesh.algorithms.targets.vtrace import vtrace
from kaimesh.contract.columns import PRIORITY, PROBABILITY


class Learner(learner.Learner):
    """One gradient step on each batch."""

    def __init__(self, net: Architecture, weights: Weights, config: Config) -> None:
        def optimizer(variables: Mapping[str, tf.Variable]) -> Optimizer:
            if config.optimizer == "adam":
                return Adam(variables, epsilon=config.adam_epsilon)
            return RMSProp(
                variables,
                decay=config.rmsprop_decay,
                momentum=config.rmsprop_momentum,
                epsilon=config.rmsprop_epsilon,
            )

        super().__init__("impala", net, weights, config, optimizer, inputs=[tf.TensorSpec([None], tf.float32)])

    def _inputs(self, batch: Columns, columns: Columns) -> tuple[np.ndarray, ...]:
        """The trajectories' weights, float32 `[B]`."""
        if PROBABILITY not in columns:
            return (np.ones(batch["mask"].shape[1], np.float32),)
        return (importance_weights(columns[PROBABILITY], self._config.importance_exponent),)

    def _update(
        self, batch: dict[str, tf.Tensor], learning_rate: tf.Tensor, *inputs: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        (weight,) = inputs  # [B]
        with tf.GradientTape() as tape:
            loss, metrics = self._loss(batch, weight)
        gradients, norm = self._gradients(tape, loss.total_loss)
        go_on = tf.math.is_finite(loss.total_loss + norm)
        tf.cond(go_on, lambda: self._optimizer.apply(gradients, learning_rate), lambda: None)
        return {**loss._asdict(), "grad_norm": norm, **metrics}

    def _loss(self, batch: dict[str, tf.Tensor], weight: tf.Tensor) -> tuple[ImpalaLoss, dict[str, tf.Tensor]]:
        """The loss, and what says how well the value fits and how far the policy is from the one that acted; PRIORITY `[B]`."""
        config, mask = self._config, batch["mask"]
        reset = resets(mask) if self._net.lstm_size else None
        head, value = unroll(
            self._net, self._variables, batch["obs"], batch.get(STATE), reset
        )  # [T + 1, B, A], [T + 1, B]
        now = self._statistics(head, batch)
        log_rho = now.log_prob - batch["log_prob"][:-1]  # [T, B]
        targets = vtrace(
            value,
            log_rho,
            clipped_reward(batch["reward"], config.reward_clip) * config.reward_scale,
            batch["terminated"],
            batch["truncated"],
            mask,
            gamma=config.gamma,
            vtrace_lambda=config.vtrace_lambda,
            rho_bar=config.rho_bar,
            c_bar=config.c_bar,
            pg_rho_bar=config.pg_rho_bar,
        )
        loss = impala_loss(
            log_prob=now.log_prob,
            entropy=now.entropy,
            value=value[:-1],
            value_target=targets.value_target,
            advantage=targets.advantage,
            mask=mask,
            weight=weight,
            reduction=config.reduction,
            value_cost=config.value_cost,
            entropy_cost=config.entropy_cost,
        )
        valid_log_rho = tf.boolean_mask(log_rho, mask)
        return loss, {
            "explained_variance": explained_variance(targets.value_target, value[:-1], mask),
            "behaviour_kl": tf.reduce_mean(-valid_log_rho),  # of the policy that acted from the one now, in nats
            "rho_clipped": tf.reduce_mean(tf.cast(tf.exp(valid_log_rho) > config.rho_bar, tf.float32)),
            PRIORITY: priorities(targets.advantage, mask),
        }

    def _statistics(self, head: tf.Tensor, batch: dict[str, tf.Tensor]) -> ActionStatistics:
        """`[T, B]`, of the actions that were taken, under the policy now."""
        legal_act = flat(batch["legal_act"][:-1]) if "legal_act" in batch else None
        now = statistics(self._net, self._variables, flat(head[:-1]), flat(batch["action"][:-1]), legal_act)
        shape = tf.shape(batch["reward"])
        return ActionStatistics(tf.reshape(now.log_prob, shape), tf.reshape(now.entropy, shape))
