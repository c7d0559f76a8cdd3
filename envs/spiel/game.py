"""A game of OpenSpiel by its name and parameters, or why the mesh does not play it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import pyspiel

from kaimesh.contract.declared import MAX_PLAYERS
from kaimesh.contract.errors import ConfigError

PREFIX = "spiel:"
_MOST_ACTIONS = 1 << 15  # larger ones have no output layer that could be learned here
_KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def load(name: str, parameters: Mapping[str, Any]) -> pyspiel.Game:
    """The game `name` with these parameters of its own.

    Raises ConfigError: there is no such game or parameter; or its players move at the same time, chance moves, or they
    do not see everything.
    """
    app = f"app = {PREFIX + name!r}"
    kinds = {kind.short_name: kind for kind in pyspiel.registered_games()}
    if name not in kinds:
        near = difflib.get_close_matches(name, kinds, 2, 0.6)
        hint = f"; did you mean {' or '.join(PREFIX + one for one in near)}?" if near else "."
        raise ConfigError(f"{app}: OpenSpiel has no game of that name{hint} None was made. Correct the name.")
    given = _parameters(app, kinds[name], parameters)
    if why := _of_another_kind(kinds[name]):  # before it is loaded, which some cannot be by their names alone
        raise ConfigError(f"{app}: {why}. None was made. Name a game of turns in which everything is seen.")
    try:
        game = pyspiel.load_game(name, given)
    except pyspiel.SpielError as error:
        raise ConfigError(
            f"{app} does not take env_conf = {dict(parameters)}: {str(error).splitlines()[0]}. None was made. Correct "
            "its parameters."
        ) from error
    kind, actions = game.get_type(), game.num_distinct_actions()
    why = _of_another_kind(kind)
    if not why and not 1 <= game.num_players() <= MAX_PLAYERS:
        why = f"it has {game.num_players()} players"
    if not why and not kind.provides_observation_tensor:
        why = "it has no observation tensor, so a network would have nothing to see"
    if not why and actions > _MOST_ACTIONS:
        why = f"it has {actions:,} actions, of which at most {_MOST_ACTIONS:,} can be learned here"
    if why:
        raise ConfigError(f"{app}: {why}. None was made. Name another game.")
    return game


def _of_another_kind(kind: pyspiel.GameType) -> str:
    """Why a game of this kind is not played, in words; "": it is."""
    if kind.dynamics != pyspiel.GameType.Dynamics.SEQUENTIAL:
        return "its players move at the same time, and the mesh asks one player at a time"
    if kind.chance_mode != pyspiel.GameType.ChanceMode.DETERMINISTIC:
        return "chance moves in it (dice, cards), and a search would take the roll of the dice for its own choice"
    if kind.information != pyspiel.GameType.Information.PERFECT_INFORMATION:
        return "its players do not see everything, and a search from what one of them sees would know too much"
    return ""


def _parameters(app: str, kind: pyspiel.GameType, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` in the types that the game wants: 7 for a number is 7.0. Raises ConfigError: it takes no such ones."""
    wanted: Mapping[str, Any] = kind.parameter_specification
    taken = {}
    for key, value in given.items():
        if key not in wanted:
            raise ConfigError(
                f"{app} does not take env_conf.{key}; its parameters are {', '.join(sorted(wanted)) or 'none'}. None "
                "was made. Remove that key."
            )
        right = type(wanted[key])
        if right is float and type(value) is int:
            value = float(value)
        if right in _KINDS and type(value) is not right:
            raise ConfigError(f"{app}: env_conf.{key} = {value!r} must be {_KINDS[right]}; none was made. Correct it.")
        taken[key] = value
    return taken
