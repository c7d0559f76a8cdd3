"""How good each model is that a training in one process dumps: games of evaluation, played at once.

They are played by an agent of its own that loads the model's file, in environments of its own and with the seeds of
evaluations, the same ones for every model. So the training makes the same models with them and without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kaimesh.arena import match, opponents
from kaimesh.arena.arguments import MOST_STEPS, SEED
from kaimesh.arena.episodes import Episode, play
from kaimesh.arena.models import Model
from kaimesh.arena.openings import fixtures
from kaimesh.arena.opponents import SELF
from kaimesh.arena.players import Contestant, load, prepared
from kaimesh.arena.scene import Scene
from kaimesh.arena.standings import Result, standings
from kaimesh.contract.errors import ConfigError, Stopped
from kaimesh.contract.seeds import evaluation_seeds
from kaimesh.process.life import Context
from kaimesh.process.meter import JUDGED
from kaimesh.training.checkpoint import ModelInfo
from kaimesh.training.tensorboard import Curves

PLIES = 2  # of chance, with which games of a model against itself begin: else all of them would be one game


class Checkpoints:
    """Judges the models that are dumped by the process of `context`; see `kaimesh.aisrv.local`.

    Raises ConfigError: the game and `eval_opponent` do not fit each other. AgentError: the agent's code raised.
    """

    def __init__(self, context: Context) -> None:
        app = context.config.app
        self._context, self._scene = context, Scene(app, {})
        self._opponent = opponents.read(app.eval_opponent)
        if self._scene.players == 1 and self._opponent.kind != opponents.DEFAULT:
            raise ConfigError(
                f"eval_opponent = {app.eval_opponent}: {app.app} has one player, so there is nobody to play against, "
                "and nothing was started. Leave it out."
            )
        self._user = prepared(context.config, self._scene, context.logger)
        self._most_steps = max(MOST_STEPS, self._scene.limit)
        self._seeds = evaluation_seeds(SEED, app.eval_games)
        self._curves = Curves(context.run.tensorboard / "evaluation")
        self._phase = context.meter.phase("evaluate")

    def __call__(self, folder: Path, info: ModelInfo) -> None:
        """Plays with the model `info` of `folder`; logs what came out, and draws it. A stop ends it without a result.

        Raises AgentError: the agent's code raised; and what the environment raises.
        """
        try:
            with self._phase:
                who = load(self._context.config, self._scene, self._user, Model(folder, info.id))
                found, told = self._match(who) if self._scene.players > 1 else self._episodes(who)
        except Stopped:
            return
        self._context.logger.info("evaluation of model %d: %s", info.id, told)
        for name, value in found.items():
            self._context.meter.gauge(f"{JUDGED}{name}", value)
        self._context.meter.gauge(f"{JUDGED}model", info.id)
        self._curves.write(info.id, {f"{JUDGED}{name}": value for name, value in found.items()})

    def close(self) -> None:
        """Closes TensorBoard's file."""
        self._curves.close()

    def _episodes(self, who: Contestant) -> tuple[dict[str, float], str]:
        """Numbers by name, and a sentence."""
        episodes = list(play(who.player(False), self._seeds, self._most_steps, self._watch))
        scores = [episode.score for episode in episodes]
        found = {"return": sum(scores) / len(scores), "length": _length(episodes)}
        told = (
            f"in {len(scores)} episodes without exploration its mean return is {found['return']:.4g}, the least "
            f"{min(scores):.4g}, the highest {max(scores):.4g}"
        )
        if (threshold := self._scene.threshold()) is not None:
            reached = sum(score >= threshold for score in scores)
            found["success"] = reached / len(scores)
            told += f"; {reached} of them reach {threshold:g}, which counts as a success"
        return found, told

    def _match(self, who: Contestant) -> tuple[dict[str, float], str]:
        """The same, of games."""
        scene, opponent = self._scene, self._opponent
        other = opponents.seated(opponent, scene, who, False, lambda _model: who)
        plies = PLIES if opponent.kind == SELF else 0
        games = fixtures(scene, range(scene.players), self._seeds, plies)
        results: list[Result] = list(match.play(who.player(False), other, games, self._most_steps, self._watch))
        total = standings(results)["all"]
        count = total["games"]
        found = {name: total[name] / count for name in ("wins", "draws", "losses")}
        found |= {"score": total["score"], "length": _length([result.episode for result in results])}
        low, high = total["intervals"]["score"]
        opened = f", which begin with {plies} random plies" if plies else ""
        told = (
            f"in {count} games against {opponent.words}, {len(self._seeds)} in each seat{opened}, it won "
            f"{total['wins']}, drew {total['draws']} and lost {total['losses']}: score {total['score']:.3f} (wins + "
            f"draws / 2; 95 % interval {low:.3f} to {high:.3f})"
        )
        return found, told

    def _watch(self, steps: Sequence[int]) -> None:
        """Raises Stopped: the process was asked to stop."""
        del steps
        self._context.meter.beat()
        if self._context.stop.is_set():
            raise Stopped


def _length(episodes: Sequence[Episode]) -> float:
    return sum(episode.length for episode in episodes) / len(episodes)
