"""What tools/evaluate.sh takes on its command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kaimesh.arena import modes, opponents
from kaimesh.arena.players import RANDOM
from kaimesh.config import trust

MOST_STEPS = 30_000  # of an episode, by default: a whole game of Atari has 27,000
SEED = 1_000_003


class Arguments(argparse.ArgumentParser):
    """The parser. `read` is what reads with it."""

    def __init__(self) -> None:
        super().__init__(prog="evaluate", description="Plays episodes with a trained model.", add_help=False)
        self.add_argument("-h", "--help", action="store_true", help="show this, and the options of --app")
        self.add_argument("--episodes", type=int, default=20, help="how many (default: %(default)s)")
        self.add_argument(
            "--model",
            default="latest",
            help=f"latest, an id, a folder, a model file, or {RANDOM}: any legal actions (default: %(default)s)",
        )
        self.add_argument(
            "--sample",
            action="store_true",
            help="draw actions as in training, by the agent's predict; else its exploit",
        )
        self.add_argument(
            "--compare",
            type=int,
            default=modes.EPISODES,
            metavar="N",
            help=f"play the first N episodes in the other of these two ways as well, and say so if the return differs "
            f"much; fewer than {modes.LEAST}: do not (default: %(default)s)",
        )
        self.add_argument("--code", metavar="PATH", help="a folder of agents written for Kaiwu, in place of a run's")
        self.add_argument("--algo", help="with --code: the algorithm (default: what the folder says)")
        self.add_argument("--run", help="the run's directory (default: runs/latest)")
        self.add_argument("--app", help="another environment than the run's")
        self.add_argument("--conf", help="another configuration than the run's")
        self.add_argument(
            "--env-conf",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="another argument of the environment; may be repeated",
        )
        self.add_argument("--seed", type=int, default=SEED, help="of the first episode (default: %(default)s)")
        self.add_argument(
            "--max-steps",
            type=int,
            metavar="N",
            help=f"cut an episode after so many steps; 0: never (default: max_episode_steps, at least {MOST_STEPS:,})",
        )
        self.add_argument("--record", metavar="DIR", help="write every episode to a file, which tools/replay.sh plays")
        self.add_argument("--plot", metavar="OUT.png", help="draw the distributions")
        self.add_argument(
            "--render", metavar="OUT.gif", help="show the first episode: .gif, .mp4, or .html with a time slider"
        )
        self.add_argument("--json", action="store_true", help="print JSON")
        self.add_argument("--trust", action="store_true", help=trust.HELP)
        self._add_games()

    def read(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """The arguments; `own`: options that the environment itself may have. Ends the process: one is wrong."""
        arguments, own = self.parse_known_args(argv)
        arguments.own = own
        if arguments.episodes < 1:
            self.error(f"--episodes {arguments.episodes}: at least one is needed")
        if arguments.max_steps is not None and arguments.max_steps < 0:
            self.error(f"--max-steps {arguments.max_steps}: it must be 1 or more, or 0 for no bound")
        if arguments.compare < 0:
            self.error(f"--compare {arguments.compare}: it must be {modes.LEAST} or more, or 0 for no comparison")
        if arguments.sample and arguments.model == RANDOM:
            self.error(f"--sample says how a model acts, and --model {RANDOM} has none; leave one of them out")
        if arguments.seed < 0:
            self.error(f"--seed {arguments.seed}: it must be 0 or more")
        if arguments.certificate and arguments.sample:
            self.error("--certificate walks what a model does by its exploit; leave --sample out")
        if arguments.random_plies < 0:
            self.error(f"--random-plies {arguments.random_plies}: it must be 0 or more")
        return arguments

    def _add_games(self) -> None:
        games = self.add_argument_group("games of several players", "--episodes: how many in each seat")
        games.add_argument(
            "--opponent",
            metavar="WHO",
            help=f"who sits in the other seats: {', '.join(opponents.FORMS)} (default: {opponents.DEFAULT})",
        )
        games.add_argument("--seat", type=int, metavar="N", help="the model's, from 0 (default: each in turn)")
        games.add_argument(
            "--random-plies",
            type=int,
            default=0,
            metavar="N",
            help="begin each game with so many random moves (default: %(default)s)",
        )
        games.add_argument(
            "--exact",
            type=int,
            metavar="PLY",
            help="compare the model's moves from this ply on with perfect play, where the game offers it",
        )
        games.add_argument(
            "--certificate",
            action="store_true",
            help="walk every line of play against the model and list those that it loses; exit code 1: there are some",
        )
