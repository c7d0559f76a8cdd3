"""Data of strangers: JSON and structures that are checked, with bounds, before anything else sees them.

A peer, also one that has the token, may send anything. What comes through here is of the declared types and sizes; what
does not is refused in words that are safe to log and to send back.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import from_json as parse_json

from kaimesh.contract.errors import MeshError

T = TypeVar("T")

_MOST_VALUES = 1 << 15  # of a JSON text: a list of nothing takes three bytes to send and a microsecond or more to make
_SHOWN_ERRORS = 3
_SHOWN_VALUE = 60
_SHOWN_CHARACTERS = 2000


def clean(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    """`text` for a log line: control characters, line ends and lone surrogates as escapes, at most `limit` characters of it."""
    shown = text if len(text) <= limit else text[:limit] + "..."
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_printable)]


def json_of(payload: bytes | bytearray | memoryview) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError: it is none, or nested too deeply, or holds a lone surrogate or more
    than some ten thousand values, which would hold up everybody else for seconds.
    """
    text = bytes(payload)
    if text.count(b",") + text.count(b"[") + text.count(b"{") > _MOST_VALUES:
        raise ValueError(
            f"more than {_MOST_VALUES} values, or commas and brackets; nothing that is sent here has so many"
        )
    return parse_json(text)


def parsed(adapter: TypeAdapter[T], data: Any, what: str, error: type[MeshError], *, secret: bool = False) -> T:
    """`data` as the adapter's type. Raises `error`: it does not fit; the message says where, and repeats no more than a short value,
    or none if `secret`.
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
