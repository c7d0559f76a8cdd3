"""Environment steps per second with nothing but the environments: what an end-to-end figure is a share of.

    .venv/bin/python -m benchmarks.bare --app ale:pong      # as many processes and slots as a mesh would have

Random actions, no network, no samples; each process steps its groups in turn, as an aisrv does. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from typing import Any

import numpy as np

from benchmarks.report import as_program
from kaimesh import envs
from kaimesh.config import Config, load
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.operate.cli.start import overrides_of
from kaimesh.process.life import set_threads

_WARM_S = 1.0
_ACTIONS = 256  # drawn before


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="ale:pong")
    parser.add_argument("--algo", default="ppo")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in tools/start.sh")
    arguments = parser.parse_args()
    config = load(DEFAULT_CONF, overrides_of(arguments.app, arguments.algo, arguments.set))
    print(json.dumps(bare(config, arguments.seconds)))


def bare(config: Config, seconds: float) -> dict[str, float]:
    """Steps per second of all slots of `config`, in as many processes as it has aisrv; reset steps do not count."""
    app = config.app
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(app.aisrv_count), context.Queue()
    settings = (app.app, app.aisrv_connect_to_kaiwu_env_count, app.aisrv_env_groups, dict(app.env_conf))
    processes = [
        context.Process(target=_step, args=(*settings, app.max_episode_steps, i, seconds, ready, results))
        for i in range(app.aisrv_count)
    ]
    for process in processes:
        process.start()
    rates = [results.get(timeout=120 + 2 * seconds) for _ in processes]
    for process in processes:
        process.join()
    slots = app.aisrv_count * app.aisrv_connect_to_kaiwu_env_count
    return {"env_steps_per_s": sum(rates), "slots": slots, "processes": app.aisrv_count}


def _step(
    name: str,
    count: int,
    groups: int,
    env_conf: dict[str, Any],
    limit: int,
    seed: int,
    seconds: float,
    ready: Any,
    results: Any,
) -> None:
    """Steps one process's slots for so long and puts its steps per second into `results`."""
    set_threads(1)
    groups = min(groups, count)
    sizes = [count // groups + (i < count % groups) for i in range(groups)]
    made = [
        envs.make_vector(name, n, env_conf=env_conf, seed=1000 * seed + i, max_episode_steps=limit)
        for i, n in enumerate(sizes)
    ]
    bare_envs = [env.env for env in made]  # without the mesh's wrapper
    actions = []
    for env in bare_envs:
        env.action_space.seed(seed)
        actions.append([env.action_space.sample() for _ in range(_ACTIONS)])
    over = [np.zeros(n, bool) for n in sizes]
    for env in made:
        env.reset()
    steps, t, start = 0, 0, 0.0
    ready.wait()
    begin = time.perf_counter()
    while (now := time.perf_counter()) - begin < _WARM_S + seconds:
        if not start and now - begin >= _WARM_S:
            steps, start = 0, now
        for i, env in enumerate(bare_envs):
            _, _, terminated, truncated, _ = env.step(actions[i][t % _ACTIONS])
            steps += int(np.count_nonzero(~over[i]))
            over[i] = np.logical_or(terminated, truncated)
        t += 1
    results.put(steps / (time.perf_counter() - start))
    for env in made:
        env.close()


if __name__ == "__main__":
    as_program(main)
