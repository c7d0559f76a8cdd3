"""One update of the weights from a batch of trajectories, as one TensorFlow function that is traced once.

Shape legend: T steps of a trajectory, B trajectories, N valid steps of the batch, U gradient steps (epochs x
minibatches), M rows of a minibatch: steps, or whole trajectories where an LSTM has to see them in order; A actions or
action dimensions.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.actor_critic import model
from kaimesh.algorithms.actor_critic.model import Architecture
from kaimesh.algorithms.learner import (
    LONGER,
    Columns,
    Learner,
    Optimizer,
    Tensors,
    Variables,
    explained_variance,
    gradients,
)
from kaimesh.algorithms.networks.differentiable import flat, statistics, unroll
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.lstm import STATE
from kaimesh.algorithms.networks.lstm_unroll import resets
from kaimesh.algorithms.optimizers.adam import Adam
from kaimesh.algorithms.ppo.config import Config
from kaimesh.algorithms.ppo.losses import PPOLoss, normalize, ppo_loss
from kaimesh.algorithms.targets.gae import gae
from kaimesh.contract.seeds import Purpose, generator


def learner(net: Architecture, weights: Weights, config: Config) -> Learner:
    """Takes `epochs` x `minibatches` gradient steps on each batch."""
    rng = generator(config.seed, Purpose.MINIBATCHES)
    return Learner(
        net,
        weights,
        config,
        acted=("log_prob", "value"),
        optimizer=partial(Adam, epsilon=config.adam_epsilon),
        update=partial(update, net, config),
        inputs=lambda batch, _columns, _updates: (minibatches(net, config, rng, batch),),
        signature=[tf.TensorSpec([None, None], tf.int32)],
        rng=rng,
    )


def minibatches(net: Architecture, config: Config, rng: np.random.Generator, batch: Columns) -> np.ndarray:
    """Rows of each gradient step: int32 `[U, M]`, indices of valid steps into `[T * B]`, or of trajectories into `[B]`.

    A masked step is in no minibatch, so in no loss and no mean. Rows that remain after the division are not used in
    that epoch.
    """
    mask = batch["mask"]  # [T, B]
    valid = np.flatnonzero(mask.any(0) if net.lstm_size else mask).astype(np.int32)
    if not len(valid):
        raise ValueError(
            "all steps of the batch are masked, so there is nothing to learn from. Look at what the environment says "
            "of its episodes' ends."
        )
    count = min(config.minibatches, len(valid))
    size = len(valid) // count
    epochs = [rng.permutation(valid)[: count * size] for _ in range(config.epochs)]
    rows: np.ndarray = np.stack(epochs).reshape(-1, size)
    return rows


def update(
    net: Architecture,
    config: Config,
    variables: Variables,
    optimizer: Optimizer,
    batch: Tensors,
    learning_rate: tf.Tensor,
    minibatches: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Algorithm 1 of the paper, from line 5 on; minibatches: int32 `[U, M]`. Returns means over the gradient steps."""
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
        with tf.GradientTape() as tape:
            loss = _loss(net, config, variables.online, steps, batch.get(STATE), minibatches[i])
        gradient, norm = gradients(tape, loss.total_loss, variables, config.max_grad_norm)
        go_on = tf.math.is_finite(loss.total_loss + norm)
        if config.target_kl > 0:
            go_on &= loss.approx_kl <= 1.5 * config.target_kl
        tf.cond(go_on, lambda: optimizer.apply(gradient, learning_rate), lambda: None)
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


def _loss(
    net: Architecture, config: Config, weights: Tensors, steps: Tensors, state: tf.Tensor | None, rows: tf.Tensor
) -> PPOLoss:
    """The loss of the minibatch `rows` `[M]` of `steps` `[T, B, ...]`; state: of an LSTM, `[B, S]`."""
    step, head, value = _minibatch(net, weights, steps, state, rows)
    log_std = weights.get("policy/log_std")
    now = statistics(head, log_std, step["action"], step.get("legal_act"))
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


def _minibatch(
    net: Architecture, weights: Tensors, steps: Tensors, state: tf.Tensor | None, rows: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """The valid steps of a minibatch, `[N, ...]`, and the network's outputs there: heads `[N, A]`, values `[N]`."""
    forward = partial(model.forward, net)
    if state is None:
        step = {name: tf.gather(flat(column), rows) for name, column in steps.items()}  # [M, ...]
        head, value = unroll(forward, weights, step["obs"][None], None, None)  # [1, M, ...]
        return step, head[0], value[0]
    whole = {name: tf.gather(column, rows, axis=1) for name, column in steps.items()}  # [T, M, ...]
    valid = whole["mask"]
    head, value = unroll(forward, weights, whole["obs"], tf.gather(state, rows), resets(valid)[:-1])
    step = {name: tf.boolean_mask(column, valid) for name, column in whole.items() if name != "obs"}
    return step, tf.boolean_mask(head, valid), tf.boolean_mask(value, valid)
