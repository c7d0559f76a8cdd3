"""Hyper-parameters of IMPALA. The table `[impala]` of conf/configure_app.toml overrides them."""

from __future__ import annotations

from dataclasses import dataclass

from kaimesh.algorithms.checks import TORSOS, lstm_of_two_torsos, problems, schedule_unused

_OF_OPTIMIZERS = {
    "adam": ("adam_epsilon",),
    "rmsprop": ("rmsprop_decay", "rmsprop_epsilon", "rmsprop_momentum"),
}
_BOUNDS = ("rho_bar", "c_bar", "pg_rho_bar")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper is arXiv:1802.01561. Its Atari settings (appendix D.3, table D.1):

    unroll_length 20, train_batch_size 32 in `[app]`, reduction sum, optimizer rmsprop with learning_rate 6e-4 (linear),
    rmsprop_epsilon 0.01, rmsprop_decay 0.99, max_grad_norm 40, entropy_cost 0.01, value_cost 0.5, reward_clip abs_one.
    """

    # Data
    unroll_length: int = 20  # T: steps of a sample, a trajectory of one environment; train_batch_size of them a batch
    gamma: float = 0.99  # discount per step
    reward_clip: str = "none"  # none | abs_one: to [-1, 1] | soft_asymmetric: 5 tanh(r / 5), negative ones times 0.3
    reward_scale: float = 1.0  # rewards are multiplied by this, after clipping; returns of some units suit the losses

    # V-trace (see targets/vtrace): bounds of the ratio of the policy now to the one that acted
    rho_bar: float = 1.0  # in value targets: what policy's value is learned; the larger the closer to the policy's now
    c_bar: float = 1.0  # in the traces: how far back corrections travel
    pg_rho_bar: float = 1.0  # in the policy gradient
    vtrace_lambda: float = 1.0  # mix of n-step targets: 1 is the paper's, 0 is one-step

    # Replayed unrolls (replay_share), which are drawn by the size of their advantages
    importance_exponent: float = 0.4  # how far their weights in the loss make up for that: 0 not at all, 1 wholly

    # What the network sees and is rewarded with: none, or a name that the environment offers (docs/realm.md)
    features: str = "none"

    # Network
    network: str = "auto"  # mlp | nature | impala (the paper's shallow one) | resnet (its deep one) | auto: as in PPO
    hidden_sizes: tuple[int, ...] = (64, 64)  # of the mlp
    activation: str = "tanh"  # of the mlp: tanh | relu
    torso: str = "auto"  # of policy and value: separate | shared | auto: shared for a CNN or an LSTM, else separate
    lstm_size: int = 0  # units of an LSTM behind the torso (256 in the paper); 0: none
    normalize_observations: bool = False  # mlp: standardise by a running mean and deviation, stored in the model
    initial_log_std: float = 0.0  # continuous actions: log of the initial standard deviation; bounds are -1 and 1

    # Update: one gradient step for each batch
    optimizer: str = "adam"  # adam | rmsprop
    learning_rate: float = 1e-3
    learning_rate_schedule: str = "constant"  # constant | linear: down to 0 after total_learner_steps
    total_learner_steps: int = 0  # learns (batches) that the linear schedule spans
    max_grad_norm: float = 0.5  # global norm that gradients are clipped to; 0: not clipped
    adam_epsilon: float = 1e-5
    rmsprop_decay: float = 0.99  # of the running mean of squared gradients
    rmsprop_epsilon: float = 0.01  # inside the root
    rmsprop_momentum: float = 0.0

    # Objective
    reduction: str = "mean"  # of the losses over a batch's steps: mean | sum (the paper's, with its rate and norm)
    value_cost: float = 0.5  # weight of the baseline's loss
    entropy_cost: float = 0.01  # weight of the entropy bonus

    seed: int = 0  # set from random_seed

    def unused(self) -> dict[str, str]:
        """Hyper-parameters that do nothing beside the others, each with the reason."""
        others = _OF_OPTIMIZERS.keys() - {self.optimizer}
        why = f"optimizer is {self.optimizer}"
        return schedule_unused(self) | {key: why for other in others for key in _OF_OPTIMIZERS[other]}

    def check(self) -> list[str]:
        """A sentence for each contradiction and each value out of range, with the consequence and the remedy."""
        found = problems(
            self,
            choices={
                **TORSOS,
                "reward_clip": ("none", "abs_one", "soft_asymmetric"),
                "optimizer": ("adam", "rmsprop"),
                "reduction": ("mean", "sum"),
            },
            at_least_2=("unroll_length",),
            within_0_and_1=("gamma", "vtrace_lambda", "rmsprop_decay", "importance_exponent"),
            above_0=("learning_rate", "adam_epsilon", "rmsprop_epsilon", "reward_scale", *_BOUNDS),
            not_below_0=("lstm_size", "value_cost", "entropy_cost", "max_grad_norm", "rmsprop_momentum"),
        ) + lstm_of_two_torsos(self)
        if self.c_bar > self.rho_bar:
            found.append(
                f"c_bar = {self.c_bar} is above rho_bar = {self.rho_bar}: V-trace's operator may not contract, so "
                "values may never settle (the paper's theorem 1). Lower c_bar or raise rho_bar."
            )
        return found
