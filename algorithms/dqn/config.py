"""Hyper-parameters of DQN. Each can be set in the `[dqn]` table of conf/configure_app.toml (`[target_dqn]` with that algorithm)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kaimesh.algorithms.networks.torso import NETWORKS


class Config:
    """Plain attributes.

    How samples are drawn is said by keys of `[app]`: reverb_sampler (Prioritized or Uniform), reverb_priority_exponent,
    reverb_samples_per_insert (how often each step is learned from), preload_ratio (what is there before the first learn).
    """

    # Data
    unroll_length = 8  # T: steps of one sample (a trajectory of one environment); a batch is train_batch_size of them
    n_step = 3  # rewards in a target before it goes on with the network's value
    gamma = 0.99  # discount per step
    reward_scale = 1.0  # rewards are multiplied by this

    # Exploration: the environments of all aisrv are numbered 0...N-1; that of number i takes a random action with the
    # probability epsilon ^ (1 + epsilon_ladder i / (N - 1))
    epsilon = 0.4
    epsilon_ladder = 7.0  # alpha; 0: all alike

    # What the network sees and is rewarded with: none, or a name that the environment offers (docs/realm.md)
    features = "none"

    # Network
    network = "auto"  # mlp | nature | impala | resnet (see networks/layers) | auto: nature for images of at least 36 x 36, else mlp
    hidden_sizes = (128, 128)  # of the mlp
    activation = "relu"  # of the mlp: tanh | relu
    lstm_size = 0  # units of an LSTM behind the torso, whose state the mesh carries along; 0: none
    normalize_observations = False  # mlp: standardise by a running mean and deviation, which travel with the model
    dueling = True  # a value and advantages behind the torso, instead of action values
    atoms = 1  # of C51's distribution of returns; 51 in the paper; 1: expected returns only
    value_min = -10.0  # C51: the atoms lie between these, so returns should too
    value_max = 10.0

    # Update
    double = True  # the target's action is the online network's best, not the target network's
    target_period = 200  # learns after which the target network becomes the online one; without target_rate
    target_rate = (
        0.0  # Polyak: above 0, the target network goes this share of the way to the online one with each learn
    )
    learning_rate = 5e-4
    learning_rate_schedule = "constant"  # constant | linear: down to 0 after total_learner_steps
    total_learner_steps = 0  # learns (batches) that the linear schedule and that of the importance weights span
    max_grad_norm = 10.0  # global norm that gradients are clipped to; 0: not clipped
    adam_epsilon = 1e-5
    huber_delta = 1.0  # errors beyond this count linearly; 0: the square of all

    # Prioritised replay
    importance_exponent = 0.4  # beta: 0 leaves the bias of drawing by priority, 1 takes it all away
    importance_exponent_final = 1.0  # reached after total_learner_steps; without these, importance_exponent stays
    priority_max_share = 0.9  # eta: a trajectory's priority is this of its largest error and the rest of its mean error
    priority_floor = 1e-3  # added to each priority, so that every sample is drawn now and then

    seed = 0  # set from random_seed

    @classmethod
    def check(cls) -> list[str]:
        """What contradicts itself or is out of range, one sentence each with the consequence and the remedy."""
        choices = {
            "network": NETWORKS,
            "activation": ("tanh", "relu"),
            "learning_rate_schedule": ("constant", "linear"),
        }

        def found(keys: str, fine: Callable[[Any], bool], consequence: str) -> list[str]:
            values = {key: getattr(cls, key) for key in keys.split()}
            return [f"dqn: {key} = {value!r}{consequence}" for key, value in values.items() if not fine(value)]

        return [
            *(f for k, known in choices.items() for f in found(k, lambda v: v in known, f" is unknown. Use one of {', '.join(known)}.")),  # noqa: B023
            *found("unroll_length n_step target_period atoms", lambda v: v >= 1, ": nothing would be learned. Set at least 1."),
            *found("gamma epsilon target_rate", lambda v: 0 <= v <= 1, " is out of range. Set it within [0, 1]."),
            *found(
                "importance_exponent importance_exponent_final priority_max_share",
                lambda v: 0 <= v <= 1,
                " is out of range. Set it within [0, 1].",
            ),
            *found("learning_rate adam_epsilon reward_scale priority_floor", lambda v: v > 0, ": must be above 0."),
            *found("max_grad_norm huber_delta epsilon_ladder lstm_size", lambda v: v >= 0, " is negative. Set 0 to switch it off."),
            *cls._contradictions(),
        ]  # fmt: skip

    @classmethod
    def _contradictions(cls) -> list[str]:
        found = []
        if not cls.hidden_sizes or any(type(size) is not int or size < 1 for size in cls.hidden_sizes):
            found.append(f"dqn: hidden_sizes = {cls.hidden_sizes}: give at least one positive integer, like [64, 64].")
        if cls.n_step > cls.unroll_length:
            found.append(
                f"dqn: n_step = {cls.n_step} with unroll_length = {cls.unroll_length}: no target would ever have so many steps. Lower "
                "the first or raise the second."
            )
        if cls.atoms > 1 and not cls.value_min < cls.value_max:
            found.append(
                f"dqn: value_min = {cls.value_min}, value_max = {cls.value_max}: there is nothing between them."
            )
        if cls.learning_rate_schedule == "linear" and cls.total_learner_steps < 1:
            found.append(
                f"dqn: learning_rate_schedule = linear with total_learner_steps = {cls.total_learner_steps}: the rate would be 0 from "
                "the start. Set total_learner_steps to the learns of the whole run, or the schedule to constant."
            )
        return found
