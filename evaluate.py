"""Plays episodes with a trained model and says how good it is: `./tools/evaluate.sh --episodes 100 --model latest`.

Actions come from the agent's `exploit`; see kaimesh/evaluation.py for what is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

import envs
from kaimesh.agent import Monitor, user_code
from kaimesh.cli.start import DEFAULT_CONF, runs_dir
from kaimesh.config import Config, load
from kaimesh.errors import EXIT_CONFIG, ConfigError, MeshError
from kaimesh.evaluation import Episode, Model, Watch, find_model, play_kaiwu, play_native, statistics
from kaimesh.lifecycle import configure_logging, dotted, set_threads
from kaimesh.run import RunDir

CALLER_VARIABLE = "KAIMESH_FROM"  # where the user typed the command; tools/*.sh go to the checkout's root
MOST_SLOTS = 32  # environments that play at the same time
MOST_FRAMES = 1500  # of a rendered episode
FRAME_PIXELS = 320  # its width
SEED = 1_000_003  # far from the seeds that training starts from


class Evaluation:
    """An agent with a model, and the environment of a configuration."""

    def __init__(self, config: Config, model: Model) -> None:
        self.config, self.model = config, model
        self.app = config.app.app
        self._conf = dict(config.app.env_conf)
        if self.app.startswith("ale:"):
            self._conf["episodic_life"] = False  # a whole game
        self.native = getattr(dotted(config.algo.train_workflow), "vectorised", False)
        self._agent = self._make_agent()

    def play(
        self, episodes: int, seed: int, render_mode: str | None = None, watch: Watch | None = None
    ) -> Iterator[Episode]:
        """Plays and yields one by one."""
        slots, limit = min(episodes, MOST_SLOTS), self.config.app.max_episode_steps
        with ExitStack() as stack:
            if self.native:
                vector = envs.make_vector(
                    self.app, slots, env_conf=self._conf, max_episode_steps=limit, render_mode=render_mode
                )
                stack.callback(vector.close)
                yield from play_native(self._agent, vector, episodes, seed, watch)
                return
            facades = []
            for i in range(slots):
                facades.append(
                    envs.facade(
                        self.app, env_conf=self._conf, seed=seed + i, max_episode_steps=limit, render_mode=render_mode
                    )
                )
                stack.callback(facades[i].close)
            yield from play_kaiwu(self._agent, facades, episodes, watch)

    def threshold(self) -> float | None:
        """The return from which an episode counts as a success, where the environment names one."""
        env = envs.make(self.app, env_conf=self._conf)
        env.close()
        registered = env.spec.reward_threshold if env.spec else None
        declared = env.metadata.get("success_return", registered)
        return None if declared is None else float(declared)

    def _make_agent(self) -> Any:
        path = self.config.algo.actor_agent
        with user_code(f"evaluate: {path}()"):
            monitor = Monitor(lambda _name, _value: None)
            agent = dotted(path)(
                agent_type="actor", device="cpu", logger=configure_logging("evaluate", "WARNING"), monitor=monitor
            )
        if hasattr(agent, "setup"):
            env = envs.make_vector(self.app, 1, env_conf=self._conf)
            env.close()
            with user_code("evaluate: Agent.setup"):
                agent.setup(envs.spaces_of(env))
        with user_code(f"evaluate: Agent.load_model({str(self.model.folder)!r}, {self.model.id})"):
            agent.load_model(path=str(self.model.folder), id=self.model.id)
        return agent


def render(evaluation: Evaluation, out: Path, seed: int) -> Episode:
    """Plays one episode and writes it to `out` as a GIF. Raises ConfigError: the environment draws no pictures."""
    from PIL import Image

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws; no window, no complaint about a missing desktop

    frames: list[Image.Image] = []
    delay_ms = 50

    def watch(env: Any) -> None:
        nonlocal delay_ms
        picture = env.render()
        picture = picture[0] if isinstance(picture, tuple | list) else picture
        if picture is None:
            raise ConfigError(f"{evaluation.app} draws no pictures (render_mode rgb_array); --render needs them")
        if not frames:
            metadata = getattr(env, "env", env).metadata
            delay_ms = max(20, round(1000 / (metadata.get("render_fps") or 20)))
        if len(frames) < MOST_FRAMES:
            frame = Image.fromarray(np.asarray(picture, np.uint8))
            frame.thumbnail((FRAME_PIXELS, FRAME_PIXELS))
            frames.append(frame.quantize(64))

    episode = next(evaluation.play(1, seed, "rgb_array", watch))
    out.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(out, format="GIF", save_all=True, append_images=frames[1:], duration=delay_ms, loop=0)
    return episode


def _report(result: dict[str, Any]) -> str:
    def line(name: str) -> str:
        return f"{name:8}" + "  ".join(f"{key} {value:.4g}" for key, value in result[name].items())

    lines = [
        f"{result['app']}, {result['algo']}, model {result['model']}: {result['episodes']} episodes in {result['seconds']:.1f} s",
        line("return"),
        line("length"),
    ]
    if result["success"] is not None:
        lines.append(f"success {result['success']:.0%} of returns >= {result['success_return']:g}")
    if "render" in result:
        lines.append(f"{result['render']}: an episode of return {result['render_return']:.4g}")
    return "\n".join(lines)


def _with_progress(played: Iterator[Episode], total: int) -> list[Episode]:
    if not sys.stderr.isatty():
        return list(played)
    from rich.console import Console
    from rich.progress import track

    return list(track(played, "playing", total=total, console=Console(stderr=True), transient=True))


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """What main prints. Raises ConfigError, AgentError, and whatever the environment raises."""
    run = _run(arguments)
    overrides = {"app": arguments.app} if arguments.app else {}
    conf = _typed(arguments.conf) if arguments.conf else run.conf if run else DEFAULT_CONF
    config = load(conf, overrides)
    wanted = arguments.model
    if wanted != "latest" and not wanted.isdecimal():
        wanted = str(_typed(wanted))
    evaluation = Evaluation(config, find_model(run, wanted))
    start = time.perf_counter()
    episodes = _with_progress(evaluation.play(arguments.episodes, arguments.seed), arguments.episodes)
    result = {
        "app": evaluation.app,
        "algo": config.algo.name,
        "model": evaluation.model.id,
        "seed": arguments.seed,
        **statistics(episodes, evaluation.threshold()),
        "seconds": round(time.perf_counter() - start, 3),
    }
    if arguments.render:
        shown = render(evaluation, _typed(arguments.render), arguments.seed)
        result |= {"render": arguments.render, "render_return": shown.score, "render_length": shown.length}
    return result


def _run(arguments: argparse.Namespace) -> RunDir | None:
    if arguments.run:
        path = _typed(arguments.run)
        if not (path / "conf.toml").is_file():
            raise ConfigError(f"--run {arguments.run}: this is no run directory, it has no conf.toml")
        return RunDir(path)
    try:
        return RunDir.latest(runs_dir())
    except ConfigError:
        if arguments.model == "latest" or arguments.model.isdecimal():
            raise
        return None


def _typed(path: str) -> Path:
    """A path as the user meant it: from where the command was typed."""
    return Path(os.environ.get(CALLER_VARIABLE, ".")) / path


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluates as the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(prog="evaluate", description="Plays episodes with a trained model.")
    parser.add_argument("--episodes", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument(
        "--model", default="latest", help="latest, an id, a folder or a model file (default: %(default)s)"
    )
    parser.add_argument("--run", help="the run's directory (default: runs/latest)")
    parser.add_argument("--app", help="another environment than the run's")
    parser.add_argument("--conf", help="another configuration than the run's")
    parser.add_argument("--seed", type=int, default=SEED, help="of the environments (default: %(default)s)")
    parser.add_argument("--render", metavar="OUT.gif", help="play one more episode and write it as a GIF")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    if arguments.episodes < 1:
        parser.error(f"--episodes {arguments.episodes}: at least one is needed")
    set_threads(os.cpu_count() or 1)
    sys.path.insert(0, str(Path.cwd()))
    try:
        result = evaluate(arguments)
    except MeshError as error:
        if error.__cause__ is not None and error.exit_code != EXIT_CONFIG:
            traceback.print_exception(error.__cause__)
        print(f"evaluate: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(result, indent=1) if arguments.json else _report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
