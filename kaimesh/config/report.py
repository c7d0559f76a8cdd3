"""What is wrong with a configuration, in one text that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_MOST = 50  # problems; a list of a thousand wrong items has one for each
_LONGEST = 2_000  # characters of one of them


def report(path: str | Path, problems: Sequence[str]) -> str:
    """All `problems` of the configuration in `path`, numbered."""
    shown = problems[:_MOST]
    lines = "\n".join(f"  {number}. {short(problem)}" for number, problem in enumerate(shown, 1))
    if more := len(problems) - len(shown):
        lines += f"\n  ... and {more:,} more. Correct these first."
    return f"{path}: {len(problems)} problem{'s' * (len(problems) > 1)}; nothing was started.\n{lines}"


def short(text: str) -> str:
    """Without the middle of what would fill the screen: a value may be of any length."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
