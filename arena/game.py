"""What a person plays: an environment and its episodes, alone or against a model.

In a game of several players without a rival, the keys are those of whoever is to move. Shape legend: P players.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kaimesh import envs
from kaimesh.arena.episodes import Episode, Player, VectorisedPlay
from kaimesh.arena.face import face_of, wants_text
from kaimesh.arena.recording import Recording
from kaimesh.arena.standings import Result
from kaimesh.contract.face import Line
from kaimesh.contract.guard import environment

PERSON = "a person at the keys"
_WORTH = {1.0: "lost", 0.5: "drawn", 0.0: "won"}  # for the person, by the worth for the rival


class Rival(NamedTuple):
    """Who has one of the seats, in each game the next one of `seats`; the person has all others.

    name: in words. player: of VectorisedPlays.
    """

    name: str
    player: Player
    seats: tuple[int, ...]


class Game:
    """One environment and its episodes, of seeds that count up. rival: None: the person plays alone, or for all.

    players: P. returns: what each has got in this episode, `[P]`. results: the games against the rival that ended.
    Raises ConfigError: it cannot be made, or not be played by keys. Every method raises EnvError: the environment
    raised; AgentError: it called exit.
    """

    def __init__(
        self, app: str, env_conf: dict[str, Any], max_episode_steps: int, seed: int, rival: Rival | None = None
    ) -> None:
        self.app, self._conf, self._limit = app, env_conf, max_episode_steps
        with environment("its constructor"):
            self.env = self._make(None)
            if wants_text(self.env):
                self.env.close()
                self.env = self._make("ansi")
            self.face = face_of(self.env)
        self.players, self.rival = self.env.spaces.players, rival
        self.seed, self.episode = seed - 1, 0
        self.results: list[Result] = []
        self._board: VectorisedPlay | None = None  # the rival's
        self.restart()

    @property
    def to_play(self) -> int:
        """Who is to move."""
        return 0 if self.env.to_play is None else int(self.env.to_play[0])

    @property
    def seat(self) -> int:
        """Whose return is the score of a recording: the rival's, or the first player's."""
        return self.rival.seats[(self.episode - 1) % len(self.rival.seats)] if self.rival else 0

    @property
    def score(self) -> str:
        """The return so far, or those of all players."""
        name = "score" if self.players == 1 else "returns"
        return f"{name} {', '.join(f'{value:g}' for value in self.returns)}"

    def restart(self) -> None:
        """The next episode."""
        self.seed, self.episode = self.seed + 1, self.episode + 1
        with environment("reset"):
            self.observation = self.env.reset(seed=self.seed)[0][0]
        self.actions: list[int] = []
        self.plies: list[int] = []  # the rival's
        self.returns, self.over = np.zeros(self.players), False
        self.message = ""
        if self.rival is not None:
            if self._board is not None:
                self._board.close()
            self._board = self.rival.player.start(self.seed)
            self._answer()

    def press(self, key: str) -> None:
        """A key of the face's; nothing happens in an episode that is over."""
        action = None if self.over else self.face.press(key)
        if action is None:
            return
        legal = self.env.legal_actions
        if legal is not None and not legal[0, action]:
            self.message = f"action {action} is not allowed now"
            return
        self._step(action)
        if self._board is not None:
            self._board.follow(action)
            self._answer()
        if self.over:
            self.message = self._ended()

    def picture(self, width: int, height: int, colours: bool) -> list[Line]:
        """What the face shows now, see Face."""
        with environment("render"):
            return self.face.picture(self.observation, width, height, colours)

    def status(self) -> list[str]:
        """The lines below the picture, see Face."""
        with environment("render"):
            return self.face.status().splitlines()

    def recording(self) -> Recording:
        """The episode so far."""
        told = PERSON if self.rival is None else f"{self.rival.name} in seat {self.seat} against {PERSON}"
        actions, score = np.array(self.actions, np.int64), float(self.returns[self.seat])
        return Recording(self.app, self._conf, self._limit, self.seed, actions, score, told, seat=self.seat)

    def _step(self, action: int) -> None:
        with environment("step"):
            observations, _, terminated, truncated, _ = self.env.step(np.array([action]))
        self.observation = observations[0]
        self.actions.append(action)
        got = self.env.true_rewards if self.env.player_rewards is None else self.env.player_rewards[0]
        self.returns += got
        self.message = f"reward {', '.join(f'{value:g}' for value in got)}" if got.any() else ""
        self.over = bool(terminated[0] or truncated[0])

    def _answer(self) -> None:
        """The rival's moves, as long as it is its turn."""
        assert self.rival is not None
        assert self._board is not None
        while not self.over and self.to_play == self.seat:
            (act,) = self.rival.player.act([self._board])
            self._board.step(act)
            action = int(act.columns["action"][0])
            self.plies.append(len(self.actions))
            self._step(action)
            if not self.message:
                self.message = f"{self.rival.name}: action {action}"

    def _ended(self) -> str:
        length = f"in {len(self.actions)} steps"
        if self.rival is None:
            return f"The episode is over: {self.score} {length}."
        episode = Episode(self.seed, float(self.returns[self.seat]), np.array(self.actions, np.int64), {})
        self.results.append(Result(self.seat, self.returns, tuple(self.plies), episode))
        return f"The game is over: you have {_WORTH[self.results[-1].worth]}, {self.score} {length}."

    def _make(self, render_mode: str | None) -> envs.MeshEnv:
        return envs.make_vector(
            self.app, 1, env_conf=self._conf, max_episode_steps=self._limit, render_mode=render_mode
        )
