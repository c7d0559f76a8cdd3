"""How strong a mesh becomes, from nothing: it trains, and then each model that it dumped is judged.

    .venv/bin/python -m benchmarks.strength --app spiel:tic_tac_toe --minutes 10 --seeds 1 2 3
    .venv/bin/python -m benchmarks.strength --app spiel:connect_four --minutes 60 --opponent minimax:2 --models 12
    .venv/bin/python -m benchmarks.strength --app gym:CartPole-v1 --minutes 4 --seeds 1 2 3 --plot cartpole.png
    .venv/bin/python -m benchmarks.strength --run runs/latest --app spiel:tic_tac_toe    # judges a run that there is
    .venv/bin/python -m benchmarks.strength --kill-every 1000 --set reanalyse_count=1 --set buffer_checkpoint_seconds=20

A model is judged without exploration, as tools/evaluate.sh does. In a game of one player: the mean return of --games
episodes. Against --opponent: the score, wins + draws / 2, of so many games in each seat, with its 95 % interval.
certificate (tic-tac-toe): the lines of play that it loses against any reply, in both seats; `first_clean_s` is when the
first model was dumped that loses none.

With --kill-every, in place of --minutes: after every so many learns the first process of another role is killed
(SIGKILL); then the mesh is stopped and resumed, and learns as long again. The report has what happened to it, and the
medians of some models before and after (benchmarks.kills).

Prints JSON: of each seed its models, each with its learns and the seconds from the run's start to its dump.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.kills import Course, Mesh, beside, killed_in_turn
from benchmarks.report import ROOT, as_program, finish, run_mesh
from kaimesh.arena import match, opponents
from kaimesh.arena.arguments import MOST_STEPS, SEED
from kaimesh.arena.certificate import certificate
from kaimesh.arena.episodes import play
from kaimesh.arena.models import find_model
from kaimesh.arena.openings import fixtures
from kaimesh.arena.players import Contestant, load, prepared
from kaimesh.arena.scene import Scene
from kaimesh.arena.standings import standings
from kaimesh.config import load as read
from kaimesh.contract.seeds import evaluation_seeds
from kaimesh.process.life import set_threads
from kaimesh.process.run_dir import RunDir
from kaimesh.training.checkpoint import ModelInfo, listed

CERTIFICATE = "certificate"
Judge = Callable[[Contestant], dict[str, Any]]


def main() -> None:
    """Runs the meshes, judges their models and reports."""
    arguments = options().parse_args()
    set_threads(1)
    names = [0] if arguments.run else arguments.seeds
    runs = {seed: untouched(RunDir(arguments.run)) if arguments.run else trained(arguments, seed) for seed in names}
    found = [{"seed": seed, **judged(arguments, run)} for seed, run in runs.items()]
    if arguments.plot:
        draw(found, f"{arguments.app}, {arguments.algo}", arguments.plot)
    shown = {"app": arguments.app, "algo": arguments.algo, "minutes": arguments.minutes, "set": arguments.set}
    finish("strength", {**shown, "judged_by": found[0]["judged_by"], "runs": found}, arguments.json)


def options() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="spiel:tic_tac_toe")
    parser.add_argument("--algo", default="muzero")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of a run, from the mesh being up")
    parser.add_argument("--kill-every", type=int, default=0, metavar="LEARNS", help="kill each role, stop and resume")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="random_seed of each run")
    parser.add_argument("--run", type=Path, help="judge this run, and train none")
    parser.add_argument("--models", type=int, default=0, help="judge so many, evenly spread; 0: all")
    parser.add_argument("--opponent", help=f"as of tools/evaluate.sh, or {CERTIFICATE}, as for tic-tac-toe")
    parser.add_argument("--games", type=int, default=100, help="episodes; in a game of several players of each seat")
    parser.add_argument("--random-plies", type=int, default=2, help="of chance, with which each game begins")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in tools/start.sh")
    parser.add_argument("--plot", type=Path, help="draw the curves: a .png or .svg")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    return parser


def trained(arguments: argparse.Namespace, seed: int) -> Course:
    """The run of a mesh that has trained for --minutes, or was killed meanwhile; every dump is kept."""
    runs, program = ROOT / "runs", [sys.executable, "-m", "kaimesh.operate.cli"]
    command = [*program, "start", "--app", arguments.app, "--algo", arguments.algo]
    for setting in (f"random_seed={seed}", "max_save_model_file_count=100000", f"runs_dir={runs}", *arguments.set):
        command += ["--set", setting]
    print(f"seed {seed}: {' '.join(command[1:])}", file=sys.stderr, flush=True)
    if not arguments.kill_every:
        run_mesh([*command, "--wait", "--max-seconds", str(60 * arguments.minutes)])
        return untouched(RunDir.latest(runs))
    stop = partial(subprocess.run, [*program, "stop", "all"], cwd=ROOT, check=True, stdout=sys.stderr)
    mesh = Mesh(lambda *words: run_mesh([*command, "--detach", *words]), stop, lambda: RunDir.latest(runs))
    try:
        return killed_in_turn(mesh, arguments.kill_every)
    except BaseException:
        stop()
        raise


def untouched(run: RunDir) -> Course:
    """A run to which nothing was done; it began with its last start."""
    return Course(run, run.conf.stat().st_mtime)


def judged(arguments: argparse.Namespace, course: Course) -> dict[str, Any]:
    """The models of a run, each with what was found."""
    judge, words = judging(arguments, course)
    models = [judge(info) for info in spread(dumps(course.run), arguments.models)]
    clean = [model["seconds"] for model in models if model.get("losing") == 0]
    found: dict[str, Any] = {"run": course.run.root.name, "judged_by": words}
    if "losing" in models[-1]:
        found["first_clean_s"] = min(clean, default=None)
    if course.happened:
        found["happened"] = beside(course.happened, models, measure(models[-1]))
    return {**found, "models": models}


def dumps(run: RunDir) -> list[ModelInfo]:
    """What the learner has dumped so far, but for the model of before the first learn."""
    return [info for info in listed(run.ckpt) if info.id]


def judging(arguments: argparse.Namespace, course: Course) -> tuple[Callable[[ModelInfo], dict[str, Any]], str]:
    """What judges a dump of a run, and how, in words."""
    config = read(course.run.conf, {})
    scene = Scene(config.app, {})
    user = prepared(config, scene, logging.getLogger("strength"))
    judge, words = judge_of(arguments, scene)

    def found(info: ModelInfo) -> dict[str, Any]:
        who = load(config, scene, user, find_model(course.run, str(info.id)))
        model = {"learns": info.id, "seconds": round(info.time - course.began, 1), **judge(who)}
        print(f"model {info.id}: {model}", file=sys.stderr, flush=True)
        return model

    return found, words


def spread(infos: Sequence[Any], count: int) -> list[Any]:
    """`count` of them, evenly spread, the last one too; 0: all."""
    if not count or count >= len(infos):
        return list(infos)
    return [infos[round((k + 1) * len(infos) / count) - 1] for k in range(count)]


def judge_of(arguments: argparse.Namespace, scene: Scene) -> tuple[Judge, str]:
    """What judges a model, and how, in words."""
    seeds, most = evaluation_seeds(SEED, arguments.games), max(MOST_STEPS, scene.limit)
    if scene.players == 1:
        return lambda who: returned(who, seeds, most), f"the mean return of {arguments.games} episodes"
    if (arguments.opponent or CERTIFICATE) == CERTIFICATE:
        return lambda who: certified(who, scene), "the lines of play that it loses"
    opponent = opponents.read(arguments.opponent)

    def scored(who: Contestant) -> dict[str, Any]:
        other = opponents.seated(opponent, scene, who, False, lambda _model: who)
        games = fixtures(scene, range(scene.players), seeds, arguments.random_plies)
        total = standings(list(match.play(who.player(False), other, games, most)))["all"]
        return {name: total[name] for name in ("score", "wins", "draws", "losses")} | {
            "interval_95": total["intervals"]["score"]
        }

    plies = f", the first {arguments.random_plies} plies by chance" if arguments.random_plies else ""
    return scored, f"the score against {opponent.words}, {arguments.games} games in each seat{plies}"


def certified(who: Contestant, scene: Scene) -> dict[str, Any]:
    """How many lines of play the model loses."""
    found = certificate(who.player(False), scene, range(scene.players), lambda _line: None)
    return {name: found[name] for name in ("losing", "lines", "asked")}


def returned(who: Contestant, seeds: Sequence[int], most_steps: int) -> dict[str, Any]:
    """The model's returns."""
    scores = [episode.score for episode in play(who.player(False), seeds, most_steps, lambda _steps: None)]
    return {"return": sum(scores) / len(scores), "least": min(scores)}


def draw(runs: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """The curve of each run over its minutes; over its learns where something happened to it, which is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for run in runs:
        models, happened = run["models"], run.get("happened", ())
        x = [model["learns"] if happened else model["seconds"] / 60 for model in models]
        axes.plot(x, [model[measure(model)] for model in models], marker=".", label=f"seed {run['seed']}")
        if "interval_95" in models[0]:
            axes.fill_between(x, *zip(*(model["interval_95"] for model in models), strict=True), alpha=0.2)
        for one in happened:
            axes.axvline(one["learns"], color="grey", linestyle=":")
            words, place = f"{one['what']}, {one['seconds']:.0f} s", axes.get_xaxis_transform()
            axes.text(one["learns"], 0.98, words, rotation=90, ha="right", va="top", transform=place)
        across = "learns" if happened else "minutes of training"
        axes.set(xlabel=across, ylabel=run["judged_by"], title=title, yscale="symlog" if happened else "linear")
    if axes.get_yscale() == "symlog":
        axes.set_ylim(bottom=-0.1)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def measure(model: dict[str, Any]) -> str:
    """By what it was judged."""
    return next(name for name in ("losing", "score", "return") if name in model)


if __name__ == "__main__":
    as_program(main)
