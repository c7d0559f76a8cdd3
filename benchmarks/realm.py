"""Env steps/s of the Realm on one core: the rules alone, each kind of observation, and the Kaiwu facade.

    .venv/bin/python -m benchmarks.realm                    # the large map, batch of 64, five runs of each
    .venv/bin/python -m benchmarks.realm --preset realm-mini --batch 8

Actions are random and drawn before. Prints JSON: for each face the median and all runs, beside what issue 3 asks of it;
`facade` steps without reading the observation, `facade, all read` reads every field of it, the four maps too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import as_program, finish
from kaimesh.envs.realm.facade import RealmFacade
from kaimesh.envs.realm.map import PRESETS
from kaimesh.envs.realm.vector import Realm

FEATURE_NAMES = ("norm_pos", "grid_pos", "start_pos", "end_pos", "buff_pos", "treasure_pos")
MAP_NAMES = ("obstacle_map", "treasure_map", "end_map", "memory_map")
ASKED = {"features": 300_000, "bytes": 40_000, "floats": 40_000, "facade": 3000, "facade, all read": 3000}
CYCLE = 1024  # actions drawn before

Step = Callable[[int], int]  # the n-th step; returns how many environments it moved


def vector_steps(preset: str, batch: int, observation: str) -> Step:
    """Steps of a batch, with observations, legal actions and resets; "rules alone" makes no observations."""
    looks = observation != "rules alone"
    env = Realm(batch, preset=preset, observation=observation if looks else "features")
    env.reset(seed=1)
    actions = np.random.default_rng(1).integers(0, 16, (CYCLE, batch))
    play: Callable[[np.ndarray], Any] = env.step if looks else env.advance

    def step(n: int) -> int:
        play(actions[n % CYCLE])
        return batch

    return step


def facade_steps(preset: str, reads: bool) -> Step:
    """Steps of one hero as a workflow makes them."""
    env = RealmFacade(preset, seed=1)
    env.reset()
    actions = np.random.default_rng(1).integers(0, 16, CYCLE).tolist()

    def step(n: int) -> int:
        _, obs, _, terminated, truncated, info = env.step(actions[n % CYCLE])
        if reads:
            for name in (*FEATURE_NAMES, *MAP_NAMES):
                getattr(obs.feature, name)
            _ = info.frame_state, info.game_info
        if terminated or truncated:
            env.reset()
        return 1

    return step


def rate(step: Step, seconds: float) -> float:
    """Env steps per second of this process's time on a core."""
    count = moved = 0
    started = time.process_time()
    while (elapsed := time.process_time() - started) < seconds:
        for _ in range(16):
            moved += step(count)
            count += 1
    return moved / elapsed


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="realm")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of each run")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    faces = {
        name: vector_steps(arguments.preset, arguments.batch, name)
        for name in ("rules alone", "features", "bytes", "floats")
    }
    faces |= {"facade": facade_steps(arguments.preset, False), "facade, all read": facade_steps(arguments.preset, True)}
    results = {}
    for name, step in faces.items():
        step(0)  # compiles
        runs = [round(rate(step, arguments.seconds)) for _ in range(arguments.runs)]
        results[name] = {"env_steps_per_s": statistics.median(runs), "asked": ASKED.get(name), "runs": runs}
    finish("realm", {"preset": arguments.preset, "batch": arguments.batch, "faces": results}, arguments.json)


if __name__ == "__main__":
    as_program(main)
