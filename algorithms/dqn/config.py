"""Hyper-parameters of DQN. The table `[dqn]` of conf/configure_app.toml (or `[target_dqn]`) sets any of them."""

from __future__ import annotations

from dataclasses import dataclass

from kaimesh.algorithms.checks import problems


@dataclass(frozen=True, kw_only=True)
class Config:
    """How samples are drawn is set in `[app]`: reverb_sampler (Prioritized or Uniform), reverb_priority_exponent,
    reverb_samples_per_insert (how often each step is learned from), preload_ratio (what the first learn waits for).
    """

    # Data
    unroll_length: int = 8  # T: steps of a sample, a trajectory of one environment; train_batch_size of them a batch
    n_step: int = 3  # rewards in a target before it goes on with the network's value
    gamma: float = 0.99  # discount per step
    reward_scale: float = 1.0  # rewards are multiplied by this

    # Exploration: the environments of all aisrv are numbered 0...N-1; that of number i takes a random action with the
    # probability epsilon ^ (1 + epsilon_ladder i / (N - 1))
    epsilon: float = 0.4
    epsilon_ladder: float = 7.0  # alpha; 0: all alike

    # What the network sees and is rewarded with: none, or a name that the environment offers (docs/realm.md)
    features: str = "none"

    # Network
    network: str = "auto"  # mlp | nature | impala | resnet | auto: nature for images from 36 x 36 pixels on, else mlp
    hidden_sizes: tuple[int, ...] = (128, 128)  # of the mlp
    activation: str = "relu"  # of the mlp: tanh | relu
    lstm_size: int = 0  # units of an LSTM behind the torso; 0: none
    normalize_observations: bool = False  # mlp: standardise by a running mean and deviation, stored in the model
    dueling: bool = True  # a value and advantages behind the torso, instead of action values
    atoms: int = 1  # of C51's distribution of returns; 51 in the paper; 1: expected returns only
    value_min: float = -10.0  # C51: the atoms lie between these, so returns should too
    value_max: float = 10.0

    # Update
    double: bool = True  # the target's action is the online network's best, not the target network's
    target_period: int = 200  # learns after which the target network becomes the online one; without target_rate
    target_rate: float = 0.0  # Polyak: above 0, each learn moves the target network this share of the way
    learning_rate: float = 5e-4
    learning_rate_schedule: str = "constant"  # constant | linear: down to 0 after total_learner_steps
    total_learner_steps: int = 0  # learns (batches) that the linear schedule and that of the importance weights span
    max_grad_norm: float = 10.0  # global norm that gradients are clipped to; 0: not clipped
    adam_epsilon: float = 1e-5
    huber_delta: float = 1.0  # errors beyond this count linearly; 0: the square of all

    # Prioritised replay
    importance_exponent: float = 0.4  # beta: 0 leaves the bias of drawing by priority, 1 takes it all away
    importance_exponent_final: float = 1.0  # reached after total_learner_steps; 0 of these: it stays
    priority_max_share: float = 0.9  # eta: share of the largest error in a trajectory's priority; the rest is the mean
    priority_floor: float = 1e-3  # added to each priority, so that every sample can be drawn

    seed: int = 0  # set from random_seed

    def unused(self) -> dict[str, str]:
        """Hyper-parameters that do nothing beside the others, each with the reason."""
        found = {"target_period": "target_rate is above 0"} if self.target_rate > 0 else {}
        distributed = {"huber_delta": "with atoms > 1 the loss is the cross entropy"}
        expected = dict.fromkeys(("value_min", "value_max"), "atoms is 1")
        return found | (expected if self.atoms == 1 else distributed)

    def check(self) -> list[str]:
        """A sentence for each contradiction and each value out of range, with the consequence and the remedy."""
        exponents = ("importance_exponent", "importance_exponent_final")
        found = problems(
            self,
            at_least_1=("unroll_length", "n_step", "target_period", "atoms"),
            within_0_and_1=("gamma", "epsilon", "target_rate", *exponents, "priority_max_share"),
            above_0=("learning_rate", "adam_epsilon", "reward_scale", "priority_floor"),
            not_below_0=("max_grad_norm", "huber_delta", "epsilon_ladder", "lstm_size"),
            at_most={"atoms": 65_536},
        )
        if self.n_step > self.unroll_length:
            found.append(
                f"n_step = {self.n_step} with unroll_length = {self.unroll_length}: no target would ever have so many "
                "steps. Lower the first or raise the second."
            )
        if self.atoms > 1 and not self.value_min < self.value_max:
            found.append(
                f"value_min = {self.value_min}, value_max = {self.value_max}: the {self.atoms} atoms would have no "
                "room between them. Set value_min below value_max."
            )
        return found
