"""Hyper-parameters of PPO. The defaults learn CartPole; each can be set in the `[ppo]` table of conf/configure_app.toml."""

from __future__ import annotations

from kaimesh.algorithms.checks import problems


class Config:
    """Plain attributes; the paper is arXiv:1707.06347. What other tasks want:

    - gym:Pendulum-v1: gamma 0.9, reward_scale 0.1, epochs 10, minibatches 8 (-200 after some 0.3 million steps).
    - gym:LunarLander-v3: gamma 0.999, gae_lambda 0.98, reward_scale 0.1 (200 after some 1 million steps).
    - ale:<game>: learning_rate 2.5e-4, clip 0.1, unroll_length 128, with train_batch_size 8 in `[app]`, as in the paper.
    """

    # Data
    unroll_length = 64  # T: steps of one sample (a trajectory of one environment); a batch is train_batch_size of them
    gamma = 0.99  # discount per step
    gae_lambda = 0.95  # generalized advantage estimation: 0 is one-step, 1 is Monte Carlo
    reward_scale = 1.0  # rewards are multiplied by this; returns of some tens or less suit the value loss

    # What the network sees and is rewarded with: none, or a name that the environment offers (docs/realm.md)
    features = "none"

    # Network
    network = "auto"  # mlp | nature | impala | resnet (see networks/layers) | auto: nature for images of at least 36 x 36, else mlp
    hidden_sizes = (64, 64)  # of the mlp
    activation = "tanh"  # of the mlp: tanh | relu
    torso = "auto"  # of policy and value: separate | shared | auto: shared for a CNN or an LSTM, else separate
    lstm_size = 0  # units of an LSTM behind the torso, whose state the mesh carries along; 0: none. Minibatches are whole trajectories
    normalize_observations = False  # mlp: standardise by a running mean and deviation, which travel with the model
    initial_log_std = 0.0  # continuous actions: logarithm of the initial standard deviation, in units of the action

    # Update
    epochs = 4  # passes over each batch
    minibatches = 4  # per pass
    learning_rate = 1e-3
    learning_rate_schedule = "constant"  # constant | linear: down to 0 after total_learner_steps
    total_learner_steps = 0  # learns (batches) that the linear schedule spans
    max_grad_norm = 0.5  # global norm that gradients are clipped to; 0: not clipped
    adam_epsilon = 1e-5

    # Objective
    clip = 0.2  # of the probability ratio
    value_clip = 0.0  # of the new value's distance from the recorded one; 0: not clipped
    value_cost = 0.5  # weight of the value loss
    entropy_cost = 0.01  # weight of the entropy bonus
    normalize_advantages = True  # to mean 0 and deviation 1 in each minibatch
    target_kl = (
        0.03  # the rest of an update is skipped where the KL from the behaviour policy exceeds 1.5 x this; 0: never
    )

    seed = 0  # set from random_seed

    @classmethod
    def check(cls) -> list[str]:
        """What contradicts itself or is out of range, one sentence each with the consequence and the remedy."""
        return problems(
            "ppo",
            cls,
            at_least_1=("epochs", "minibatches"),
            within_0_and_1=("gamma", "gae_lambda"),
            above_0=("learning_rate", "clip", "adam_epsilon", "reward_scale"),
            not_below_0=("value_clip", "value_cost", "entropy_cost", "target_kl", "max_grad_norm"),
        )
