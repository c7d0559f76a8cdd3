"""Hyper-parameters of PPO. The defaults learn CartPole; the table `[ppo]` of conf/configure_app.toml sets others."""

from __future__ import annotations

from dataclasses import dataclass

from kaimesh.algorithms.checks import TORSOS, lstm_of_two_torsos, problems, schedule_unused


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper is arXiv:1707.06347. What other tasks want:

    - gym:Pendulum-v1: gamma 0.9, reward_scale 0.1, epochs 10, minibatches 8 (-200 after some 0.2 million steps).
    - gym:LunarLander-v3: gamma 0.999, gae_lambda 0.98, reward_scale 0.1 (200 after some 1 million steps).
    - ale:<game>: learning_rate 2.5e-4, clip 0.1, unroll_length 128, train_batch_size 8 in `[app]`, as in the paper.
    """

    # Data
    unroll_length: int = 64  # T: steps of a sample, a trajectory of one environment; train_batch_size of them a batch
    gamma: float = 0.99  # discount per step
    gae_lambda: float = 0.95  # generalized advantage estimation: 0 is one-step, 1 is Monte Carlo
    reward_scale: float = 1.0  # rewards are multiplied by this; returns up to some tens suit the value loss

    # What the network sees and is rewarded with: none, or a name that the environment offers (docs/realm.md)
    features: str = "none"

    # Network
    network: str = "auto"  # mlp | nature | impala | resnet | auto: nature for images from 36 x 36 pixels on, else mlp
    hidden_sizes: tuple[int, ...] = (64, 64)  # of the mlp
    activation: str = "tanh"  # of the mlp: tanh | relu
    torso: str = "auto"  # of policy and value: separate | shared | auto: shared for a CNN or an LSTM, else separate
    lstm_size: int = 0  # units of an LSTM behind the torso, 0: none. With it, minibatches are whole trajectories
    normalize_observations: bool = False  # mlp: standardise by a running mean and deviation, stored in the model
    initial_log_std: float = 0.0  # continuous actions: log of the initial standard deviation; bounds are -1 and 1

    # Update
    epochs: int = 4  # passes over each batch
    minibatches: int = 4  # per pass
    learning_rate: float = 1e-3
    learning_rate_schedule: str = "constant"  # constant | linear: down to 0 after total_learner_steps
    total_learner_steps: int = 0  # learns (batches) that the linear schedule spans
    max_grad_norm: float = 0.5  # global norm that gradients are clipped to; 0: not clipped
    adam_epsilon: float = 1e-5

    # Objective
    clip: float = 0.2  # of the probability ratio
    value_clip: float = 0.0  # of the new value's distance from the recorded one; 0: not clipped
    value_cost: float = 0.5  # weight of the value loss
    entropy_cost: float = 0.01  # weight of the entropy bonus
    normalize_advantages: bool = True  # to mean 0 and deviation 1 in each minibatch
    target_kl: float = 0.03  # an update ends early when the KL from the behaviour policy exceeds 1.5 x this; 0: never

    seed: int = 0  # set from random_seed

    def unused(self) -> dict[str, str]:
        """Hyper-parameters that do nothing beside the others, each with the reason."""
        return schedule_unused(self)

    def check(self) -> list[str]:
        """A sentence for each contradiction and each value out of range, with the consequence and the remedy."""
        return problems(
            self,
            choices=TORSOS,
            at_least_1=("epochs", "minibatches"),
            at_least_2=("unroll_length",),
            within_0_and_1=("gamma", "gae_lambda"),
            above_0=("learning_rate", "clip", "adam_epsilon", "reward_scale"),
            not_below_0=("lstm_size", "value_clip", "value_cost", "entropy_cost", "target_kl", "max_grad_norm"),
        ) + lstm_of_two_torsos(self)
