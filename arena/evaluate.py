"""Plays episodes with a trained model and prints how good it is: `./tools/evaluate.sh --episodes 100 --model latest`.

Actions come from the agent's `exploit`. Episode e has an environment of its own with the seed `--seed` + e, so that all
models play the same episodes; no environment of a training has one of these seeds (contract/seeds). See arena/figures
for the numbers, and envs/reports for those that an environment adds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kaimesh import ROOT, envs
from kaimesh.arena import Episode, Model, find_model, options
from kaimesh.arena.episodes import Kaiwu, Player, Vectorised, Watch, play
from kaimesh.arena.figures import statistics, words
from kaimesh.arena.progress import follow
from kaimesh.arena.recording import Recording
from kaimesh.config import App, Config, load, trust
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.packages import find_own_code
from kaimesh.config.reading import parse, read
from kaimesh.contract.agent import called_exit, user_code
from kaimesh.contract.errors import EXIT_AGENT, EXIT_CONFIG, ConfigError, MeshError
from kaimesh.contract.kaiwu import KaiwuEnv
from kaimesh.contract.seeds import evaluation_seeds
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.agents import make_agent, workflow_of
from kaimesh.process.guarded import guarded
from kaimesh.process.life import set_threads
from kaimesh.process.logs import configure as configure_logging
from kaimesh.process.run_dir import RunDir, runs_dir

CALLER_VARIABLE = "KAIMESH_FROM"  # the folder where the user typed the command; tools/*.sh change to the checkout
PICTURES = (".png", ".svg", ".pdf")
FILMS = (".gif", ".mp4", ".html")
MOST_STEPS = 30_000  # of an episode, by default: a whole game of Atari has 27,000
SEED = 1_000_003


class Evaluation:
    """An agent with a model, and the environment in which it is evaluated.

    changes: keys of env_conf that replace the configuration's. `notes`: sentences on other differences from training.
    """

    def __init__(self, config: Config, model: Model, changes: Mapping[str, Any]) -> None:
        self.config, self.model = config, model
        self.app, self.limit = config.app.app, config.app.max_episode_steps
        trained = dict(config.app.env_conf)
        fair = envs.for_evaluation(self.app, trained)
        self.env_conf = {**fair, **changes}
        self.notes = [
            f"played with {key} = {value!r}; training had {trained.get(key)!r}"
            for key, value in fair.items()
            if key in trained and value != trained[key] and key not in changes
        ]
        self.notes += envs.notes(self.app)
        self._user = self._new_agent()
        self._prepare()

    def play(self, episodes: int, seed: int, most_steps: int, watch: Watch) -> Iterator[Episode]:
        """Plays `episodes` episodes with the seeds from `seed` on; yields them in the order in which they end.

        most_steps, watch: see kaimesh.arena.episodes.play.
        """
        player: Player
        if workflow_of(self.config).vectorised:
            player = Vectorised(self._user, self._make_slot, envs.episode_report)
        else:
            player = Kaiwu(self._user, self._make_facade, envs.episode_report)
        yield from play(player, evaluation_seeds(seed, episodes), most_steps, watch)

    def recording(self, episode: Episode) -> Recording:
        """The recording from which `episode` can be repeated."""
        player = f"{self.config.algo.name}, model {self.model.id}"
        unit = self._user.unit_actions and episode.actions.ndim == 2
        return Recording(
            self.app, self.env_conf, self.limit, episode.seed, episode.actions, episode.score, player, unit
        )

    def threshold(self) -> float | None:
        """The least return with which an episode counts as a success; None: the environment names none."""
        env = envs.make(self.app, env_conf=self.env_conf)
        env.close()
        registered = env.spec.reward_threshold if env.spec else None
        declared = envs.Offers.of(env.metadata, self.app).success_return
        return registered if declared is None else declared

    def _make_slot(self) -> envs.MeshEnv:
        unit = self._user.unit_actions
        made = envs.make_vector(self.app, 1, env_conf=self.env_conf, max_episode_steps=self.limit, unit_actions=unit)
        return envs.featured(made, self._user.featured)

    def _make_facade(self, seed: int) -> KaiwuEnv:
        unit = self._user.unit_actions
        return envs.facade(self.app, env_conf=self.env_conf, seed=seed, max_episode_steps=self.limit, unit_actions=unit)

    def _new_agent(self) -> UserAgent:
        return make_agent(self.config, "actor", device="cpu", logger=configure_logging("evaluate", "WARNING"))

    def _prepare(self) -> None:
        if self._user.prepared is not None:
            slot = self._make_slot()
            slot.close()
            with user_code("Agent.setup"):
                self._user.prepared.setup(slot.spaces)
        with user_code(f"Agent.load_model({str(self.model.folder)!r}, {self.model.id})"):
            self._user.agent.load_model(path=str(self.model.folder), id=self.model.id)


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Evaluates as `arguments` say; returns the result that `main` prints.

    Raises ConfigError, AgentError, and what the environment raises.
    """
    _check_files(arguments)
    run = _run(arguments)
    overrides = {"app": arguments.app} if arguments.app else {}
    conf = _typed(arguments.conf) if arguments.conf else run.conf if run else DEFAULT_CONF
    if not arguments.trust:
        _check_origin(conf, typed=bool(arguments.conf) or run is None, app=arguments.app)
    find_own_code()  # makes the user's own environments and agents importable
    config = load(conf, overrides)
    wanted = arguments.model
    if wanted != "latest" and not wanted.isdecimal():
        wanted = str(_typed(wanted))
    evaluation = Evaluation(config, find_model(run, wanted), _changes(arguments, config.app.app))
    start = time.perf_counter()
    most = max(MOST_STEPS, evaluation.limit) if arguments.max_steps is None else arguments.max_steps
    episodes = follow(
        lambda watch: evaluation.play(arguments.episodes, arguments.seed, most, watch), arguments.episodes, most
    )
    episodes.sort(key=lambda episode: episode.seed)
    result = {
        "app": evaluation.app,
        "env_conf": evaluation.env_conf,
        "notes": evaluation.notes,
        "algo": config.algo.name,
        "model": evaluation.model.id,
        "seed": arguments.seed,
        "max_steps": most,
        "cut": [episode.seed for episode in episodes if episode.cut],
        **statistics(episodes, evaluation.threshold()),
        "seconds": round(time.perf_counter() - start, 3),
        "each": [{"seed": e.seed, "return": e.score, "length": e.length, "report": dict(e.report)} for e in episodes],
    }
    try:
        _write_files(arguments, evaluation, episodes, result)
    except OSError as error:
        raise ConfigError(
            f"{error.filename} cannot be written: {error.strerror}; the result of the episodes is lost. Name another "
            "file."
        ) from error
    return result


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


def _write_files(
    arguments: argparse.Namespace, evaluation: Evaluation, episodes: Sequence[Episode], result: dict[str, Any]
) -> None:
    """Writes the files of --record, --plot and --render, and adds their names to `result`."""
    if arguments.record:
        app = re.sub(r"[^A-Za-z0-9.-]+", "-", evaluation.app)
        for episode, one in zip(episodes, result["each"], strict=True):
            name = Path(arguments.record, f"{app}_model-{evaluation.model.id}_seed-{episode.seed}.json")
            evaluation.recording(episode).save(_typed(str(name)))
            one["file"] = str(name)
    if arguments.plot:
        from kaimesh.arena.picture import draw

        title = (
            f"{evaluation.app}, {evaluation.config.algo.name}, model {evaluation.model.id}: {len(episodes)} episodes"
        )
        draw(episodes, title, _typed(arguments.plot))
        result["plot"] = arguments.plot
    if arguments.render:
        from kaimesh.arena.replay import replay

        shown = replay(evaluation.recording(episodes[0]), _typed(arguments.render))
        result |= {"render": arguments.render, "render_return": shown["score"], "render_length": shown["steps"]}
        if shown["difference"]:
            result["notes"].append(
                f"{arguments.render}: {shown['difference']}; this environment does not repeat itself"
            )


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
        path = _typed(arguments.run)
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


def _typed(path: str) -> Path:
    """`path`, relative to the folder where the user typed the command."""
    return Path(os.environ.get(CALLER_VARIABLE, ".")) / path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate", description="Plays episodes with a trained model.", add_help=False
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this, and the options of --app")
    parser.add_argument("--episodes", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument(
        "--model", default="latest", help="latest, an id, a folder or a model file (default: %(default)s)"
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
    print(json.dumps(result, indent=1) if arguments.json else words(result))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, "evaluate"))
