"""An algorithm as a value, which describes it to `kaimesh.algorithms.agent.NativeAgent`. No TensorFlow here.

Shape legend: B rows or trajectories; T steps of a trajectory; N slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.library import Library
from kaimesh.algorithms.networks.torso import Network
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.spaces import Spaces

if TYPE_CHECKING:
    from kaimesh.algorithms.learner import Learner

Columns = Mapping[str, np.ndarray]


class AgentConfig(Protocol):
    """The hyper-parameters that NativeAgent reads."""

    @property
    def unroll_length(self) -> int: ...
    @property
    def features(self) -> str: ...
    @property
    def seed(self) -> int: ...


N = TypeVar("N", bound=Network)
C = TypeVar("C", bound=AgentConfig)
C_contra = TypeVar("C_contra", bound=AgentConfig, contravariant=True)


class Model(Protocol[N, C_contra]):
    """A module that defines a network. N is its class Architecture, which describes one."""

    def architecture(self, spaces: Spaces, config: C_contra, /) -> N:
        """The network for `spaces`. Raises ValueError: there is none."""
        ...

    def initial_weights(self, net: N, config: C_contra, /) -> Weights:
        """Weights by name, from `config.seed` alone."""
        ...

    def header(self, net: N, /) -> dict[str, Any]:
        """The entries of a model file's header that describe the network behind the torso: plain data."""
        ...


class OnePassModel(Model[N, C_contra], Protocol[N, C_contra]):
    """The model of an algorithm that acts by one forward pass of its network."""

    def forward(
        self, net: N, library: Library, weights: Mapping[str, Any], obs: Any, /, *state: Any
    ) -> tuple[Any, ...]:
        """Outputs `[B, ...]` for observations `[B, ...]`, in NumPy or TensorFlow; an LSTM's next state comes last."""
        ...


class Player(Protocol):
    """Acts with a network. It has the first weights from the start."""

    def assign(self, weights: Weights, learns: int, /) -> None:
        """Takes new weights, which so many learns have made."""
        ...

    def act(self, columns: Columns, rng: np.random.Generator | None, /) -> dict[str, np.ndarray]:
        """Columns `[B, ...]`, `action` among them, for requests `[B, ...]`. rng: None takes the best action."""
        ...


Act = Callable[[N, C, Weights, Columns, Sequence[np.ndarray], np.random.Generator | None], dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Algorithm(Generic[N, C]):
    """One algorithm. Functions are described as (arguments) to (what they return).

    config: the class of its hyper-parameters, a frozen dataclass. table: where its samples go. model: its network, with
    `act` a OnePassModel.
    act: (net, config, weights, columns `[B, ...]`, outputs of `model.forward`, rng) to columns `[B, ...]`,
    `action` among them; rng: None takes the best action. player: (net, weights, config, monitor) to what acts, in place
    of `act` where it takes more than one forward pass; monitor: takes its metrics.
    learner: (net, weights, config) to a Learner. Only a learner's agent calls it, so it imports TensorFlow.
    model_format, state_format: names of the formats of its files, which are in their headers.
    remedies: by entry of `model.header`, what the user can change if a file has another value.
    sample_of: (config, columns of trajectories `[B, T(+1), ...]`) to the columns of the samples that are stored.
    collector: (spaces, config) to such a function of the columns alone, which remembers earlier trajectories; in place
    of `sample_of`.
    slot_columns: (config, numbers of slots int64 `[N]`, how many slots there are) to columns `[N, ...]` that never
    change.
    several_players: whether it learns from games of more than one player.
    counts_learns: whether a model's file says how many learns made it, for the player.
    """

    config: type[C]
    table: TableSpec
    model: Model[N, C]
    learner: Callable[[N, Weights, C], Learner]
    model_format: str
    state_format: str
    act: Act[N, C] | None = None
    player: Callable[[N, Weights, C, Monitor], Player] | None = None
    remedies: Mapping[str, str] = field(default_factory=dict)
    sample_of: Callable[[C, Columns], Columns] | None = None
    collector: Callable[[Spaces, C], Callable[[Columns], Columns]] | None = None
    slot_columns: Callable[[C, np.ndarray, int], dict[str, np.ndarray]] | None = None
    several_players: bool = False
    counts_learns: bool = False
