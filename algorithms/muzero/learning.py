"""One update of MuZero's weights from positions of stored games, as one TensorFlow function that is traced once.

Shape legend: G games of a batch, L their positions; B positions that are drawn from them; K steps of the model from
each; P players; A actions; V outputs for one number.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.learner import Columns, Learner, Optimizer, Tensors, Variables, gradients, move_target
from kaimesh.algorithms.muzero import games, losses
from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.positions import arranged
from kaimesh.algorithms.muzero.tensors import Network
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.optimizers.adam import Adam
from kaimesh.algorithms.replay import importance_exponent, importance_weights, priorities
from kaimesh.contract.columns import POSITIONS, PROBABILITY
from kaimesh.contract.seeds import Purpose, generator

_ERROR = "errors"  # float32 `[B]`, of each position's value, what new priorities are made of


def learner(net: Architecture, weights: Weights, config: Config) -> Learner:
    """Takes one gradient step on positions of each batch of games, and gives the games new priorities."""
    rng = generator(config.seed, Purpose.POSITIONS)
    with_target = config.bootstrap == "target"
    return Learner(
        net,
        weights,
        config,
        optimizer=partial(Adam, epsilon=config.adam_epsilon),
        optimizer_name="adam",
        update=partial(update, net, config),
        arrange=partial(arranged, net, config, games.specs(net.spaces, config), rng),
        specs=_specs(net, config),
        inputs=partial(_inputs, config),
        signature=[tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.float32)],
        priorities=partial(_priorities, config),
        rng=rng,
        target=with_target,
        average=config.weight_average,
    )


def _specs(net: Architecture, config: Config) -> dict[str, tf.TensorSpec]:
    """TensorFlow's specs of what `positions.arranged` returns."""
    steps, players, actions = config.unroll_steps, net.spaces.players, net.spaces.action_size
    shape, dtype = net.spaces.obs_shape, tf.as_dtype(np.dtype(net.spaces.obs_dtype))
    specs = {
        "obs": tf.TensorSpec([None, *shape], dtype),
        "action": tf.TensorSpec([None, steps], tf.int32),
        "policy": tf.TensorSpec([None, steps + 1, actions], tf.float32),
        "value": tf.TensorSpec([None, steps + 1, players], tf.float32),
        "reward": tf.TensorSpec([None, steps, players], tf.float32),
        "mover": tf.TensorSpec([None, steps], tf.int32),
    }
    specs |= {f"{name}_mask": tf.TensorSpec([None, steps + 1], tf.bool) for name in ("policy", "value")}
    specs |= {f"{name}_mask": tf.TensorSpec([None, steps], tf.bool) for name in ("reward", "mover")}
    specs["game"] = tf.TensorSpec([None], tf.int64)
    if config.bootstrap == "target":
        specs["later_obs"] = tf.TensorSpec([None, steps + 1, *shape], dtype)
        specs["later_discount"] = tf.TensorSpec([None, steps + 1], tf.float32)
    return specs


def _inputs(config: Config, batch: Columns, columns: Columns, updates: int) -> tuple[np.ndarray, np.float32]:
    """The positions' importance weights, float32 `[B]`; how far the target network moves."""
    weight = np.ones(len(batch["game"]), np.float32)
    if PROBABILITY in columns:
        exponent = importance_exponent(
            config.importance_exponent, config.importance_exponent_final, updates, config.total_learner_steps
        )
        weight = importance_weights(columns[PROBABILITY], exponent)[batch["game"]]
    return weight, np.float32((updates + 1) % config.target_period == 0)


def _priorities(config: Config, found: Columns, batch: Columns, columns: Columns) -> np.ndarray:
    """New priorities float32 `[G]`, of the positions that were drawn; a game without one keeps a middle one."""
    game, error = batch["game"], found[_ERROR]
    errors, mask = (np.zeros((len(game), len(columns[POSITIONS])), kind) for kind in (np.float32, bool))  # [B, G]
    place = np.arange(len(game))
    errors[place, game], mask[place, game] = error, True
    without = ~mask.any(0)
    errors[0, without], mask[0, without] = error.mean(), True
    return priorities(errors, mask, config.priority_max_share, config.priority_floor)


class Unroll(NamedTuple):
    """The model's outputs: policy float32 `[B, K + 1, A]`, value `[B, K + 1, P, V]`, reward `[B, K, P, V]`, mover
    `[B, K, P]` (`[B, K, 0]` if P = 1).
    """

    policy: tf.Tensor
    value: tf.Tensor
    reward: tf.Tensor
    mover: tf.Tensor


def unroll(net: Architecture, weights: Tensors, obs: tf.Tensor, action: tf.Tensor) -> Unroll:
    """The model from observations `[B, ...]` along actions int32 `[B, K]`.

    Half of a latent state's gradient flows into the step before it, and a quarter into the one before that.
    """
    network = Network.of(net, weights)
    latent = network.represent(tf.convert_to_tensor(obs))
    policy, value = network.predict(latent)
    rewards: list[tf.Tensor] = []
    movers: list[tf.Tensor] = []
    policies, values = [policy], [value]
    for k in range(action.shape[1]):
        latent, reward, mover = network.step(losses.scale_gradient(latent, 0.5), action[:, k])
        policy, value = network.predict(latent)
        for found, one in ((policies, policy), (values, value), (rewards, reward), (movers, mover)):
            found.append(one)
    shape = [-1, net.spaces.players, net.outputs_of_number]
    values, rewards = ([tf.reshape(one, shape) for one in some] for some in (values, rewards))
    return Unroll(*(tf.stack(some, 1) for some in (policies, values, rewards, movers)))


def update(
    net: Architecture,
    config: Config,
    variables: Variables,
    optimizer: Optimizer,
    batch: Tensors,
    learning_rate: tf.Tensor,
    weight: tf.Tensor,
    target_rate: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """One gradient step. `weight` and `target_rate` come from `_inputs`. Returns metrics, and _ERROR."""
    value = _value_targets(net, variables, batch)  # [B, K + 1, P]
    with tf.GradientTape() as tape:
        model = unroll(net, variables.online, batch["obs"], batch["action"])
        parts = loss_parts(net, model, {**batch, "value": value})  # each [B]
        loss = parts["policy"] + config.value_weight * parts["value"] + parts["reward"] + parts["mover"]
        total_loss = tf.reduce_mean(weight * loss) + config.l2 * _squares(variables)
    gradient, norm = gradients(tape, total_loss, variables, config.max_grad_norm)

    def step() -> None:
        optimizer.apply(gradient, learning_rate)
        for name, variable in variables.trained.items() if config.weight_decay else ():
            if name.endswith("/w"):
                variable.assign_sub(learning_rate * config.weight_decay * variable)
        tf.cond(target_rate > 0, lambda: move_target(variables, target_rate), lambda: None)

    tf.cond(tf.math.is_finite(total_loss + norm), step, lambda: None)
    found = losses.decoded(net, model.value[:, 0])  # [B, P]
    searched = tf.reduce_mean(losses.entropy(batch["policy"][:, 0]))
    return {
        "total_loss": total_loss,
        "grad_norm": norm,
        **{f"{name}_loss": tf.reduce_mean(part) for name, part in parts.items()},
        "root_entropy": searched,
        "policy_entropy": tf.reduce_mean(losses.entropy(tf.nn.softmax(model.policy[:, 0]))),
        "value_error": tf.reduce_mean(tf.abs(found - value[:, 0])),
        "importance_weight": tf.reduce_mean(weight),
        _ERROR: tf.reduce_mean(tf.abs(found - value[:, 0]), 1),
    }


def loss_parts(net: Architecture, model: Unroll, batch: Tensors) -> dict[str, tf.Tensor]:
    """The losses float32 `[B]` of policy, value, reward and mover (who plays next), each over all K steps.

    batch: `positions.arranged`'s. What its masks leave out has neither a loss nor a gradient.
    """
    value = tf.reduce_mean(losses.of_number(net, model.value, batch["value"]), 2)  # [B, K + 1]
    reward = tf.reduce_mean(losses.of_number(net, model.reward, batch["reward"]), 2)  # [B, K]
    parts = {
        "policy": losses.mean_over_steps(losses.of_policy(model.policy, batch["policy"]), batch["policy_mask"], True),
        "value": losses.mean_over_steps(value, batch["value_mask"], True),
        "reward": losses.mean_over_steps(reward, batch["reward_mask"], False),
    }
    if net.spaces.players == 1:
        return {**parts, "mover": tf.zeros_like(parts["reward"])}
    mover = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["mover"], model.mover)  # [B, K]
    return {**parts, "mover": losses.mean_over_steps(mover, batch["mover_mask"], False)}


def _value_targets(net: Architecture, variables: Variables, batch: Tensors) -> tf.Tensor:
    """The values' targets `[B, K + 1, P]`; with a target network, its values of later observations are added."""
    if "later_obs" not in batch:
        return batch["value"]
    later = batch["later_obs"]  # [B, K + 1, ...]
    network = Network.of(net, variables.target)
    _, heads = network.predict(network.represent(tf.reshape(later, [-1, *later.shape[2:]])))
    shape = [-1, later.shape[1], net.spaces.players, net.outputs_of_number]
    return batch["value"] + batch["later_discount"][:, :, None] * losses.decoded(net, tf.reshape(heads, shape))


def _squares(variables: Variables) -> tf.Tensor:
    """The sum of squares of all kernels; without the biases."""
    kernels = [variable for name, variable in variables.trained.items() if name.endswith("/w")]
    return tf.add_n([tf.reduce_sum(tf.square(kernel)) for kernel in kernels])
