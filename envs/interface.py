"""What the mesh needs of an environment: `MeshEnv`, which vectorised workflows step; and what it may have, `Offers`.

The environment as Kaiwu's workflows use it is `kaimesh.contract.kaiwu.KaiwuEnv`.

All of `Offers` is optional. An environment declares it by keys of gymnasium's `metadata`, of its class or of the
instance; `Offers.of` reads them once, and no other code looks at them:

| key of `metadata` | value |
|---|---|
| `legal_actions` | true if every info has "legal_act": for each action a bool, or 0 or 1, whether it is allowed now |
| `slot_seeds` | true if `reset` of a vector environment takes a list of seeds, one for each slot |
| `frame_stack` | K, if an observation is a stack `[K, ...]` of the K newest frames (contract/stacking) |
| `players` | P, how many players take turns (envs/players); 1 where it is not there |
| `parts` | the `kaimesh.agent.Part`s of an observation that is flat bytes |
| `symmetry` | the kind of the images of its board that are worth the same (contract/symmetry) |
| `success_return` | the return from which an episode counts as a success |
| `features` | `<module>:<name>` of a mapping: name -> function(number of slots, Spaces) -> `kaimesh.agent.Features` |
| `facade` | `<module>:<name>` of a function that makes a KaiwuEnv, used instead of the general one |
| `face` | `<module>:<name>` of a function: MeshEnv -> its `contract.face.Face`, for playing in a terminal |
| `story` | `<module>:<name>` of a function: MeshEnv -> its `contract.story.Story`, an episode as data for a page |
| `evaluation_options` | `<module>:<name>` of a sequence of EvaluationOption: more options of tools/evaluate.sh |
| `exact` | `<module>:<name>` of a function that makes an Exact: what each action is worth with perfect play |

What is named as `<module>:<name>` is imported where it is used. So a game is one package, and no other code names it.
The methods by which an environment may tell an evaluation more are in envs/reports.py.

Shape legend: N slots (environments that are stepped together); A actions; P players; `...` one observation.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium.vector import VectorEnv

from kaimesh.contract.agent import Features
from kaimesh.contract.declared import MAX_PLAYERS
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.face import Face
from kaimesh.contract.json_text import number
from kaimesh.contract.kaiwu import KaiwuEnv
from kaimesh.contract.spaces import Part, Spaces
from kaimesh.contract.story import Story
from kaimesh.contract.symmetry import KINDS, UNSAID

LEGAL_ACTIONS, SLOT_SEEDS, FRAME_STACK = "legal_actions", "slot_seeds", "frame_stack"
PARTS, SUCCESS_RETURN, PLAYERS, SYMMETRY = "parts", "success_return", "players", "symmetry"
FEATURES, FACADE, FACE, STORY, EVALUATION_OPTIONS = "features", "facade", "face", "story", "evaluation_options"
EXACT = "exact"
_NAMED = (FEATURES, FACADE, FACE, STORY, EVALUATION_OPTIONS, EXACT)

Infos = dict[str, Any]  # gymnasium's: what an environment tells beside observations and rewards
Seed = int | Sequence[int] | None
Stepped = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Infos]


class MeshEnv(Protocol):
    """A vector environment of N slots, with the mesh's dtypes; `envs.make_vector` and `envs.featured` return one.

    app: its name in the configuration. offers: what it declares of itself. spaces: what a network sees of it.

    After every reset and step: `legal_actions`, bool `[N, A]`, or None where the environment forbids no action;
    `true_rewards`, float32 `[N]`, the rewards before any clipping or shaping, whose sum is an episode's return; and
    `aborted`, bool `[N]`, the slots whose environment failed in this step, or None: none did (envs/renewal).

    With more than one player, also `to_play`, int8 `[N]`, who moves next, 0..P-1 (at the end of an episode it means
    nothing); and `player_rewards`, float32 `[N, P]`, what each player got by this step, before any shaping, whose sums
    are an episode's returns; `earned`, float32 `[N, P]`, the same as it is learned from, clipped or shaped.
    `true_rewards` are then those of who moved. With one player these three are None.
    """

    app: str
    offers: Offers

    @property
    def num_envs(self) -> int:
        """The number of slots, N."""

    @property
    def spaces(self) -> Spaces:
        """What a network sees."""

    @property
    def legal_actions(self) -> np.ndarray | None:
        """bool `[N, A]`, or None."""

    @property
    def true_rewards(self) -> np.ndarray:
        """float32 `[N]`."""

    @property
    def aborted(self) -> np.ndarray | None:
        """bool `[N]`, or None."""

    @property
    def to_play(self) -> np.ndarray | None:
        """int8 `[N]`, or None."""

    @property
    def player_rewards(self) -> np.ndarray | None:
        """float32 `[N, P]`, or None."""

    @property
    def earned(self) -> np.ndarray | None:
        """float32 `[N, P]`, or None."""

    @property
    def render_mode(self) -> str | None:
        """gymnasium's, that it was made with."""

    @property
    def unwrapped(self) -> VectorEnv:
        """The environment itself, below every wrapper."""

    def reset(self, *, seed: Seed = None) -> tuple[np.ndarray, Infos]:
        """Starts an episode in every slot; returns observations `[N, ...]` and infos. seed: of all, or of each slot."""

    def step(self, actions: np.ndarray) -> Stepped:
        """Observations `[N, ...]`, rewards float32 `[N]`, terminated and truncated bool `[N]`, infos. Of environments
        that are stepped one after the other, infos only hold "legal_act".

        A slot whose episode ended in the step before ignores its action, and returns the first observation of the next
        episode with reward 0.
        """

    def render(self) -> Any:
        """One picture a slot, uint8 `[H, W, 3]`, or text; what it is depends on the render mode."""

    def close(self) -> None:
        """Frees what the environment holds."""


class MakesKaiwuEnv(Protocol):
    """What an environment may name as its own `facade`: a class, or a function, that makes a KaiwuEnv of `app`."""

    def __call__(
        self,
        app: str,
        *,
        env_conf: Mapping[str, Any] | None = None,
        seed: int | None = None,
        max_episode_steps: int = 0,
        render_mode: str | None = None,
        generation: str = "",
    ) -> KaiwuEnv:
        """Arguments as `envs.facade` takes them."""


class EvaluationOption(NamedTuple):
    """An option of tools/evaluate.sh that one environment has, such as `--speed 3`.

    flag, metavar, help: as argparse takes them. changes: from the text that the user typed to the keys of env_conf that
    it stands for; raises ConfigError: the text is none of those that it takes.
    """

    flag: str
    metavar: str
    help: str
    changes: Callable[[str], Mapping[str, Any]]


class Exact(Protocol):
    """Perfect play in a game of two players."""

    def __call__(self, moves: Sequence[int]) -> np.ndarray:
        """What each action is worth to the player to move with perfect play of both, float64 `[A]`.

        moves: the actions so far. Above 0 is a win, 0 a draw, below 0 a loss, a higher one better; NaN: not allowed.
        """
        ...


MakesFeatures = Callable[[int, Spaces], Features]


@dataclass(frozen=True)
class Offers:
    """What the environment `app` declares in its metadata, checked; the module's docstring has the keys.

    render_modes and render_fps are gymnasium's own keys: how it can be drawn, and how many pictures a second suit it, 0
    for nothing said. named: of the keys whose values are `<module>:<name>`, those that there are.
    """

    app: str
    legal_actions: bool = False
    slot_seeds: bool = False
    frame_stack: int = 0
    parts: tuple[Part, ...] = ()
    players: int = 1
    symmetry: str = UNSAID
    success_return: float | None = None
    render_modes: tuple[str, ...] = ()
    render_fps: float = 0.0
    named: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, metadata: Mapping[str, Any], app: str) -> Offers:
        """Raises ConfigError: a key has a value that means nothing."""
        if not isinstance(metadata, Mapping):
            raise ConfigError(
                f"{app}: metadata = {metadata!r} is no dictionary, so it is not known what the environment offers. Set "
                "metadata = {} in its class."
            )
        stack, success = metadata.get(FRAME_STACK, 0), metadata.get(SUCCESS_RETURN)
        parts, players = metadata.get(PARTS, ()), metadata.get(PLAYERS, 1)
        if type(stack) is not int or stack < 0:
            raise _wrong(app, FRAME_STACK, stack, "a whole number of frames, 0 for none")
        if not isinstance(parts, list | tuple) or not all(isinstance(part, Part) for part in parts):
            raise _wrong(app, PARTS, parts, "a sequence of kaimesh.agent.Part")
        if type(players) is not int or not 1 <= players <= MAX_PLAYERS:
            raise _wrong(app, PLAYERS, players, f"how many players there are, a whole number 1..{MAX_PLAYERS}")
        if success is not None and number(success) is None:
            raise _wrong(app, SUCCESS_RETURN, success, "a number, the return of an episode")
        if (symmetry := metadata.get(SYMMETRY, UNSAID)) not in (UNSAID, *KINDS):
            raise _wrong(app, SYMMETRY, symmetry, f"one of {', '.join(KINDS)}")
        names = {key: metadata[key] for key in _NAMED if key in metadata}
        for key, name in names.items():
            if not isinstance(name, str) or ":" not in name:
                raise _wrong(app, key, name, "'<module>:<name>'")
        # Other libraries may set these to anything.
        modes, fps = metadata.get("render_modes"), number(metadata.get("render_fps")) or 0.0
        return cls(
            app,
            legal_actions=bool(metadata.get(LEGAL_ACTIONS)),
            slot_seeds=bool(metadata.get(SLOT_SEEDS)),
            frame_stack=stack,
            parts=tuple(parts),
            players=players,
            symmetry=symmetry,
            success_return=success,
            render_modes=tuple(map(str, modes)) if isinstance(modes, list | tuple) else (),
            render_fps=fps if 0.01 <= fps <= 1000 else 0.0,
            named=names,
        )

    def features(self, name: str) -> MakesFeatures:
        """What makes the features that are offered by that name. Raises ConfigError: none are."""
        known: Mapping[str, MakesFeatures] = self._imported(FEATURES) or {}
        if name not in known:
            raise ConfigError(
                f"features = {name!r}: {self.app} offers {', '.join(known) or 'no features of its own'}; a network "
                f"would have nothing to see. Set the algorithm's features to {'one of these, or to ' if known else ''}"
                "'none', for the observation itself."
            )
        return known[name]

    def facade(self) -> MakesKaiwuEnv | None:
        """Its own, or None."""
        facade: MakesKaiwuEnv | None = self._imported(FACADE)
        return facade

    def face(self) -> Callable[[MeshEnv], Face] | None:
        """Its own, or None."""
        face: Callable[[MeshEnv], Face] | None = self._imported(FACE)
        return face

    def story(self) -> Callable[[MeshEnv], Story] | None:
        """Its own, or None."""
        story: Callable[[MeshEnv], Story] | None = self._imported(STORY)
        return story

    def evaluation_options(self) -> Sequence[EvaluationOption]:
        """Those of the command line of an evaluation."""
        return self._imported(EVALUATION_OPTIONS) or ()

    def exact(self) -> Callable[[], Exact] | None:
        """What makes its own, or None."""
        exact: Callable[[], Exact] | None = self._imported(EXACT)
        return exact

    def _imported(self, key: str) -> Any:
        """What the key names; None where it is not there. Raises ConfigError: it cannot be imported."""
        if key not in self.named:
            return None
        module, _, name = self.named[key].partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"{self.app}: metadata[{key!r}] = {self.named[key]!r} cannot be imported ({error}), so the environment "
                "cannot be used in that way. Correct the name, or remove the key from the environment's metadata."
            ) from error


def _wrong(app: str, key: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(
        f"{app}: metadata[{key!r}] = {value!r} must be {allowed}; the mesh would take its observations or episodes for "
        "something that they are not. Correct it, or remove the key from the environment's metadata."
    )
