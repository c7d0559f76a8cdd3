"""One gradient step from a batch of trajectories, as one TensorFlow function that is traced once.

Shape legend: T steps of a trajectory, B trajectories; A actions or action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.actor_critic import model
from kaimesh.algorithms.actor_critic.model import Architecture
from kaimesh.algorithms.impala.config import Config
from kaimesh.algorithms.impala.losses import ImpalaLoss, clipped_reward, impala_loss, importance_weights, priorities
from kaimesh.algorithms.learner import Columns, Learner, Optimizer, Tensors, Variables, explained_variance, gradients
from kaimesh.algorithms.networks.differentiable import ActionStatistics, flat, statistics, unroll
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.lstm import STATE
from kaimesh.algorithms.networks.lstm_unroll import resets
from kaimesh.algorithms.optimizers.adam import Adam
from kaimesh.algorithms.optimizers.rmsprop import RMSProp
from kaimesh.algorithms.targets.vtrace import vtrace
from kaimesh.contract.columns import PRIORITY, PROBABILITY


def learner(net: Architecture, weights: Weights, config: Config) -> Learner:
    """Takes one gradient step on each batch; gives new priorities where samples were drawn by priorities."""

    def optimizer(variables: Mapping[str, tf.Variable]) -> Optimizer:
        if config.optimizer == "adam":
            return Adam(variables, epsilon=config.adam_epsilon)
        return RMSProp(
            variables,
            decay=config.rmsprop_decay,
            momentum=config.rmsprop_momentum,
            epsilon=config.rmsprop_epsilon,
        )

    return Learner(
        net,
        weights,
        config,
        acted=("log_prob", "value"),
        optimizer=optimizer,
        update=partial(update, net, config),
        inputs=lambda batch, columns, _updates: (trajectory_weights(config, batch, columns),),
        signature=[tf.TensorSpec([None], tf.float32)],
        priorities=lambda found, _batch, columns: found[PRIORITY] if PROBABILITY in columns else None,
    )


def trajectory_weights(config: Config, batch: Columns, columns: Columns) -> np.ndarray:
    """How much each trajectory counts in the loss: float32 `[B]`."""
    if PROBABILITY not in columns:
        return np.ones(batch["mask"].shape[1], np.float32)
    return importance_weights(columns[PROBABILITY], config.importance_exponent)


def update(
    net: Architecture,
    config: Config,
    variables: Variables,
    optimizer: Optimizer,
    batch: Tensors,
    learning_rate: tf.Tensor,
    weight: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """One gradient step. weight: float32 `[B]`, of each trajectory. Returns metrics, and PRIORITY float32 `[B]`."""
    with tf.GradientTape() as tape:
        loss, metrics = _loss(net, config, variables.online, batch, weight)
    gradient, norm = gradients(tape, loss.total_loss, variables, config.max_grad_norm)
    go_on = tf.math.is_finite(loss.total_loss + norm)
    tf.cond(go_on, lambda: optimizer.apply(gradient, learning_rate), lambda: None)
    return {**loss._asdict(), "grad_norm": norm, **metrics}


def _loss(
    net: Architecture, config: Config, weights: Tensors, batch: Tensors, weight: tf.Tensor
) -> tuple[ImpalaLoss, dict[str, tf.Tensor]]:
    """The loss, and metrics: how well the values fit, how far the policy has moved since it acted; PRIORITY `[B]`."""
    mask = batch["mask"]  # [T, B]
    reset = resets(mask) if net.lstm_size else None
    head, value = unroll(partial(model.forward, net), weights, batch["obs"], batch.get(STATE), reset)
    now = _statistics(head, weights, batch)  # of head [T + 1, B, A]; value [T + 1, B]
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


def _statistics(head: tf.Tensor, weights: Tensors, batch: Tensors) -> ActionStatistics:
    """Statistics `[T, B]` of the actions that were taken, under the present policy."""
    legal_act = flat(batch["legal_act"][:-1]) if "legal_act" in batch else None
    now = statistics(flat(head[:-1]), weights.get("policy/log_std"), flat(batch["action"][:-1]), legal_act)
    shape = tf.shape(batch["reward"])
    return ActionStatistics(tf.reshape(now.log_prob, shape), tf.reshape(now.entropy, shape))
