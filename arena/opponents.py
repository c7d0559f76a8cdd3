"""Whom a model plays against: `--opponent` and its words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from kaimesh import envs
from kaimesh.arena import minimax, uct
from kaimesh.arena.episodes import Player, VectorisedPlay
from kaimesh.arena.players import RANDOM, Contestant, RandomPlayer
from kaimesh.arena.scene import Scene
from kaimesh.contract.arrays import Batch
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.position import Position
from kaimesh.contract.recurrence import RecurrentState

SELF, HUMAN, MODEL = "self", "human", "model"
SEARCHES: dict[str, tuple[str, Callable[[Position, int, Random], int]]] = {
    "minimax": ("DEPTH", minimax.choose),
    "mcts": ("SIMS", uct.choose),
}
FORMS = (SELF, RANDOM, *(f"{name}:{what}" for name, (what, _) in SEARCHES.items()), f"{MODEL}:ID", HUMAN)
DEFAULT = RANDOM


class Opponent(NamedTuple):
    """What `--opponent` says. kind: what stands before the colon; argument: what stands behind it, or ""."""

    kind: str
    argument: str

    @property
    def amount(self) -> int:
        """Of a search: plies or simulations."""
        return int(self.argument)

    @property
    def words(self) -> str:
        """Whom a model plays against, in a sentence."""
        return {SELF: "itself", RANDOM: "random play"}.get(self.kind, f"{self.kind}:{self.argument}")


def read(text: str) -> Opponent:
    """What `--opponent text` means. Raises ConfigError: nothing."""
    kind, _, argument = text.partition(":")
    if kind in SEARCHES:
        what = SEARCHES[kind][0]
        if not re.fullmatch("[1-9][0-9]{0,8}", argument):
            raise ConfigError(
                f"--opponent {text!r:.100}: {what} must be a whole number of {_UNITS[what]}, 1 or more, so nothing was "
                f"played. Write for example {kind}:{_EXAMPLES[what]}."
            )
    elif (kind == MODEL) != bool(argument) or kind not in (SELF, RANDOM, MODEL, HUMAN) or text.endswith(":"):
        near = difflib.get_close_matches(kind, [form.partition(":")[0] for form in FORMS], 1, 0.6)
        hint = f" Did you mean {next(form for form in FORMS if form.startswith(near[0]))}?" if near else ""
        raise ConfigError(
            f"--opponent {text!r:.100} is none of {', '.join(FORMS)}, so there is nobody to play against, and nothing "
            f"was played. Write one of these.{hint}"
        )
    return Opponent(kind, argument)


_UNITS = {"DEPTH": "plies", "SIMS": "simulations"}
_EXAMPLES = {"DEPTH": 2, "SIMS": 200}


def seated(
    opponent: Opponent, scene: Scene, contestant: Contestant, sampled: bool, trained: Callable[[str], Contestant]
) -> Player:
    """The Player of an opponent that is no person. contestant: the model that it plays against. sampled: whether models
    act by `predict`. trained: makes the contestant of another model from its id, or its folder or file.

    Raises ConfigError: no such model, or nobody can search in the game.
    """
    if opponent.kind == RANDOM or (opponent.kind == SELF and contestant.model == RANDOM):
        return RandomPlayer(scene, salt=1)
    if opponent.kind == SELF:
        return contestant.player(sampled)
    if opponent.kind == MODEL:
        return trained(opponent.argument).player(sampled)
    return Searcher(scene, SEARCHES[opponent.kind][1], opponent.amount)


class Searched(VectorisedPlay):
    """A board of a Searcher."""

    def __init__(self, env: envs.MeshEnv, seed: int) -> None:
        super().__init__(env, seed, envs.episode_report, RecurrentState(None, 1))
        self.random = Random(seed)


class Searcher:
    """A Player that searches from the game's own position, without a model.

    choose: an action for a position, an amount of search, and chance for ties. Raises ConfigError: the game shows no
    positions.
    """

    def __init__(self, scene: Scene, choose: Callable[[Position, int, Random], int], amount: int) -> None:
        self._scene, self._choose, self._amount = scene, choose, amount
        env = scene.slot()
        try:
            env.reset(seed=0)
            envs.position(env)
        finally:
            env.close()

    def start(self, seed: int) -> Searched:
        """See Player."""
        return Searched(self._scene.slot(), seed)

    def act(self, plays: Sequence[Searched]) -> list[Batch]:
        """See Player."""
        chosen = (self._choose(envs.position(play.env), self._amount, play.random) for play in plays)
        return [Batch({"action": np.array([action])}) for action in chosen]
