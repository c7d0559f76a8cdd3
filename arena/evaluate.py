"""Plays episodes with a trained model and prints how good it is: `./tools/evaluate.sh --episodes 100 --model latest`.

Actions come from the agent's `exploit`, or with `--sample` from its `predict`. Episode e has an environment of its own
with the seed `--seed` + e, so that all models play the same episodes; no environment of a training has one of these
seeds (contract/seeds). See arena/figures for the numbers, and envs/reports for those that an environment adds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kaimesh import ROOT, envs
from kaimesh.arena import (
    Episode,
    Model,
    certificate,
    contest,
    find_model,
    modes,
    opponents,
    options,
    outputs,
    standings,
)
from kaimesh.arena.again import check_drawing
from kaimesh.arena.arguments import MOST_STEPS, Arguments
from kaimesh.arena.episodes import play
from kaimesh.arena.figures import statistics, words
from kaimesh.arena.players import RANDOM, Contestant, chance, trained
from kaimesh.arena.progress import follow, teller
from kaimesh.arena.recording import Recording
from kaimesh.arena.scene import Scene
from kaimesh.config import App, Config, caller, load, trust
from kaimesh.config.code import Code
from kaimesh.config.code.folder import TABLE as CODE
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.packages import find_own_code
from kaimesh.config.reading import parse, read
from kaimesh.contract.agent import called_exit
from kaimesh.contract.errors import EXIT_AGENT, EXIT_CONFIG, EXIT_CRASH, EXIT_OK, ConfigError, MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.contract.seeds import evaluation_seeds
from kaimesh.process import hosting
from kaimesh.process.guarded import guarded
from kaimesh.process.life import set_threads
from kaimesh.process.run_dir import RunDir, runs_dir


def evaluate(arguments: argparse.Namespace, spare: str = "") -> dict[str, Any]:
    """Evaluates as `arguments` say; returns the result that `main` prints. spare: an empty folder, for --code.

    `failed` in it: the files that could not be written, in words. Raises ConfigError, AgentError, and what the
    environment raises.
    """
    outputs.check(arguments)
    run = _run(arguments)
    config = _configuration(arguments, run)
    if config.code is not None:
        hosting.enter(
            config,
            run if run is not None and not (arguments.code or arguments.conf) else _place(spare),
            "evaluate",
            writes=True,
        )
    scene = Scene(config.app, _changes(arguments, config.app.app))
    _check_players(arguments, scene)
    opponent = opponents.read(arguments.opponent or opponents.DEFAULT)
    who = _contestant(arguments, run, config, scene)
    if arguments.render:
        check_drawing(scene.app, scene.env_conf, scene.limit, page=arguments.render.lower().endswith(".html"))
    most = max(MOST_STEPS, scene.limit) if arguments.max_steps is None else arguments.max_steps
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
    }
    if scene.players > 1:

        def trained_as(model: str) -> Contestant:
            return trained(config, scene, _model(run, model, "--opponent model:"))

        if arguments.certificate:
            return result | contest.certified(arguments, scene, who, teller())
        return result | contest.match(arguments, scene, who, opponent, trained_as, most, teller())
    start = time.perf_counter()
    episodes = _played(who, arguments.sample, evaluation_seeds(arguments.seed, arguments.episodes), most)
    result |= {
        "cut": [episode.seed for episode in episodes if episode.cut],
        "seconds": round(time.perf_counter() - start, 3),
        **statistics(episodes, scene.threshold()),
        "each": [_one(episode) for episode in episodes],
    }
    result["compared"] = _compared(who, arguments, episodes, modes.bound(episodes, most), scene.notes)
    recordings = {f"model-{who.model}_seed-{one.seed}": _recording(scene, who, one) for one in episodes}
    title = f"{scene.app}, {who.name}: {len(episodes)} episodes"
    result["failed"] = outputs.write(arguments, recordings, episodes, title, result)
    return result


def _place(spare: str) -> RunDir:
    """A place for the overlay of a folder of agents that belongs to no run."""
    place = RunDir(spare)
    place.prepare()
    return place


def _check_players(arguments: argparse.Namespace, scene: Scene) -> None:
    """Raises ConfigError: an option is for games of several players, or names a seat that there is not."""
    unsaid = Arguments()
    for option in ("opponent", "certificate", "exact", "seat", "random_plies"):
        if scene.players < 2 and getattr(arguments, option) is not unsaid.get_default(option):
            raise ConfigError(
                f"--{option.replace('_', '-')}: {scene.app} has one player, so there is nobody to play against, and "
                "nothing was played. Leave it out, or name a game of several players with --app."
            )
    if arguments.seat is not None and not 0 <= arguments.seat < scene.players:
        raise ConfigError(
            f"--seat {arguments.seat}: {scene.app} has the seats 0..{scene.players - 1}, so nothing was played. Name "
            "one of these."
        )


def _recording(scene: Scene, who: Contestant, one: Episode) -> Recording:
    unit = who.unit_actions and one.actions.ndim == 2
    return Recording(scene.app, scene.env_conf, scene.limit, one.seed, one.actions, one.score, who.name, unit)


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
    if arguments.model == RANDOM:
        return chance(scene)
    return trained(config, scene, _model(run, arguments.model, "--model "))


def _model(run: RunDir | None, wanted: str, option: str) -> Model:
    """The model that the user calls `wanted`. option: how it was said, for errors."""
    if wanted != "latest" and not wanted.isdecimal():
        wanted = str(caller.typed(wanted))
    return find_model(run, wanted, option)


def _configuration(arguments: argparse.Namespace, run: RunDir | None) -> Config:
    overrides = {"app": arguments.app} if arguments.app else {}
    if arguments.code:
        code = Code.read(caller.typed(arguments.code), app=arguments.app or "", algo=arguments.algo or "")
        return load(code.conf, overrides | {"algo": code.algo}, code=code)
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
    data = read(conf, []).data
    if CODE in data:
        trust.check(f"the configuration {conf}", [f"[{CODE}] runs the agents of a folder: {data[CODE]!s:.200}"])
    table = data.get("app", {})
    if not isinstance(table, dict):
        return  # `load` will refuse it
    named, arguments = app or table.get("app", App.model_fields["app"].default), table.get("env_conf", {})
    unfamiliar = trust.unfamiliar_registry(table)
    if isinstance(named, str) and isinstance(arguments, dict):
        unfamiliar += envs.unfamiliar(App.model_fields["app"].default if app else named, arguments)
    trust.check(f"the configuration {conf}", unfamiliar)


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


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of tools/evaluate.sh; returns the exit code."""
    parser = Arguments()
    arguments = parser.read(argv)
    set_threads(os.cpu_count() or 1)
    try:
        if arguments.help:
            find_own_code()
            print(f"{parser.format_help()}\n{options.described(arguments.app)}")
            return 0
        with tempfile.TemporaryDirectory(prefix="kaimesh-evaluate-", ignore_cleanup_errors=True) as spare:
            result = evaluate(arguments, spare)
    except MeshError as error:
        if error.__cause__ is not None and error.exit_code != EXIT_CONFIG:
            traceback.print_exception(error.__cause__)
        print(f"evaluate: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as error:
        print(f"evaluate: {called_exit('the environment', error)}", file=sys.stderr)
        return EXIT_AGENT
    print(json_text(result, reasons=True, indent=1) if arguments.json else _words(result), flush=True)
    for problem in result["failed"]:
        print(f"evaluate: {problem}", file=sys.stderr)
    if result.get("certificate", {}).get("losing"):
        return EXIT_CRASH
    return EXIT_CONFIG if result["failed"] else EXIT_OK


def _words(result: dict[str, Any]) -> str:
    if "certificate" in result:
        return certificate.words(result)
    return standings.words(result) if "seats" in result else words(result)


if __name__ == "__main__":
    sys.exit(guarded(main, "evaluate"))
