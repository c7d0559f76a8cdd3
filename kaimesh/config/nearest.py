"""Did you mean: the known name that is nearest to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or "" if no known name is similar."""
    match = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f" (did you mean {match[0]!r}?)" if match else ""
