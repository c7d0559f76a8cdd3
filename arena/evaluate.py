"""Plays episodes with a trained model and prints how good it is: `./tools/evaluate.sh --episodes 100 --model latest`.

Actions come from the agent's `exploit`, or with `--sample` from its `predict`. Episode e has an environment of its own
with the seed `--seed` + e, so that all models play the same episodes; no environment of a training has one of these
seeds (contract/seeds). See arena/figures for the numbers, and envs/reports for those that an environment adds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kaimesh import ROOT, envs
from kaimesh.arena import Episode, find_model, modes, options
from kaimesh.arena.again import check_drawing
from kaimesh.arena.episodes import play
from kaimesh.arena.figures import statistics, words
from kaimesh.arena.players import RANDOM, Contestant, chance, trained
from kaimesh.arena.progress import follow
from kaimesh.arena.recording import Recording
from kaimesh.arena.scene import Scene
from kaimesh.config import App, Config, caller, load, trust
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.packages import find_own_code
from kaimesh.config.reading import parse, read
from kaimesh.contract.agent import called_exit
from kaimesh.contract.errors import EXIT_AGENT, EXIT_CONFIG, EXIT_OK, ConfigError, MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.contract.seeds import evaluation_seeds
from kaimesh.contract.untrusted import path_name
from kaimesh.process.guarded import guarded
from kaimesh.process.life import set_threads
from kaimesh.process.run_dir import RunDir, runs_dir

PICTURES = (".png", ".svg", ".pdf")
FILMS = (".gif", ".mp4", ".html")
MOST_STEPS = 30_000  # of an episode, by default: a whole game of Atari has 27,000
SEED = 1_000_003


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Evaluates as `arguments` say; returns the result that `main` prints.

    `failed` in it: the files that could not be written, in words. Raises ConfigError, AgentError, and what the
    environment raises.
    """
    _check_files(arguments)
    run = _run(arguments)
    config = _configuration(arguments, run)
    scene = Scene(config.app, _changes(arguments, config.app.app))
    who = _contestant(arguments, run, config, scene)
    if arguments.render:
        check_drawing(scene.app, scene.env_conf, scene.limit, page=arguments.render.lower().endswith(".html"))
    start = time.perf_counter()
    most = max(MOST_STEPS, scene.limit) if arguments.max_steps is None else arguments.max_steps
    episodes = _played(who, arguments.sample, evaluation_seeds(arguments.seed, arguments.episodes), most)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = {
        "app": scene.app,
        "env_conf": scene.env_conf,
        "notes": scene.notes,
        "algo": who.algo,
        "model": who.model,
        "player": who.name,
        "actions": RANDOM if who.model == RANDOM else modes.mode(arguments.sample),
        "seed": arguments.seed,
        "max_steps": most,
        "cut": [episode.seed for episode in episodes if episode.cut],
        "seconds": round(seconds, 3),
        **statistics(episodes, scene.threshold()),
        "each": [_one(episode) for episode in episodes],
    }
    result["compared"] = _compared(who, arguments, episodes, modes.bound(episodes, most), scene.notes)
    result["failed"] = _write_files(arguments, scene, who, episodes, result)
    return result


def _one(episode: Episode) -> dict[str, Any]:
    return {
        "seed": episode.seed,
        "return": episode.score,
        "length": episode.length,
        "cut": episode.cut,
        "report": dict(episode.report),
    }


def _played(who: Contestant, sampled: bool, seeds: Sequence[int], most_steps: int, what: str = "") -> list[Episode]:
    """An episode for each seed, in the order of the seeds. what: which episodes these are, for who waits."""
    episodes = follow(lambda watch: play(who.player(sampled), seeds, most_steps, watch), len(seeds), most_steps, what)
    return sorted(episodes, key=lambda episode: episode.seed)


def _compared(
    who: Contestant, arguments: argparse.Namespace, episodes: Sequence[Episode], most_steps: int, notes: list[str]
) -> dict[str, Any] | None:
    """See modes.compared; adds a note where the modes differ. None: nothing was compared."""
    count, sampled = min(arguments.compare, len(episodes)), arguments.sample
    if count < modes.LEAST or who.model == RANDOM:
        return None
    seeds, other = [episode.seed for episode in episodes[:count]], modes.mode(not sampled)
    try:
        others = _played(who, not sampled, seeds, most_steps, f"compared with {other} ones (--compare)")
    except Exception as error:  # of the agent or the environment; what was played before stands
        if not isinstance(error.__cause__, NotImplementedError):  # an agent need not have both
            told = str(error) if isinstance(error, MeshError) else f"{type(error).__name__}: {error}"
            notes.append(f"not compared with {other} actions: {told}")
        return None
    found = modes.compared(episodes, others, sampled)
    if found["differ"]:
        notes.append(modes.words(found, sampled))
    return found


def _contestant(arguments: argparse.Namespace, run: RunDir | None, config: Config, scene: Scene) -> Contestant:
    wanted = arguments.model
    if wanted == RANDOM:
        return chance(scene)
    if wanted != "latest" and not wanted.isdecimal():
        wanted = str(caller.typed(wanted))
    return trained(config, scene, find_model(run, wanted))


def _configuration(arguments: argparse.Namespace, run: RunDir | None) -> Config:
    overrides = {"app": arguments.app} if arguments.app else {}
    conf = caller.typed(arguments.conf) if arguments.conf else run.conf if run else DEFAULT_CONF
    if not arguments.trust:
        _check_origin(conf, typed=bool(arguments.conf) or run is None, app=arguments.app)
    find_own_code()  # makes the user's own environments and agents importable
    return load(conf, overrides)


def _check_origin(conf: Path, typed: bool, app: str | None) -> None:
    """Checks a configuration before anything that it names is imported.

    The user's own configurations are trusted: those in runs of this checkout, and files of this checkout that the user
    typed. All others may only name what is built in. app: the environment that the user typed in place of the
    configuration's. Raises ConfigError: the configuration is not the user's own and names something else.
    """
    if trust.is_below(conf, [ROOT / App.model_fields["runs_dir"].default, runs_dir(), *([ROOT] if typed else [])]):
        return
    table = read(conf, []).data.get("app", {})
    if not isinstance(table, dict):
        return  # `load` will refuse it
    named, arguments = app or table.get("app", App.model_fields["app"].default), table.get("env_conf", {})
    unfamiliar = trust.unfamiliar_registry(table)
    if isinstance(named, str) and isinstance(arguments, dict):
        unfamiliar += envs.unfamiliar(App.model_fields["app"].default if app else named, arguments)
    trust.check(f"the configuration {conf}", unfamiliar)


def _check_files(arguments: argparse.Namespace) -> None:
    """Raises ConfigError, before anything is played: --plot or --render names a file of an unknown format."""
    for option, name, known in (("--plot", arguments.plot, PICTURES), ("--render", arguments.render, FILMS)):
        if name and Path(name).suffix.lower() not in known:
            raise ConfigError(
                f"{option} {name} must end in {', '.join(known)}, which says what is written; nothing was played"
            )


def _recording(scene: Scene, who: Contestant, one: Episode) -> Recording:
    unit = who.unit_actions and one.actions.ndim == 2
    return Recording(scene.app, scene.env_conf, scene.limit, one.seed, one.actions, one.score, who.name, unit)


def _write_files(
    arguments: argparse.Namespace, scene: Scene, who: Contestant, episodes: Sequence[Episode], result: dict[str, Any]
) -> list[str]:
    """Writes the files of --record, --plot and --render, and adds their names to `result`; returns what failed."""
    recordings = [_recording(scene, who, episode) for episode in episodes]

    def record() -> None:
        app = path_name(scene.app)
        for recording, one in zip(recordings, result["each"], strict=True):
            name = Path(arguments.record, f"{app}_model-{who.model}_seed-{recording.seed}.json")
            recording.save(caller.typed(name))
            one["file"] = str(name)

    def plot() -> None:
        from kaimesh.arena.picture import draw

        draw(episodes, f"{scene.app}, {who.name}: {len(episodes)} episodes", caller.typed(arguments.plot))
        result["plot"] = arguments.plot

    def render() -> None:
        from kaimesh.arena.replay import replay

        shown = replay(recordings[0], caller.typed(arguments.render))
        result.update(render=arguments.render, render_return=shown["score"], render_length=shown["steps"])
        if shown["difference"]:
            scene.notes.append(f"{arguments.render}: {shown['difference']}; this environment does not repeat itself")

    failed = []
    for wanted, write in ((arguments.record, record), (arguments.plot, plot), (arguments.render, render)):
        try:
            if wanted:
                write()
        except OSError as error:
            failed.append(f"{error.filename} cannot be written: {error.strerror}. Name another file.")
        except MeshError as error:
            failed.append(str(error))
    return failed


def _changes(arguments: argparse.Namespace, app: str) -> dict[str, Any]:
    """Keys of env_conf from the environment's own options and from --env-conf. Raises ConfigError: not of that form."""
    changes = options.read(app, arguments.own)
    for text in arguments.env_conf:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"--env-conf {text} is not key=value, so nothing was played. Write for example is_slippery=false."
            )
        changes[key.strip()] = parse(value.strip())
    return changes


def _run(arguments: argparse.Namespace) -> RunDir | None:
    if arguments.run:
        path = caller.typed(arguments.run)
        if not (path / "conf.toml").is_file():
            raise ConfigError(
                f"--run {arguments.run} is no run directory, because it has no conf.toml; nothing was played. Name a "
                "folder below runs/."
            )
        return RunDir(path)
    try:
        return RunDir.latest(runs_dir())
    except ConfigError:
        if arguments.model == "latest" or arguments.model.isdecimal():
            raise
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate", description="Plays episodes with a trained model.", add_help=False
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this, and the options of --app")
    parser.add_argument("--episodes", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument(
        "--model",
        default="latest",
        help=f"latest, an id, a folder, a model file, or {RANDOM}: any legal actions (default: %(default)s)",
    )
    parser.add_argument(
        "--sample", action="store_true", help="draw actions as in training, by the agent's predict; else by its exploit"
    )
    parser.add_argument(
        "--compare",
        type=int,
        default=modes.EPISODES,
        metavar="N",
        help=f"play the first N episodes in the other of these two ways as well, and say so if the return differs "
        f"much; fewer than {modes.LEAST}: do not (default: %(default)s)",
    )
    parser.add_argument("--run", help="the run's directory (default: runs/latest)")
    parser.add_argument("--app", help="another environment than the run's")
    parser.add_argument("--conf", help="another configuration than the run's")
    parser.add_argument(
        "--env-conf",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another argument of the environment; may be repeated",
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the first episode (default: %(default)s)")
    parser.add_argument(
        "--max-steps",
        type=int,
        metavar="N",
        help=f"cut an episode after so many steps; 0: never (default: max_episode_steps, at least {MOST_STEPS:,})",
    )
    parser.add_argument("--record", metavar="DIR", help="write every episode to a file, which tools/replay.sh plays")
    parser.add_argument("--plot", metavar="OUT.png", help="draw the distributions")
    parser.add_argument(
        "--render", metavar="OUT.gif", help="show the first episode: .gif, .mp4, or .html with a time slider"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--trust", action="store_true", help=trust.HELP)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of tools/evaluate.sh; returns the exit code."""
    parser = _parser()
    arguments, own = parser.parse_known_args(argv)
    arguments.own = own  # options that the environment itself may have
    if arguments.episodes < 1:
        parser.error(f"--episodes {arguments.episodes}: at least one is needed")
    if arguments.max_steps is not None and arguments.max_steps < 0:
        parser.error(f"--max-steps {arguments.max_steps}: it must be 1 or more, or 0 for no bound")
    if arguments.compare < 0:
        parser.error(f"--compare {arguments.compare}: it must be {modes.LEAST} or more, or 0 for no comparison")
    if arguments.sample and arguments.model == RANDOM:
        parser.error(f"--sample says how a model acts, and --model {RANDOM} has none; leave one of them out")
    if arguments.seed < 0:
        parser.error(f"--seed {arguments.seed}: it must be 0 or more")
    set_threads(os.cpu_count() or 1)
    try:
        if arguments.help:
            find_own_code()
            print(f"{parser.format_help()}\n{options.described(arguments.app)}")
            return 0
        result = evaluate(arguments)
    except MeshError as error:
        if error.__cause__ is not None and error.exit_code != EXIT_CONFIG:
            traceback.print_exception(error.__cause__)
        print(f"evaluate: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as error:
        print(f"evaluate: {called_exit('the environment', error)}", file=sys.stderr)
        return EXIT_AGENT
    print(json_text(result, reasons=True, indent=1) if arguments.json else words(result), flush=True)
    for problem in result["failed"]:
        print(f"evaluate: {problem}", file=sys.stderr)
    return EXIT_CONFIG if result["failed"] else EXIT_OK


if __name__ == "__main__":
    sys.exit(guarded(main, "evaluate"))
