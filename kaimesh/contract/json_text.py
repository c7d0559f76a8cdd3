"""Writes JSON. JSON has no NaN and no infinity: these become null, and where wanted the reason stands beside them.

Python's `json.dumps` writes `NaN`, which other readers refuse, and with it the whole text. So everything of the mesh
that writes JSON writes it with `json_text` (tests/test_architecture.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

REASONS = "not_finite"


def json_text(
    data: Any,
    *,
    reasons: bool = False,
    indent: int | None = None,
    compact: bool = False,
    sort_keys: bool = False,
    ensure_ascii: bool = True,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """`data` as JSON text, which every reader accepts; a number that is not finite is null in it.

    reasons: `data` is an object, and where a number in it is not finite gets the entry `not_finite`: what each such
    number was, by its place, such as {"gauges.loss": "NaN"}. compact: without blanks. The others: as of `json.dumps`.
    """

    def text(value: Any) -> str:
        return json.dumps(
            value,
            allow_nan=False,
            indent=indent,
            separators=(",", ":") if compact else None,
            sort_keys=sort_keys,
            ensure_ascii=ensure_ascii,
            default=default,
        )

    try:
        return text(data)
    except ValueError:  # a number is not finite; this is rare, and looking for one in all data would cost time
        found = dict(_not_finite(data, ""))
        cleaned = finite(data)
        return text({**cleaned, REASONS: found} if reasons else cleaned)


def finite(data: Any) -> Any:
    """A copy of plain data in which None stands for each number that is not finite."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def number(value: Any) -> float | None:
    """A finite number as a float; None for anything else that a file or a peer may hold in its place."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _not_finite(data: Any, place: str) -> Iterator[tuple[str, str]]:
    """Each number that is not finite: its place, and its name as JavaScript and pandas write it."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _not_finite(value, f"{place}.{key}" if place else str(key))
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            yield from _not_finite(value, f"{place}[{number}]")
    elif isinstance(data, float) and not math.isfinite(data):
        yield place, "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
