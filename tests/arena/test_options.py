"""What one environment's evaluation takes on the command line, and another's does not."""

from __future__ import annotations

from typing import ClassVar

import pytest

from kaimesh.arena import evaluate, options
from kaimesh.contract.errors import ConfigError
from kaimesh.envs.interface import EvaluationOption
from tests.envs.own import Counter

SLOW = EvaluationOption("--pace", "N", "how long episodes are", lambda text: {"length": int(text)})
OPTIONS = [SLOW, EvaluationOption("--start", "N", "the first action", lambda text: {"first_action": int(text)})]


class Paced(Counter):
    metadata: ClassVar = {"render_modes": [], "evaluation_options": "tests.arena.test_options:OPTIONS"}


PACED = "tests.arena.test_options:Paced"


def test_options_become_arguments_of_the_environment() -> None:
    assert options.read(PACED, []) == {}
    assert options.read(PACED, ["--start", "2", "--pace=7"]) == {"length": 7, "first_action": 2}
    assert options.read("realm-mini", ["--treasures", "3-6"]) == {"treasure_random": 1, "treasure_num": [3, 6]}


@pytest.mark.parametrize(
    ("app", "words", "said"),
    [
        (PACED, ["--treasures", "9"], "unrecognized arguments: --treasures 9, so nothing was played"),
        (PACED, ["--treasures", "9"], "--pace N  how long episodes are"),
        (PACED, ["--pace"], "expected one argument"),
        ("gym:CartPole-v1", ["--treasures", "9"], "gym:CartPole-v1 has no options of its own."),
        ("realm", ["--treasures", "many"], "write a number, such as 9"),
    ],
)
def test_what_an_environment_does_not_take_is_refused_in_words(app: str, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        options.read(app, words)
    assert said in str(error.value)


def test_help_lists_the_options_of_the_app_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--help"]) == 0
    general = capsys.readouterr().out
    assert "--episodes" in general
    assert "--treasures" not in general
    assert "--app NAME --help lists them too" in general
    assert evaluate.main(["--app", PACED, "-h"]) == 0
    assert "--pace N  how long episodes are" in capsys.readouterr().out
