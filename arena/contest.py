"""An evaluation in a game of several players: a match against an opponent, or a certificate."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

from kaimesh.arena import agreement, certificate, opponents, outputs, standings
from kaimesh.arena.game import Rival
from kaimesh.arena.match import play
from kaimesh.arena.openings import fixtures
from kaimesh.arena.opponents import Opponent
from kaimesh.arena.players import Contestant
from kaimesh.arena.progress import Tell, follow
from kaimesh.arena.recording import Recording
from kaimesh.arena.scene import Scene
from kaimesh.arena.standings import Result
from kaimesh.contract.seeds import evaluation_seeds


def certified(arguments: argparse.Namespace, scene: Scene, who: Contestant, tell: Tell) -> dict[str, Any]:
    """What `certificate` found; part of the result that arena.evaluate prints."""
    start = time.perf_counter()
    found = certificate.certificate(who.player(False), scene, _seats(arguments, scene), tell)
    return {"certificate": found, "seconds": round(time.perf_counter() - start, 3), "failed": []}


def match(
    arguments: argparse.Namespace,
    scene: Scene,
    who: Contestant,
    opponent: Opponent,
    trained: Callable[[str], Contestant],
    most_steps: int,
    tell: Tell,
) -> dict[str, Any]:
    """Plays the games; returns part of the result that arena.evaluate prints, and writes files.

    trained: makes the contestant of another model from its name. most_steps: of a game. tell: takes a line about the
    progress. Raises as arena.evaluate.
    """
    exact = None if arguments.exact is None else agreement.exact_play(scene)
    seats = _seats(arguments, scene)
    start = time.perf_counter()
    if opponent.kind == opponents.HUMAN:
        from kaimesh.arena.terminal import meet  # which asks the terminal what it can

        results = meet(scene, Rival(who.name, who.player(arguments.sample), tuple(seats)), arguments.seed)
    else:
        other = opponents.seated(opponent, scene, who, arguments.sample, trained)
        seeds = evaluation_seeds(arguments.seed, arguments.episodes)
        games = fixtures(scene, seats, seeds, arguments.random_plies)
        model = who.player(arguments.sample)
        results = follow(lambda watch: play(model, other, games, most_steps, watch), len(games), most_steps)
        results.sort(key=lambda one: (one.episode.seed, one.seat))
    seconds = time.perf_counter() - start
    found = standings.standings(results)
    cut = [result.episode.seed for result in results if result.episode.cut]
    scene.notes.extend(standings.notes(found, len(cut)))
    result: dict[str, Any] = {
        "notes": scene.notes,
        "opponent": arguments.opponent or opponents.DEFAULT,
        "random_plies": arguments.random_plies,
        "cut": cut,
        "seconds": round(seconds, 3),
        **found,
        "exact": None if exact is None else agreement.agreement(exact, results, arguments.exact, tell),
        "each": [_one(one) for one in results],
    }
    against = f"{who.name} against {result['opponent']}"
    recordings = {
        f"model-{who.model}_seed-{one.episode.seed}_seat-{one.seat}": _recording(scene, against, one) for one in results
    }
    episodes = [one.episode for one in results]
    title = f"{scene.app}, {against}: {len(results)} games"
    result["failed"] = outputs.write(arguments, recordings, episodes, title, result) if results else []
    return result


def _seats(arguments: argparse.Namespace, scene: Scene) -> Sequence[int]:
    return range(scene.players) if arguments.seat is None else [arguments.seat]


def _one(result: Result) -> dict[str, Any]:
    episode = result.episode
    return {
        "seed": episode.seed,
        "seat": result.seat,
        "worth": result.worth,
        "returns": result.returns.tolist(),
        "length": episode.length,
        "cut": episode.cut,
    }


def _recording(scene: Scene, against: str, one: Result) -> Recording:
    name = f"{against}, which has the other seats" if scene.players > 2 else against
    told = f"{name} (the model in seat {one.seat})"
    episode = one.episode
    return Recording(
        scene.app, scene.env_conf, scene.limit, episode.seed, episode.actions, episode.score, told, seat=one.seat
    )
