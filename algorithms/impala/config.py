"""Hyper-parameters of IMPALA. Each can be set in the `[impala]` table of conf/configure_app.toml; presets are in conf/algo_conf.toml."""

from __future__ import annotations

from kaimesh.algorithms.checks import problems


class Config:
    """Plain attributes; the paper is arXiv:1802.01561. Its Atari settings (appendix D.3, table D.1):

    unroll_length 20, train_batch_size 32 in `[app]`, reduction sum, optimizer rmsprop with learning_rate 6e-4 (linear),
    rmsprop_epsilon 0.01, rmsprop_decay 0.99, max_grad_norm 40, entropy_cost 0.01, value_cost 0.5, reward_clip abs_one.
    """

    # Data
    unroll_length = 20  # T: steps of one sample (a trajectory of one environment); a batch is train_batch_size of them
    gamma = 0.99  # discount per step
    reward_clip = "none"  # none | abs_one: to [-1, 1] | soft_asymmetric: 5 tanh(r / 5), the negative ones times 0.3
    reward_scale = 1.0  # rewards are multiplied by this, after clipping; returns of some units suit the value loss and the entropy cost

    # V-trace (see targets/vtrace): bounds of the ratio of the policy now to the one that acted
    rho_bar = 1.0  # in value targets: what policy's value is learned; the larger the closer to the policy's now
    c_bar = 1.0  # in the traces: how far back corrections travel
    pg_rho_bar = 1.0  # in the policy gradient
    vtrace_lambda = 1.0  # mix of n-step targets: 1 is the paper's, 0 is one-step

    # Of unrolls that replay_share replays, which are drawn by the size of their advantages
    importance_exponent = 0.4  # how far their weights in the loss make up for that: 0 not at all, 1 wholly

    # What the network sees and is rewarded with: none, or a name that the environment offers (docs/realm.md)
    features = "none"

    # Network
    network = "auto"  # mlp | nature | impala (the paper's shallow one) | resnet (its deep one) | auto: nature for images of at least 36 x 36, else mlp
    hidden_sizes = (64, 64)  # of the mlp
    activation = "tanh"  # of the mlp: tanh | relu
    torso = "auto"  # of policy and value: separate | shared | auto: shared for a CNN or an LSTM, else separate
    lstm_size = 0  # units of an LSTM behind the torso, whose state the mesh carries along (256 in the paper); 0: none
    normalize_observations = False  # mlp: standardise by a running mean and deviation, which travel with the model
    initial_log_std = 0.0  # continuous actions: logarithm of the initial standard deviation, in units of the action

    # Update: one gradient step for each batch
    optimizer = "adam"  # adam | rmsprop
    learning_rate = 1e-3
    learning_rate_schedule = "constant"  # constant | linear: down to 0 after total_learner_steps
    total_learner_steps = 0  # learns (batches) that the linear schedule spans
    max_grad_norm = 0.5  # global norm that gradients are clipped to; 0: not clipped
    adam_epsilon = 1e-5
    rmsprop_decay = 0.99  # of the running mean of squared gradients
    rmsprop_epsilon = 0.01  # inside the root
    rmsprop_momentum = 0.0

    # Objective
    reduction = (
        "mean"  # of the losses over a batch's steps: mean | sum: the paper's, whose rates, norms and epsilon go with it
    )
    value_cost = 0.5  # weight of the baseline's loss
    entropy_cost = 0.01  # weight of the entropy bonus

    seed = 0  # set from random_seed

    @classmethod
    def check(cls) -> list[str]:
        """What contradicts itself or is out of range, one sentence each with the consequence and the remedy."""
        found = problems(
            "impala",
            cls,
            choices={
                "reward_clip": ("none", "abs_one", "soft_asymmetric"),
                "optimizer": ("adam", "rmsprop"),
                "reduction": ("mean", "sum"),
            },
            within_0_and_1=("gamma", "vtrace_lambda", "rmsprop_decay", "importance_exponent"),
            above_0=(
                "learning_rate",
                "adam_epsilon",
                "rmsprop_epsilon",
                "reward_scale",
                "rho_bar",
                "c_bar",
                "pg_rho_bar",
            ),
            not_below_0=("value_cost", "entropy_cost", "max_grad_norm", "rmsprop_momentum"),
        )
        if cls.c_bar > cls.rho_bar:
            found.append(
                f"[impala] c_bar = {cls.c_bar} is above rho_bar = {cls.rho_bar}: V-trace's operator may not contract (the paper's "
                "theorem 1). Lower c_bar or raise rho_bar."
            )
        return found
