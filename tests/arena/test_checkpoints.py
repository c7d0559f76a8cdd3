"""Games of evaluation with each model that a training in one process dumps."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from kaimesh.arena.checkpoints import Checkpoints
from kaimesh.config import load
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter
from kaimesh.training.checkpoint import ModelInfo

TIC = "tests.arena.boards:TicTacToe"
GAMES = 4


@pytest.fixture
def judged(make_run: Any, caplog: pytest.LogCaptureFixture) -> Any:
    """judged(app, algo, id, **keys): the context of the process that judged the model, and what it logged."""
    caplog.set_level(logging.INFO)

    def of(app: str, algo: str, id: int, stopped: bool = False, **keys: str) -> tuple[Context, str]:
        run = make_run(app, algo, ids=(id,), extra='wrapper_type = "local"\naisrv_count = 1\n')
        config = load(run.conf, {"eval_games": str(GAMES), **keys})
        context = Context(
            "aisrv_0", 0, config, run, "token", 1, Meter("aisrv_0"), logging.getLogger(), threading.Event()
        )
        if stopped:
            context.stop.set()
        judge = Checkpoints(context)
        judge(run.ckpt, ModelInfo(id, (), 0.0))
        judge.close()
        return context, caplog.text

    return of


def curves(context: Context) -> bytes:
    (file,) = (context.run.tensorboard / "evaluation").iterdir()
    return file.read_bytes()


def test_games_against_an_opponent_in_each_seat(judged: Any) -> None:
    """Model 3 takes the first free field, so it loses against one that sees it coming."""
    context, told = judged(TIC, "master", 3, eval_opponent="minimax:9")
    assert "evaluation of model 3: in 8 games against minimax:9, 4 in each seat, it won 0, drew " in told
    assert "score 0." in told
    found = context.meter.gauges
    assert set(found) == {f"evaluation/{name}" for name in ("wins", "draws", "losses", "score", "length", "model")}
    assert found["evaluation/model"] == 3
    assert found["evaluation/losses"] > 0
    assert found["evaluation/wins"] == 0
    assert found["evaluation/score"] == found["evaluation/draws"] / 2
    assert b"evaluation/score" in curves(context)


def test_perfect_play_against_itself_is_drawn_whatever_the_first_two_plies(judged: Any) -> None:
    _, told = judged(TIC, "master", 1, eval_opponent="self")
    assert "in 8 games against itself, 4 in each seat, which begin with 2 random plies, it won " in told


def test_episodes_of_one_player(judged: Any) -> None:
    context, told = judged("catch", "vectorised", 1)
    assert (
        "evaluation of model 1: in 4 episodes without exploration its mean return is 1, the least 1, the highest 1"
        in told
    )
    assert context.meter.gauges["evaluation/return"] == 1
    assert b"evaluation/return" in curves(context)
    context, told = judged("catch", "vectorised", 2)
    assert context.meter.gauges["evaluation/return"] == -1


def test_a_stop_leaves_no_result(judged: Any) -> None:
    context, told = judged("catch", "vectorised", 1, stopped=True)
    assert not context.meter.gauges
    assert "evaluation of" not in told


def test_what_cannot_be_is_refused_at_the_start(judged: Any) -> None:
    with pytest.raises(ConfigError, match="eval_opponent = self: catch has one player"):
        judged("catch", "vectorised", 1, eval_opponent="self")
    with pytest.raises(ConfigError, match="is none of self, random, minimax:DEPTH and mcts:SIMS"):
        judged(TIC, "master", 1, eval_opponent="minimax:two")


def test_an_agent_that_raises_ends_the_training(judged: Any) -> None:
    with pytest.raises(AgentError, match="thirteen"):
        judged("catch", "vectorised", 13)
