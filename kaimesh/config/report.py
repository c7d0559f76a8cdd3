"""What is wrong with a configuration, in one text that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_MOST = 50  # problems; a list of a thousand wrong items has one for each
_FULL = 16_000  # characters, after which no further problem is told
_LONGEST = 2_000  # characters of one of them


def report(path: str | Path, problems: Sequence[str]) -> str:
    """All `problems` of the configuration in `path`, numbered."""
    text = f"{path}: {len(problems)} problem{'s' * (len(problems) > 1)}; nothing was started."
    for number, problem in enumerate(problems, 1):
        if number > _MOST or len(text) > _FULL:
            return f"{text}\n  ... and {len(problems) - number + 1:,} more. Correct these first."
        text += f"\n  {number}. {short(problem)}"
    return text


def short(text: str) -> str:
    """Without the middle of what would fill the screen: a value may be of any length."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
