"""Moves per second of board games in one process, on one core: the mesh's environment, and OpenSpiel alone.

    .venv/bin/python -m benchmarks.games                    # six games, 64 slots, three runs of each
    .venv/bin/python -m benchmarks.games --app spiel:hex --set board_size=7

Moves are drawn among those that are allowed, in both cases in the same way. `mesh` is what an aisrv steps, with
observations, allowed moves, who moves next and the rewards of all, checked; `rules alone` is OpenSpiel's rules in a
loop of Python that looks at nothing but the allowed moves. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import as_program, finish
from kaimesh import envs
from kaimesh.envs.spiel.game import PREFIX, load

GAMES: dict[str, dict[str, Any]] = {
    "spiel:tic_tac_toe": {},
    "spiel:connect_four": {},
    "spiel:othello": {},
    "spiel:gomoku": {"size": 9},
    "spiel:go": {"board_size": 9},
    "spiel:mancala": {},
}


def in_mesh(app: str, conf: dict[str, Any], slots: int, seconds: float) -> float:
    """Moves per second, reset steps left out."""
    env = envs.make_vector(app, slots, env_conf=conf, seed=1)
    env.reset()
    rng, moves, over = np.random.default_rng(1), 0, np.zeros(slots, bool)
    spent = 0.0  # in steps
    while spent < seconds:
        assert env.legal_actions is not None
        drawn = rng.random(env.legal_actions.shape, np.float32)
        actions = (drawn * env.legal_actions).argmax(1)
        started = time.process_time()
        _, _, terminated, truncated, _ = env.step(actions)
        spent += time.process_time() - started
        moves += int(np.count_nonzero(~over))
        over = terminated | truncated
    env.close()
    return moves / spent


def alone(app: str, conf: dict[str, Any], seconds: float) -> float:
    """Moves per second of the rules alone."""
    game, rng, moves = load(app.removeprefix(PREFIX), conf), random.Random(1), 0
    started = time.process_time()
    while (spent := time.process_time() - started) < seconds:
        state = game.new_initial_state()
        while not state.is_terminal():
            state.apply_action(rng.choice(state.legal_actions()))
            moves += 1
    return moves / spent


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", help="this game alone")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of that game")
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of processor time, of each run")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    given = {key: json.loads(value) for key, _, value in (pair.partition("=") for pair in arguments.set)}
    results = {}
    for app, conf in ({arguments.app: given} if arguments.app else GAMES).items():
        mesh = [round(in_mesh(app, conf, arguments.slots, arguments.seconds)) for _ in range(arguments.runs)]
        rules = [round(alone(app, conf, arguments.seconds)) for _ in range(arguments.runs)]
        results[app] = {"mesh": statistics.median(mesh), "rules alone": statistics.median(rules), "runs": [mesh, rules]}
    finish("games", {"slots": arguments.slots, "moves_per_s": results}, arguments.json)


if __name__ == "__main__":
    as_program(main)
