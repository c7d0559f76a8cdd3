"""Checks data from peers, JSON and structures, with bounds, before other code sees them.

A peer may send anything, even one that has the token. Data that passes has the declared types and sizes; other data is
refused with a message that is safe to log and to send back.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import from_json as parse_json

from kaimesh.contract.errors import MeshError

T = TypeVar("T")

_MOST_VALUES = 1 << 15  # of a JSON text: an empty list costs its sender 3 bytes and us a microsecond or more
_SHOWN_ERRORS = 3
_SHOWN_VALUE = 60
_SHOWN_CHARACTERS = 2000


def clean(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    """`text` for a log line: at most `limit` characters; control characters, line ends and lone surrogates escaped."""
    shown = text if len(text) <= limit else text[:limit] + "..."
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def path_name(text: str, most_bytes: int = 80) -> str:
    """`text` as one part of a path: letters and digits of any script, `_`, `.` and `-`; all else becomes `-`.

    It has 1 to `most_bytes` bytes of UTF-8, begins with neither `.` nor `-`, and leads nowhere else.
    """
    name = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", text)).lstrip(".-")
    return name.encode()[:most_bytes].decode(errors="ignore") or "nameless"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters are not allowed, as they would garble logs; leave them out")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_printable)]


def json_of(payload: bytes | bytearray | memoryview) -> Any:
    """The value of a JSON text in UTF-8.

    Raises ValueError: it is not JSON, too deeply nested, contains a lone surrogate, or has more than some ten thousand
    values, whose parsing would make all other peers wait for seconds.
    """
    text = bytes(payload)
    if text.count(b",") + text.count(b"[") + text.count(b"{") > _MOST_VALUES:
        raise ValueError(
            f"the JSON text has more than {_MOST_VALUES} commas and brackets; no message of the mesh has so many, so "
            "it was not read. Send less in one message."
        )
    return parse_json(text)


def parsed(adapter: TypeAdapter[T], data: Any, what: str, error: type[MeshError], *, secret: bool = False) -> T:
    """`data` as the adapter's type.

    Raises `error`: it does not fit. The message names the place, and the value if it is short and not `secret`.
    """
    try:
        return adapter.validate_python(data)
    except ValidationError as wrong:
        raise error(f"{what}: {_words(wrong, secret)}") from None


def _words(wrong: ValidationError, secret: bool) -> str:
    errors = wrong.errors(include_url=False, include_context=False)
    words = []
    for found in errors[:_SHOWN_ERRORS]:
        place = ".".join(str(part) for part in found["loc"])
        value = found["input"]
        short = not secret and isinstance(value, str | int | float | None)
        shown = f" ({clean(repr(value), _SHOWN_VALUE)})" if short else ""
        words.append(f"{place + ': ' if place else ''}{found['msg'].removeprefix('Value error, ')}{shown}")
    if len(errors) > _SHOWN_ERRORS:
        words.append(f"and {len(errors) - _SHOWN_ERRORS} more")
    return clean("; ".join(words))
