"""One update of the weights from a batch of trajectories, as one TensorFlow function that is traced once.

Names are the papers': `_tm1` is of the step that is learned from, `_t` of the state that ends its n-step return.

Shape legend: T steps of a trajectory, B trajectories; A actions, N atoms, S numbers of an LSTM's state.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.dqn import losses, model
from kaimesh.algorithms.dqn.config import Config
from kaimesh.algorithms.dqn.model import Architecture
from kaimesh.algorithms.learner import Columns, Learner, Optimizer, Tensors, Variables, gradients, move_target
from kaimesh.algorithms.networks.differentiable import unroll
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.lstm import STATE
from kaimesh.algorithms.networks.lstm_unroll import resets
from kaimesh.algorithms.optimizers.adam import Adam
from kaimesh.algorithms.replay import importance_exponent, importance_weights, priorities
from kaimesh.algorithms.targets.nstep import NStep, n_step
from kaimesh.contract.columns import PROBABILITY

_TD_ERROR = "td_errors"  # float32 `[T, B]`, what new priorities are made of
_SIGNATURE = [
    NStep(
        reward=tf.TensorSpec([None, None], tf.float32),
        discount=tf.TensorSpec([None, None], tf.float32),
        bootstrap=tf.TensorSpec([None, None], tf.int32),
    ),
    tf.TensorSpec([None], tf.float32),
    tf.TensorSpec([], tf.float32),
]


def learner(net: Architecture, weights: Weights, config: Config) -> Learner:
    """Takes one gradient step on each batch, moves the target network, and gives the samples new priorities."""
    return Learner(
        net,
        weights,
        config,
        optimizer=partial(Adam, epsilon=config.adam_epsilon),
        optimizer_name="adam",
        update=partial(update, net, config),
        inputs=partial(_inputs, config),
        signature=_SIGNATURE,
        priorities=lambda found, batch, _columns: priorities(
            found[_TD_ERROR], batch["mask"], config.priority_max_share, config.priority_floor
        ),
        target=True,
    )


def _inputs(config: Config, batch: Columns, columns: Columns, updates: int) -> tuple[NStep, np.ndarray, np.float32]:
    """The n-step returns `[T, B]`; the samples' importance weights, float32 `[B]`; how far the target network moves."""
    returns = n_step(
        batch["reward"] * np.float32(config.reward_scale),
        *(batch[name] for name in ("terminated", "truncated", "mask")),
        gamma=config.gamma,
        n=config.n_step,
    )
    return returns, _weight(config, columns, updates), np.float32(_target_rate(config, updates))


def _weight(config: Config, columns: Columns, updates: int) -> np.ndarray:
    if PROBABILITY not in columns:
        return np.ones(len(columns["mask"]), np.float32)
    exponent = importance_exponent(
        config.importance_exponent, config.importance_exponent_final, updates, config.total_learner_steps
    )
    return importance_weights(columns[PROBABILITY], exponent)


def _target_rate(config: Config, updates: int) -> float:
    """How far the target network moves towards the online one in this update: 0 is not at all, 1 is all the way."""
    if config.target_rate > 0:
        return config.target_rate
    return float((updates + 1) % config.target_period == 0)


def update(
    net: Architecture,
    config: Config,
    variables: Variables,
    optimizer: Optimizer,
    batch: Tensors,
    learning_rate: tf.Tensor,
    returns: NStep,
    weight: tf.Tensor,
    target_rate: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """One gradient step. `returns`, `weight` and `target_rate` come from `_inputs`. Returns metrics, and _TD_ERROR."""
    mask = batch["mask"]  # [T, B]
    count = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.float32)), 1.0)

    def mean(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.where(mask, values, 0.0)) / count

    target_q = _q_values(net, variables.target, batch)  # [T + 1, B, A, N]
    with tf.GradientTape() as tape:
        q = _q_values(net, variables.online, batch)  # [T + 1, B, A, N]
        a_tm1 = tf.where(mask, batch["action"][:-1], 0)  # [T, B]
        q_tm1 = losses.of_action(q[:-1], a_tm1)  # [T, B, N]
        q_t_selector = losses.means(net, q if config.double else target_q)  # [T + 1, B, A]
        a_t = losses.best(q_t_selector, batch.get("legal_act"))  # [T + 1, B]
        q_t = losses.of_state(losses.of_action(target_q, a_t), returns.bootstrap)  # [T, B, N]
        loss, td_error = _loss(net, config, q_tm1, q_t, returns)  # [T, B]
        total_loss = mean(weight * loss)
    gradient, norm = gradients(tape, total_loss, variables, config.max_grad_norm)

    def step() -> None:
        optimizer.apply(gradient, learning_rate)
        tf.cond(target_rate > 0, lambda: move_target(variables, target_rate), lambda: None)

    tf.cond(tf.math.is_finite(total_loss + norm), step, lambda: None)
    return {
        "total_loss": total_loss,
        "grad_norm": norm,
        "td_error": mean(tf.abs(td_error)),
        "q": mean(losses.means(net, q_tm1)),
        "importance_weight": tf.reduce_mean(weight),
        _TD_ERROR: td_error,
    }


def _q_values(net: Architecture, weights: Tensors, batch: Tensors) -> tf.Tensor:
    """Every action's value, or logits of its distribution, at every observation: float32 `[T + 1, B, A, N]`."""
    reset = resets(batch["mask"]) if net.lstm_size else None
    (heads,) = unroll(partial(model.forward, net), weights, batch["obs"], batch.get(STATE), reset)
    return losses.distributions(net, heads)


def _loss(
    net: Architecture, config: Config, q_tm1: tf.Tensor, q_t: tf.Tensor, returns: NStep
) -> tuple[tf.Tensor, tf.Tensor]:
    """Each step's loss and TD error, float32 `[T, B]`, from `q_tm1` and `q_t` `[T, B, N]`.

    C51's TD error is the difference of the means, as in the first priorities that actors compute, not its loss.
    """
    if net.atoms == 1:
        target = tf.stop_gradient(returns.reward + returns.discount * q_t[..., 0])
        td_error = target - q_tm1[..., 0]
        return losses.huber(td_error, config.huber_delta), td_error
    atoms = tf.constant(net.returns)
    target = losses.projected(atoms, tf.nn.softmax(q_t), returns.reward, returns.discount)
    target = tf.stop_gradient(target)  # [T, B, N]
    loss = tf.nn.softmax_cross_entropy_with_logits(target, q_tm1)
    return loss, tf.linalg.matvec(target, atoms) - losses.means(net, q_tm1)
