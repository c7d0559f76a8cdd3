"""Damage: to JSON structures, to bytes, to frame headers.

Everything is drawn from the `random.Random` that is given.
"""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from kaimesh.wire.frame import HEADER

DEEP = "@deep@"  # stands for a nesting that no JSON writer makes; put in as text

NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 255, 256, 65536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400,
    0.5, -0.0, 1e-320, 1e16, 1e300, -1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TEXTS = (
    "", "a", "0", "-1", "1e999", "nan", "true", "latest", "random", "describe", "drop", "flush", "load_model",
    "version",
    "\ud800", "a\udfffb", "\0", "../../../tmp/x", "a/b", "..", ".", "/etc/passwd", "x" * 300, "é" * 200, "\u202e",
    "🀄" * 90,
    "a\n12:00:00 INFO forged | line\x1b[31m", "O", "<f4", ">f8", "f4,f4", "(3,)f4", "V99999999999", "M8[s]", "|b1",
    "<c16",
    "{'a': 1}", "__class__", "columns", "aisrv_0", "aisrv_99999999999999999999", "monitor_0", "٣", "1" * 5000, DEEP,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, False, [], {}, [[]], [None] * 3, [[], [1]], {"": {}}, {"a": {"b": {"c": [1]}}}, [1] * 3000, ["x"] * 40,
    {f"k{i}": i for i in range(700)}, [["obs", "<f4", [4]]] * 2, [["obs", "<f4", [2**31 - 1] * 6]],
)  # fmt: skip


def odd(rng: random.Random) -> Any:
    """A value that nobody expects."""
    return copy.deepcopy(rng.choice(rng.choice((NUMBERS, TEXTS, OTHERS))))


def _places(data: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every (container, key) inside."""
    if isinstance(data, dict):
        items: Any = list(data.items())
    elif isinstance(data, list):
        items = list(enumerate(data[:40]))
    else:
        return found
    for key, value in items:
        found.append((data, key))
        _places(value, found)
    return found


def structure(data: Any, rng: random.Random) -> Any:
    """A copy of a JSON structure with one to three things wrong."""
    data = copy.deepcopy(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(data, [])
        if not places:
            return odd(rng)
        container, key = rng.choice(places)
        value = container[key]
        way = rng.randrange(8)
        if way <= 3:
            container[key] = odd(rng)
        elif way == 4:
            container[key] = str(value) if isinstance(value, int | float) else [value]
        elif way == 5:
            del container[key]
        elif way == 6 and isinstance(container, dict):
            container[rng.choice([text for text in TEXTS if text != DEEP])] = odd(rng)
        else:
            other, there = rng.choice(places)
            container[key] = copy.deepcopy(
                other.get(there) if isinstance(other, dict) else other[min(there, len(other) - 1)] if other else 0
            )
    return data


def text_of(data: Any, rng: random.Random) -> bytes:
    """JSON, with nestings that no writer makes, and now and then in another encoding or with a key twice."""
    text = json.dumps(data)
    if DEEP in text:
        depth = rng.choice((200, 990, 20_000, 200_000))
        nest = rng.choice((("[", "]"), ('{"a":', "}")))
        text = text.replace(json.dumps(DEEP), nest[0] * depth + "1" + nest[1] * depth)
    way = rng.randrange(40)
    if way == 0:
        return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")))
    if way == 1 and text.startswith("{"):
        text = '{"name":"twice","token":null,"status":1,' + text[1:]
    return text.encode()


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut, doubled or inserted."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(out) + 1)
        way = rng.randrange(5)
        if way == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << rng.randrange(8)
        elif way == 1:
            out[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
        elif way == 2:
            del out[at : at + rng.choice((1, 4, 64))]
        elif way == 3:
            out[at:at] = out[: rng.choice((1, 16, 256))]
        else:
            out[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xed\xa0\x80\0"))
    return bytes(out)


FIELDS = ("magic", "kind", "method", "flags", "length", "rows", "tag", "version")
_MOST = {"kind": 255, "method": 255, "flags": 65535, "length": 2**32 - 1, "rows": 2**32 - 1}
_BREAKING = (
    "magic",
    "length",
    "kind",
    "method",
)  # nothing that comes after it in the stream is read, or read otherwise


def header(data: bytes, rng: random.Random, *, breaking: bool) -> tuple[bytes, str]:
    """32 header bytes with one field wrong, and which. breaking: also those that spoil the rest of the stream."""
    values = list(HEADER.unpack(data))
    names = FIELDS if breaking else tuple(name for name in FIELDS if name not in _BREAKING)
    name = rng.choice(names)
    at = FIELDS.index(name)
    if name == "magic":
        values[at] = rng.choice((b"KM\0\2", b"\0\0\0\0", b"GET ", b"\x16\x03\x01\x02", rng.randbytes(4)))
    elif name in _MOST:
        most = _MOST[name]
        values[at] = rng.choice((0, 1, 2, most, most // 2, most // 2 + 1, rng.randrange(most + 1), rng.randrange(12)))
        if name == "length":
            values[at] = rng.choice((values[at], 2**30, 2**30 + 1, 2**20, 2**20 + 1))
    else:
        values[at] = rng.choice((0, -1, 2**63 - 1, -(2**63), rng.randrange(-(2**63), 2**63)))
    return HEADER.pack(*values), name
