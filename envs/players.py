"""Who moves next and what every player got, read from an environment's infos and checked.

An environment with P > 1 players names `players = P` in its metadata. Then `reset` and `step` have `info["to_play"]`,
the player who moves next, 0..P-1, and `step` has `info["rewards"]`, what each player got by this move, P numbers;
gymnasium's own reward is that of the player who moved. Once an episode is over nobody moves, and `to_play` may be any
of the players. Of a vector environment they are `[N]` and `[N, P]`; in a slot's reset step its rewards are not read.

A game in which P players choose at the same time is one of these where they choose one after the other, each without
seeing what the others chose, and the last choice is rewarded.

What is wrong is told by an EnvContractError in words, as by envs/returned. Shape legend: N slots, P players.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kaimesh.contract.errors import EnvContractError
from kaimesh.envs.interface import PLAYERS
from kaimesh.envs.returned import NOT_FINITE, Wrong

TO_PLAY, REWARDS = "to_play", "rewards"
_WHOLE, _ANY = "biu", "biuf"  # kinds of dtypes
_NEAR = 1e-5  # of two rewards that are the same in other dtypes


def mover_of(info: Mapping[str, Any], players: int) -> int:
    """Who moves next, from the info of one environment. Raises EnvContractError."""
    if TO_PLAY not in info:
        raise EnvContractError(
            f"its metadata declare {PLAYERS} = {players}, but an info had no {TO_PLAY!r}; whose move it is would be a "
            f"guess. Return info[{TO_PLAY!r}], the player who moves next, 0..{players - 1}, from every reset and step."
        )
    return _mover(info[TO_PLAY], players)


def rewards_of(info: Mapping[str, Any], players: int, reward: float, mover: int) -> np.ndarray:
    """What each player got by a step, float32 `[P]`, from its info. reward: gymnasium's. mover: who made the move.

    Raises EnvContractError.
    """
    if REWARDS not in info:
        raise EnvContractError(
            f"its metadata declare {PLAYERS} = {players}, but the info of a step had no {REWARDS!r}; what the others "
            f"got would be a guess. Return info[{REWARDS!r}], {players} numbers, one for each player, from every step."
        )
    rewards = _rewards(info[REWARDS], players)
    _check_own(rewards, reward, mover)
    return rewards


def _mover(value: Any, players: int) -> int:
    number = _numbers(value, _WHOLE)
    if number is None or number.shape or not 0 <= number < players:
        raise EnvContractError(
            f"info[{TO_PLAY!r}] is {reprlib.repr(value)}; whose move it is, is not known. Return the number of the "
            f"player who moves next, an int 0..{players - 1}; at an episode's end any of them."
        )
    return int(number)


def _rewards(value: Any, players: int) -> np.ndarray:
    numbers = _numbers(value, _ANY)
    with np.errstate(over="ignore"):  # it is told below
        rewards = np.empty(0) if numbers is None else numbers.astype(np.float32)
    if rewards.shape != (players,):
        raise EnvContractError(
            f"info[{REWARDS!r}] is {reprlib.repr(value)}; which player got what is not known. Return {players} "
            "numbers, one for each player."
        )
    if not np.isfinite(rewards).all():
        raise EnvContractError(f"info[{REWARDS!r}] holds {float(rewards[~np.isfinite(rewards)][0])}; {NOT_FINITE}")
    return rewards


def _check_own(rewards: np.ndarray, reward: float, mover: int) -> None:
    own = float(rewards[mover])
    if not abs(own - reward) <= _NEAR + _NEAR * abs(reward):
        raise EnvContractError(
            f"a reward is {reward}, but info[{REWARDS!r}] has {own} for player {mover}, who moved; one of them is "
            "another player's. Return the reward of the player who moved, not of the one who moves next."
        )


class Table:
    """The players of N slots, P > 1 in each, as the newest reset or step left them.

    to_play: int8 `[N]`. rewards: float32 `[N, P]`, zeros after a reset.
    """

    def __init__(self, count: int, players: int) -> None:
        self.players = players
        self.to_play, self.rewards = np.zeros(count, np.int8), np.zeros((count, players), np.float32)
        self._slots = np.arange(count)
        self._before = self.to_play  # int8 [N]: who made the newest step
        self._over = np.zeros(count, bool)  # [N]: the next step is a reset

    def begin(self, infos: Mapping[str, Any]) -> Wrong:
        """Takes the infos of a reset of all slots; returns what is wrong with each."""
        self._over[:] = False
        self.rewards = np.zeros_like(self.rewards)
        return self._read_movers(infos)

    def step(self, infos: Mapping[str, Any], rewards: np.ndarray, over: np.ndarray) -> Wrong:
        """Takes the infos of a step; returns what is wrong with each slot, where the newest values are those of before.

        rewards: gymnasium's, float32 `[N]`. over: bool `[N]`, whose episode has just ended.
        """
        self._before = self.to_play
        resetting, self._over = self._over, over
        return {**self._read_rewards(infos, rewards, resetting), **self._read_movers(infos)}

    def stand(self, aborted: np.ndarray) -> None:
        """In the slots `aborted`, bool `[N]`, the newest step was none: nobody got anything, who moves is as before."""
        self.to_play = np.where(aborted, self._before, self.to_play)
        self.rewards = np.where(aborted[:, None], np.float32(0), self.rewards)
        self._over = self._over | aborted

    def _read_movers(self, infos: Mapping[str, Any]) -> Wrong:
        count, told = len(self.to_play), _told(infos, TO_PLAY)
        column = _numbers(told, _WHOLE)
        if column is not None and column.shape == (count,) and column.min() >= 0 and column.max() < self.players:
            self.to_play = column.astype(np.int8)
            return {}
        self.to_play, wrong = self.to_play.copy(), {}
        for i in range(count):
            try:
                self.to_play[i] = mover_of({} if (one := _slot(told, i)) is None else {TO_PLAY: one}, self.players)
            except EnvContractError as error:
                wrong[i] = error
        return wrong

    def _read_rewards(self, infos: Mapping[str, Any], rewards: np.ndarray, resetting: np.ndarray) -> Wrong:
        movers, count, told = self._before, len(rewards), _told(infos, REWARDS, resetting)
        column = _numbers(told, _ANY)
        if column is not None and column.shape == (count, self.players):
            with np.errstate(over="ignore"):  # it is told below
                earned = np.where(resetting[:, None], np.float32(0), column.astype(np.float32))
            own, said = earned[self._slots, movers], np.where(resetting, np.float32(0), rewards)
            near = np.abs(own - said) <= _NEAR + _NEAR * np.abs(said)  # not so of NaN and infinity
            if near.all() and np.isfinite(earned).all():
                self.rewards = earned
                return {}
        self.rewards, wrong = np.zeros_like(self.rewards), {}
        for i in np.flatnonzero(~resetting):
            one, reward, mover = _slot(told, int(i)), float(rewards[i]), int(movers[i])
            try:
                self.rewards[i] = rewards_of({} if one is None else {REWARDS: one}, self.players, reward, mover)
            except EnvContractError as error:
                wrong[int(i)] = error
        return wrong


def _told(infos: Mapping[str, Any], name: str, resetting: np.ndarray | bool = False) -> Any:
    """What the infos have of `name`; a list with None for slots that told nothing, as gymnasium's masks say."""
    told, present = infos.get(name), infos.get(f"_{name}")
    if present is None or told is None or (present | resetting).all():
        return told
    return [one if there else None for one, there in zip(told, present, strict=True)]


def _numbers(told: Any, kinds: str) -> np.ndarray | None:
    """`told` as an array of numbers; None where a look at each slot must tell."""
    try:
        column = np.asarray(told)
    except ValueError:  # rows of different lengths
        return None
    return column if column.dtype.kind in kinds else None


def _slot(told: Any, i: int) -> Any:
    """What slot `i` told, of a list or an array; None: nothing."""
    return told[i] if isinstance(told, Sequence | np.ndarray) and len(told) > i else None
