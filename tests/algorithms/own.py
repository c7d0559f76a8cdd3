"""An algorithm in one file: REINFORCE with a baseline, on the network that PPO and IMPALA have.

Williams 1992, Machine Learning 8, 229: `- log pi(a_t | s_t) (R_t - V(s_t))`. docs/how_to_add/algorithm.md explains it.

Shape legend: T steps of a trajectory, B trajectories.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import tensorflow as tf

from kaimesh.algorithms.actor_critic import model
from kaimesh.algorithms.actor_critic.acting import act
from kaimesh.algorithms.actor_critic.model import Architecture
from kaimesh.algorithms.agent import NativeAgent
from kaimesh.algorithms.algorithm import Algorithm
from kaimesh.algorithms.checks import TORSOS, problems
from kaimesh.algorithms.learner import Learner, Optimizer, Tensors, Variables, gradients
from kaimesh.algorithms.networks.differentiable import flat, statistics, unroll
from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.optimizers.adam import Adam
from kaimesh.algorithms.targets.gae import gae
from kaimesh.contract.agent import TableSpec


@dataclass(frozen=True, kw_only=True)
class Config:
    """The hyper-parameters; the frames of agent, network and learner read all but value_cost."""

    unroll_length: int = 16
    gamma: float = 0.99
    features: str = "none"
    network: str = "mlp"
    hidden_sizes: tuple[int, ...] = (32,)
    activation: str = "tanh"
    torso: str = "separate"
    lstm_size: int = 0
    normalize_observations: bool = False
    initial_log_std: float = 0.0
    learning_rate: float = 1e-2
    learning_rate_schedule: str = "constant"
    total_learner_steps: int = 0
    max_grad_norm: float = 1.0
    value_cost: float = 0.5
    seed: int = 0

    def check(self) -> list[str]:
        """What is out of range, in sentences."""
        return problems(self, choices=TORSOS, at_least_2=("unroll_length",), above_0=("learning_rate",))


def update(
    net: Architecture,
    config: Config,
    variables: Variables,
    optimizer: Optimizer,
    batch: Tensors,
    learning_rate: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """One gradient step on the trajectories of a batch."""
    flags = (batch[name] for name in ("terminated", "truncated", "mask"))
    targets = gae(batch["value"], batch["reward"], *flags, gamma=config.gamma, gae_lambda=1.0)
    advantage, value_target, mask = (flat(x) for x in (*targets, batch["mask"]))  # [T * B]
    with tf.GradientTape() as tape:
        head, value = unroll(partial(model.forward, net), variables.online, batch["obs"][:-1], None, None)
        log_std = variables.online.get("policy/log_std")
        now = statistics(flat(head), log_std, flat(batch["action"][:-1]), None)
        loss = -now.log_prob * advantage + config.value_cost * tf.square(value_target - flat(value))
        total_loss = tf.reduce_mean(tf.boolean_mask(loss, mask))
    gradient, norm = gradients(tape, total_loss, variables, config.max_grad_norm)
    finite = tf.math.is_finite(total_loss + norm)
    tf.cond(finite, lambda: optimizer.apply(gradient, learning_rate), lambda: None)
    return {"total_loss": total_loss, "grad_norm": norm}


def learner(net: Architecture, weights: Weights, config: Config) -> Learner:
    """What an agent of type "learner" learns with."""
    return Learner(net, weights, config, acted=("value",), optimizer=Adam, update=partial(update, net, config))


ALGORITHM = Algorithm(
    config=Config,
    table=TableSpec(kind="queue", rows_per_item=1),
    model=model,
    act=act,
    learner=learner,
    model_format="reinforce 1",
    state_format="reinforce training state 1",
)


class Agent(NativeAgent):
    """What `[own]` of the registry names."""

    algorithm = ALGORITHM
