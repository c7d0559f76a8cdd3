"""Playing episodes with a trained model: finding the model, the loop for native and for Kaiwu-style agents, the statistics.

Every episode that is started is counted, so that short ones have no advantage. Shape legend: N environments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kaimesh.agent import protocol, user_code
from kaimesh.arrays import Batch, Specs
from kaimesh.errors import ConfigError
from kaimesh.run import RunDir

_MODEL_FILE = re.compile(r"model\.ckpt-(\d+)\..+")


class Episode(NamedTuple):
    """score: the return, in the environment's true rewards. length: in steps."""

    score: float
    length: int


class Model(NamedTuple):
    """What `load_model` is called with."""

    folder: Path
    id: int


Watch = Callable[[Any], None]  # gets the environment after every reset and step


def find_model(run: RunDir | None, wanted: str) -> Model:
    """`wanted`: "latest", an id, a folder of models (its newest) or a model file. Raises ConfigError: it is not there."""
    path = Path(wanted)
    if wanted != "latest" and not wanted.isdecimal():
        if path.is_dir():
            return _newest(path)
        if match := _MODEL_FILE.fullmatch(path.name):
            if path.is_file():
                return Model(path.parent, int(match[1]))
            raise ConfigError(f"--model {wanted}: there is no such file")
        raise ConfigError(
            f"--model {wanted!r} is neither 'latest', nor an id, nor a folder, nor a file model.ckpt-<id>.*"
        )
    if run is None:
        raise ConfigError(f"--model {wanted} is looked for in a run; give --run, or a folder or file as --model")
    if wanted == "latest":
        return _newest(run.ckpt)
    folders = (run.ckpt, run.user_ckpt)
    for folder in folders:
        if any(folder.glob(f"model.ckpt-{wanted}.*")):
            return Model(folder, int(wanted))
    known = ", ".join(map(str, sorted({i for folder in folders for i in _ids(folder)}))) or "none"
    raise ConfigError(f"--model {wanted}: {run.root} has no such model; it has {known} (older ones were deleted)")


def _newest(folder: Path) -> Model:
    if ids := _ids(folder):
        return Model(folder, max(ids))
    raise ConfigError(
        f"{folder} has no model yet; the learner dumps every dump_model_freq learns, and first at its start"
    )


def _ids(folder: Path) -> list[int]:
    return [int(match[1]) for file in folder.glob("model.ckpt-*") if (match := _MODEL_FILE.fullmatch(file.name))]


def play_native(agent: Any, env: Any, episodes: int, seed: int, watch: Watch | None = None) -> Iterator[Episode]:
    """Episodes of a native agent on a vector environment; every slot plays its share, the first ones the rest."""
    n = env.num_envs
    left = np.array([episodes // n + (i < episodes % n) for i in range(n)])  # [N] episodes still to be counted
    score, length, over = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, bool)  # [N] each
    observation, _ = env.reset(seed=seed)
    while left.any():
        if watch:
            watch(env)
        columns = {"obs": observation}
        if env.legal_actions is not None:
            columns["legal_act"] = env.legal_actions
        with user_code("evaluate: Agent.exploit"):
            acts = Batch.of(agent.exploit(Batch(columns)))
        observation, _, terminated, truncated, _ = env.step(acts.columns["action"])
        score += np.where(over, 0.0, env.true_rewards)  # after an episode's end comes its reset step
        length += ~over
        over = terminated | truncated
        for i in np.flatnonzero(over):
            if left[i]:
                left[i] -= 1
                yield Episode(float(score[i]), int(length[i]))
            score[i], length[i] = 0.0, 0


def play_kaiwu(agent: Any, facades: Sequence[Any], episodes: int, watch: Watch | None = None) -> Iterator[Episode]:
    """Episodes of a Kaiwu-style agent: observation_process, exploit, action_process."""
    observe: Callable[[Any], Any] = _function(agent, "observation_process") or (lambda raw_obs: raw_obs)
    act: Callable[[Any], Any] = _function(agent, "action_process") or (lambda act_data: act_data.action)
    started, specs = 0, None
    playing: dict[Any, Any] = {}  # facade -> its observation

    def start(facade: Any) -> None:
        nonlocal started
        if started < episodes:
            started += 1
            playing[facade] = facade.reset()
            if watch:
                watch(facade)

    for facade in facades:
        start(facade)
    while playing:
        with user_code("evaluate: observation_process"):
            rows = [observe(raw) for raw in playing.values()]
        specs = specs or Specs.of_object(rows[0])
        with user_code("evaluate: Agent.exploit"):
            answer = agent.exploit(Batch(Batch.of(rows, specs).columns, protocol("ObsData")))
        acts = answer[0] if isinstance(answer, tuple) else answer  # (list, model version) in generation G2
        for facade, act_data in zip(list(playing), acts, strict=True):
            with user_code("evaluate: action_process"):
                action = act(act_data)
            frame_no, playing[facade], _, terminated, truncated, _ = facade.step(action)
            if watch:
                watch(facade)
            if terminated or truncated:
                del playing[facade]
                yield Episode(facade.score, frame_no)
                start(facade)


def _function(agent: Any, name: str) -> Any:
    return getattr(agent, name, None) or protocol(name)


def statistics(episodes: Sequence[Episode], threshold: float | None) -> dict[str, Any]:
    """Mean, deviation and quantiles of returns and lengths; `success`: the share of returns >= threshold, where there is one."""

    def summary(values: np.ndarray) -> dict[str, float]:
        quantiles = {"min": values.min(), "median": np.median(values), "max": values.max()}
        return {name: float(value) for name, value in {"mean": values.mean(), "std": values.std(), **quantiles}.items()}

    scores = np.array([episode.score for episode in episodes], np.float64)
    return {
        "episodes": len(episodes),
        "return": summary(scores),
        "length": summary(np.array([episode.length for episode in episodes], np.float64)),
        "success": None if threshold is None else float(np.mean(scores >= threshold)),
        "success_return": threshold,
    }
