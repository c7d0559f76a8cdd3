"""What an environment raises is told as the environment's, whatever it is."""

from __future__ import annotations

import signal
from types import FrameType

import pytest

from kaimesh.contract.errors import AgentError, ConfigError, EnvError, Stopped
from kaimesh.contract.guard import environment


class Wordless(BaseException):
    """Its words raise."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ValueError("x"), EnvError, "the environment raised ValueError in step: x"),
        (Wordless(), EnvError, r"raised Wordless in step: \(its __str__ raised ValueError\)"),
        (GeneratorExit(), EnvError, "raised GeneratorExit in step"),
        (SystemExit(0), AgentError, r"the environment, in step, called exit \(0, SystemExit\)"),
        (SystemExit(), AgentError, r"called exit \(None, SystemExit\)"),
        (SystemExit("bye"), AgentError, "called exit \\('bye', SystemExit\\)"),
        (ConfigError("words"), ConfigError, "^words$"),
        (Stopped(), Stopped, "^$"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),  # Ctrl-C in train_test.py
    ],
)
def test_what_it_raises(error: BaseException, kind: type[BaseException], words: str) -> None:
    with pytest.raises(kind, match=words) as caught, environment("step"):
        raise error
    assert caught.value is error or caught.value.__cause__ is error


def test_an_environment_may_raise_keyboardinterrupt_without_a_key() -> None:
    def handler(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(EnvError, match="the environment raised KeyboardInterrupt in step"), environment("step"):
            raise KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt), environment("step"):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
