"""Games of OpenSpiel for gymnasium: N games that are played side by side, every player by the same agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyspiel
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.envs import interface
from kaimesh.envs.players import REWARDS, TO_PLAY
from kaimesh.envs.spiel import boards
from kaimesh.envs.spiel.game import PREFIX, load
from kaimesh.envs.spiel.seen import Seen
from kaimesh.envs.spiel.symmetries import symmetry_of

RENDER_MODES = ("ansi", "rgb_array")


class Spiel(VectorEnv):
    """`num_envs` games of `game`, a name of OpenSpiel's, with parameters of its own (envs/spiel/game).

    Observations: envs/spiel/seen. Every info has "legal_act", bool `[N, A]`, and with P > 1 players "to_play", int8
    `[N]`, and "rewards", float32 `[N, P]` (envs/players); after the last move `to_play` is who made it.
    random_plies: each game begins with so many moves at most, how many and which is drawn, so that self-play does not
    settle on a few games; 0: all begin with the same position, and a seed changes nothing. Evaluations have none.
    max_episode_steps: a game is truncated there, 0 never. render_mode: "ansi", OpenSpiel's own text; "rgb_array", a
    picture (envs/spiel/picture).

    Raises ConfigError: as `load`, a negative number of plies, or a render mode that there is not; AgentError in `step`:
    a move that is not allowed.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium's own form
        "render_modes": list(RENDER_MODES),
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        interface.LEGAL_ACTIONS: True,
    }

    def __init__(
        self,
        game: str,
        num_envs: int = 1,
        *,
        random_plies: int = 0,
        max_episode_steps: int = 0,
        render_mode: str | None = None,
        **conf: Any,
    ) -> None:
        if render_mode not in (None, *RENDER_MODES):
            raise ConfigError(
                f"{PREFIX}{game}: render_mode = {render_mode!r} must be one of {', '.join(RENDER_MODES)} or be left "
                "out; it draws in no other way. Correct it."
            )
        if type(random_plies) is not int or random_plies < 0:
            raise ConfigError(
                f"{PREFIX}{game}: env_conf.random_plies = {random_plies!r} must be a whole number of moves, 0 for "
                "none. No game was made. Correct it."
            )
        self.game, self._random_plies = load(game, conf), random_plies
        self.num_envs, self.render_mode, self._limit = num_envs, render_mode, max_episode_steps
        self.seen = Seen(self.game)
        self.players = self.seen.players
        self.board = boards.board_of(self.game)
        self.metadata = {**type(self).metadata, interface.PLAYERS: self.players}
        if self.board is not None:
            self.metadata |= boards.PARTS
        self.metadata[interface.SYMMETRY] = symmetry_of(self.game)
        if boards.is_standard_connect_four(self.game):
            self.metadata[interface.EXACT] = "kaimesh.envs.spiel.connect_four:Solver"
        self.single_observation_space = self.seen.space
        self.single_action_space = Discrete(self.game.num_distinct_actions())
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._by_move = self.game.get_type().reward_model == pyspiel.GameType.RewardModel.REWARDS
        self._first = self.game.new_initial_state()
        self._states: list[Any] = [self._first.clone() for _ in range(num_envs)]
        self._tensors = np.zeros((num_envs, self.seen.size), np.float32)
        self._legal = np.zeros((num_envs, self.game.num_distinct_actions()), bool)  # [N, A]
        # By slot, which Python reads sooner one by one than an array: views of the rows above, and lists.
        self._tensor_rows, self._legal_rows = list(self._tensors), list(self._legal)
        self._allowed: list[list[int]] = [[]] * num_envs
        self._to_play, self._steps = [0] * num_envs, [0] * num_envs
        self._over = [False] * num_envs  # the next step begins another game

    def position(self, slot: int) -> pyspiel.State:
        """Where the game in `slot` stands, for opponents that search. It is the game's own: play on in a clone()."""
        return self._states[slot]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new game everywhere."""
        super().reset(seed=seed, options=options)
        for i in range(self.num_envs):
            self._begin(i)
        self._over = [False] * self.num_envs
        return self._observations(), self._infos()

    def step(self, actions: np.ndarray) -> interface.Stepped:
        """A move in every game; where one is over, another one begins, with rewards 0."""
        rewards = np.zeros((self.num_envs, self.players), np.float32)
        terminated, movers, over = np.zeros(self.num_envs, bool), self._to_play.copy(), self._over
        for i, action in enumerate(np.asarray(actions).tolist()):
            if over[i]:
                self._begin(i)
                continue
            if action not in self._allowed[i]:
                raise self._forbidden(i, action)
            state = self._states[i]
            state.apply_action(action)
            self._steps[i] += 1
            self._look(i)
            if state.is_terminal():
                terminated[i], rewards[i] = True, state.rewards()
            elif self._by_move:
                rewards[i] = state.rewards()
        truncated = np.zeros_like(terminated)
        if self._limit:
            truncated = (np.array(self._steps) >= self._limit) & ~terminated
        self._over = (terminated | truncated).tolist()
        own = rewards[np.arange(self.num_envs), movers]
        return self._observations(), own, terminated, truncated, self._infos(rewards)

    @staticmethod
    def for_evaluation(conf: Mapping[str, Any]) -> dict[str, Any]:
        """`conf` with games that begin at their beginning."""
        return {**conf, "random_plies": 0} if "random_plies" in conf else dict(conf)

    def render(self) -> tuple[Any, ...] | None:
        """The text or the picture of each game, uint8 `[H, W, 3]`; None without a render mode."""
        if self.render_mode is None:
            return None
        if self.render_mode == "ansi":
            return tuple(map(str, self._states))
        from kaimesh.envs.spiel import picture  # the library that draws is loaded where something is drawn

        return tuple(picture.picture(state, self.board, self.seen) for state in self._states)

    def _begin(self, i: int) -> None:
        self._states[i] = self._opening() if self._random_plies else self._first.clone()
        self._steps[i] = 0
        self._look(i)

    def _opening(self) -> Any:
        """A position after 0 to `random_plies` random moves, at which the game goes on."""
        state, draws = self._first.clone(), self.np_random
        for _ in range(int(draws.integers(self._random_plies + 1))):
            after, moves = state.clone(), state.legal_actions()
            after.apply_action(moves[int(draws.integers(len(moves)))])
            if after.is_terminal():
                break
            state = after
        return state

    def _look(self, i: int) -> None:
        """Takes what there is to be seen in slot `i`."""
        state, legal = self._states[i], self._legal_rows[i]
        np.copyto(self._tensor_rows[i], self.seen.tensor(state))
        legal.fill(False)
        self._allowed[i] = allowed = [] if state.is_terminal() else state.legal_actions()
        if allowed:
            legal[allowed] = True
            self._to_play[i] = state.current_player()

    def _observations(self) -> np.ndarray:
        return self.seen.of(self._tensors, np.array(self._to_play, np.int8))

    def _infos(self, rewards: np.ndarray | None = None) -> dict[str, Any]:
        infos: dict[str, Any] = {"legal_act": self._legal.copy()}
        if self.players > 1:
            infos[TO_PLAY] = np.array(self._to_play, np.int8)
            if rewards is not None:
                infos[REWARDS] = rewards
        return infos

    def _forbidden(self, i: int, action: Any) -> AgentError:
        return AgentError(
            f"{PREFIX}{self.game.get_type().short_name}: the agent played {action!r} in slot {i}, which is not allowed "
            f"there; so are {str(self._allowed[i])[:80]}. It was not played. Choose among info['legal_act']."
        )
