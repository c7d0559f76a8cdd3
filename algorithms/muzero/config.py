"""Hyper-parameters of MuZero. The table `[muzero]` of conf/configure_app.toml sets any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kaimesh.algorithms.checks import problems
from kaimesh.algorithms.muzero.symmetries import AUTO
from kaimesh.contract.symmetry import KINDS

MOVES = "moves"  # column, an agent's state in aisrv: moves of the episode so far
ROWS = 64  # that are searched at once; more are searched in pieces
NETWORKS = ("auto", "mlp", "residual")
_CHOICES = {
    "network": NETWORKS,
    "search": ("puct", "ucb", "gumbel"),
    "normalise": ("tree", "bounds", "siblings"),
    "bootstrap": ("search", "target"),
    "temperature_by": ("learns", "moves"),
    "symmetries": (AUTO, *KINDS),
}
_SIZES = {
    **dict.fromkeys(("simulations", "exploit_simulations"), 100_000),  # nodes of each of ROWS trees
    **dict.fromkeys(("latent_size", "considered", "positions_per_game"), 65_536),
    **{"channels": 4_096, "blocks": 256, "scalar_support_size": 10_000, "unroll_steps": 1_000, "n_step": 1_000_000},
    **dict.fromkeys(("window", "sync_batch"), 1_000_000),
    **dict.fromkeys(("sync_games", "sync_memory"), 100_000_000),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """How samples are drawn is set in `[app]`: train_batch_size (games or windows of a batch), reverb_sampler,
    reverb_samples_per_insert, preload_ratio.
    """

    # Data: a sample is a game, or a window of one that is longer
    unroll_length: int = 8  # steps after which an aisrv looks whether games have ended
    window: int = 64  # positions of a sample that are drawn; a game of at most so many is one sample
    n_step: int = 10  # rewards in a value's target before it goes on with the search's value; 0: to the game's end
    gamma: float = 0.997  # discount per step
    bootstrap: str = "search"  # the value that a target goes on with: search (of the actor) | target (target network)
    positions_per_game: int = 4  # positions of a batch for each game in it
    # Of the board, drawn for each position: auto (as the game declares) | none | mirror (left and right) | square (all
    # eight) | diagonals (the four that keep them)
    symmetries: str = AUTO

    # Search
    simulations: int = 50  # of each move that is learned from
    exploit_simulations: int = 0  # of each move without exploration; 0: as many
    search: str = "puct"  # puct | ucb (the simplified rule) | gumbel (arXiv of Gumbel MuZero: ICLR 2022)
    normalise: str = (
        "tree"  # of q in the search, by: tree (what it has seen) | bounds (value_min, value_max) | siblings
    )
    value_min: float = -1.0  # normalise = bounds: no return is below
    value_max: float = 1.0  # normalise = bounds: no return is above
    considered: int = 16  # gumbel: actions that are considered at the root
    noise_alpha: float = 0.25  # of the root's Dirichlet noise, about 10 / number of legal moves
    noise_share: float = 0.25  # of the noise in the root's prior; 0: none

    # Choice of the move by its visits, `visits ^ (1 / temperature)`
    temperature: float = 1.0  # at first
    temperature_by: str = "learns"  # learns: half of it, then a quarter, from 50 % and 75 % of total_learner_steps on
    temperature_moves: int = 30  # temperature_by = moves: from this move of a game on, the most visited one
    random_moves: float = 0.0  # share of moves that are random among the legal ones; they are learned from as others

    # What the network sees and is rewarded with: none, or a name that the environment offers (docs/realm.md)
    features: str = "none"

    # Network
    network: str = "auto"  # mlp | residual (convolutions) | auto: residual for images from 36 x 36 pixels on, else mlp
    hidden_sizes: tuple[int, ...] = (64,)  # mlp: layers of representation, of dynamics and of prediction
    latent_size: int = 64  # mlp: numbers of a latent state
    channels: int = 32  # residual: of all convolutions
    blocks: int = 2  # residual: in representation, and in dynamics
    scalar_support_size: int = 0  # value and reward as distributions over -S..S; 0: as one number, by the squared error
    scalar_transform: bool = True  # large returns are learned as small numbers (h of the paper); boards need none
    normalize_observations: bool = False  # mlp: standardise by a running mean and deviation, stored in the model

    # Update
    unroll_steps: int = 5  # K: steps of the model from each position
    value_weight: float = 0.25  # of the value's loss; 1 for board games
    reward_scale: float = 1.0  # rewards are multiplied by this
    target_period: int = 200  # bootstrap = target: learns after which the target network becomes the online one
    learning_rate: float = 1e-3
    learning_rate_schedule: str = "constant"  # constant | linear: down to 0 after total_learner_steps
    total_learner_steps: int = 0  # learns of the whole run, for the schedules of learning rate and temperature
    max_grad_norm: float = 10.0  # global norm that gradients are clipped to; 0: not clipped
    adam_epsilon: float = 1e-5
    l2: float = 1e-4  # share of the weights' sum of squares in the loss
    weight_average: float = 0.0  # decay of the weights' moving average, which acts and is dumped; 0: the newest ones do
    weight_decay: float = (
        0.0  # share of each weight that a learn takes away, times the learning rate, after Adam's step
    )

    # Prioritised replay, with reverb_sampler = "reverb.selectors.Prioritized"
    importance_exponent: float = 0.4  # beta: 0 leaves the bias of drawing by priority, 1 takes it all away
    importance_exponent_final: float = 1.0  # reached after total_learner_steps; 0 of these: it stays
    priority_max_share: float = 0.9  # share of the largest error of a game's positions in its priority; else the mean
    priority_floor: float = 1e-3  # added to each priority, so that every sample can be drawn

    # With wrapper_type = "local" (one process) a learn is a round: games are played, then learned from
    sync_games: int = 64  # games of a round
    sync_learns: int = 64  # updates of a round
    sync_memory: int = 5000  # games that are kept
    sync_batch: int = 64  # games of a batch
    sync_reanalyse: float = 0.0  # share of the kept games that each round searches again before it learns

    seed: int = 0  # set from random_seed

    local_keys: ClassVar[tuple[str, ...]] = ("sync_games", "sync_learns", "sync_memory", "sync_batch", "sync_reanalyse")

    @property
    def activation(self) -> str:
        """Of all layers; the compiled search knows no other."""
        return "relu"

    @property
    def lstm_size(self) -> int:
        """0: the latent state is what a model remembers."""
        return 0

    @property
    def row_length(self) -> int:
        """L: positions of a stored sample. Those behind `window` are there for the targets of the ones before."""
        return self.window + (self.unroll_steps + self.n_step if self.n_step else 0)

    def unused(self) -> dict[str, str]:
        """Hyper-parameters that do nothing beside the others, each with the reason."""
        found: dict[str, str] = {}
        if self.normalise != "bounds":
            found |= dict.fromkeys(("value_min", "value_max"), f"normalise is {self.normalise}")
        if self.search == "gumbel":
            found |= dict.fromkeys(("noise_alpha", "noise_share"), "Gumbel MuZero explores by its own noise")
        else:
            found["considered"] = f"search is {self.search}"
        if self.temperature_by != "moves":
            found["temperature_moves"] = f"temperature_by is {self.temperature_by}"
        if self.bootstrap != "target":
            found["target_period"] = f"bootstrap is {self.bootstrap}"
        return found

    def check(self) -> list[str]:
        """A sentence for each contradiction and each value out of range, with the consequence and the remedy."""
        sync = (key for key in self.local_keys if key != "sync_reanalyse")
        counts = (*sync, "unroll_length", "window", "positions_per_game", "simulations", "considered", "latent_size")
        found = problems(
            self,
            choices=_CHOICES,
            at_least_1=(*counts, "channels", "blocks", "unroll_steps", "target_period", "temperature_moves"),
            within_0_and_1=("gamma", "noise_share", "random_moves", "priority_max_share", *_SHARES),
            above_0=("learning_rate", "adam_epsilon", "reward_scale", "priority_floor", "noise_alpha", "value_weight"),
            not_below_0=(
                *("n_step", "exploit_simulations", "scalar_support_size", "max_grad_norm", "l2", "weight_decay"),
                "temperature",
            ),
            at_most=_SIZES,
        )
        if self.normalise == "bounds" and not self.value_min < self.value_max:
            found.append(
                f"value_min = {self.value_min}, value_max = {self.value_max}: no value lies between them, so the "
                "search could not compare moves. Set value_min below value_max."
            )
        if self.weight_average == 1:
            found.append(
                "weight_average = 1: the average would stay at the first weights for ever, so nobody would see what "
                "was learned. Set it below 1, such as 0.998."
            )
        if self.l2 > 0 and self.weight_decay > 0:
            found.append(
                f"l2 = {self.l2} with weight_decay = {self.weight_decay}: both draw the weights towards 0, so their "
                "strength would be neither. Set one of them to 0."
            )
        return found


_SHARES = ("weight_average", "sync_reanalyse", "importance_exponent", "importance_exponent_final")
