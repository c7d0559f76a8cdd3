"""Conversations over framed TCP with one wrong part: what actor, buffer and monitor are told."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

import numpy as np

from kaimesh.process.meter import Meter
from kaimesh.wire import frame as wire
from kaimesh.wire.frame import HEADER_BYTES, PROTOCOL, Kind
from tests.fuzz import mutate
from tests.fuzz.servers import TOKEN
from tests.fuzz.stream import Stream, split

SPECS = [["obs", "<f4", [4]]]
ROW_BYTES = 16
SPACES = {
    "obs_shape": [4], "obs_dtype": "<f4", "action_kind": "discrete", "action_size": 2, "action_low": [],
    "action_high": [],
    "legal_actions": False, "parts": [],
}  # fmt: skip
_ODD_FLOATS = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0, 1], "<f4")


class Port(NamedTuple):
    """How one port is spoken to. most: damaged frames of one conversation; few where the first wrong one ends it."""

    hello: dict[str, Any]
    requests: tuple[dict[str, Any], ...]
    rows: bool
    most: int


def report(name: str = "aisrv_3") -> dict[str, Any]:
    """A status as a process publishes it."""
    meter = Meter(name)
    meter.count("env_steps", 640)
    meter.gauge("policy_lag", 1.5)
    meter.gauge("learn/loss", 0.25)
    meter.episode(21.0, 200)
    with meter.phase("env"):
        meter.state("waiting", "actor: no answer for 2 s")
    meter.info["port"] = 9000
    meter.info["model_version"] = 12
    meter.info["work"] = "env_steps"
    return {**meter.snapshot(), "life": "host/17/1700000000.000"}


def _hello(role: str, **more: Any) -> dict[str, Any]:
    return {"protocol": PROTOCOL, "token": TOKEN, "role": role, "name": "aisrv_3", **more}


def ports() -> dict[str, Port]:
    """Every framed port, by the server's name."""
    asks = ({"do": "version"}, {"do": "load_model", "id": "latest"}, {"do": "load_model", "id": 12})
    tells = ({"do": "describe"}, {"do": "flush"})  # "drop" comes from mutate.TEXTS, seldom: it takes 0.1 s
    return {
        "actor": Port(_hello("player", specs=SPECS, spaces=SPACES), asks, True, 40),
        "actor_diy": Port(_hello("player", specs=SPECS), asks, True, 40),
        "ingest": Port(_hello("writer", specs=SPECS, spaces=SPACES), tells, True, 40),
        "monitor": Port(_hello("reporter"), ({"status": report()},), False, 2),
    }


_PORTS = ports()


def conversation(what: str, rng: random.Random) -> Stream:
    """A HELLO and some frames, of which at least one is damaged."""
    port = _PORTS[what]
    hello, label, greeted = _greeting(port, rng)
    frames, labels = [hello], [label]
    for _ in range(rng.randrange(1, port.most + 1) if greeted else rng.randrange(2)):
        data, label = _request(port, rng, last=False)
        frames.append(data)
        labels.append(label)
    if greeted:
        data, label = _request(port, rng, last=True)
        frames.append(data)
        labels.append(label)
    stream = b"".join(frames)
    if cut := rng.randrange(16) == 0:
        stream = stream[: -rng.randrange(1, len(frames[-1]))]
    ending = rng.choices(("end", "reset", "hold"), (90, 5, 5))[0]
    words = f"{what}: {' + '.join(labels)}{' cut short' if cut else ''}, {ending}"
    return Stream(words, split(stream, rng), ending, sent=len(frames) - greeted, greetings=int(not greeted))


def first_words(what: str, rng: random.Random) -> Stream:
    """A HELLO whose observations or spaces are damaged, and rows, to a server that has not heard of any yet."""
    hello = dict(_PORTS[what].hello)
    part = rng.choice([part for part in ("specs", "spaces") if part in hello])
    hello[part] = mutate.structure(hello[part], rng)
    payload = mutate.text_of(hello, rng)
    pieces = wire.encode(Kind.HELLO, len(payload)) + payload + _rows(rng)
    return Stream(f"{what}: a first HELLO with damaged {part}", (pieces,), "end", greetings=1)


def _greeting(port: Port, rng: random.Random) -> tuple[bytes, str, bool]:
    """A HELLO; whether it is whole and right."""
    way = rng.randrange(12)
    if way >= 4:
        return _json(Kind.HELLO, port.hello), "HELLO", True
    hello = dict(port.hello)
    label = "damaged HELLO"
    if rng.randrange(4) == 0:
        hello["token"] = rng.choice(
            ("", "wrong", "\ud800", None, 7, [TOKEN], "é", TOKEN + "\0", "x" * 5000, mutate.DEEP)
        )
        label = "HELLO with another token"
    if way == 0:
        payload = mutate.flipped(json.dumps(hello).encode(), rng)
    else:
        payload = mutate.text_of(mutate.structure(hello, rng), rng)
    frame = wire.encode(Kind.HELLO, len(payload)) + payload
    if way == 1:
        head, field = mutate.header(frame[:HEADER_BYTES], rng, breaking=True)
        return head + frame[HEADER_BYTES:], f"{label}, its {field} wrong", False
    return frame, label, False


def _request(port: Port, rng: random.Random, *, last: bool) -> tuple[bytes, str]:
    """A frame after the HELLO; the last of a conversation may spoil the stream."""
    if port.rows and rng.randrange(3):
        frame, label = _rows(rng), "rows"
    else:
        request = rng.choice(port.requests)
        way = rng.randrange(8) if last else rng.randrange(1, 8)
        if way == 0:
            payload = mutate.flipped(json.dumps(request).encode(), rng)
        elif way == 1:
            payload = json.dumps(request).encode()
        else:
            payload = mutate.text_of(mutate.structure(request, rng), rng)
        frame, label = wire.encode(Kind.CONTROL, len(payload), tag=rng.randrange(99)) + payload, "request"
    if rng.randrange(3) == 0 or last:
        head, field = mutate.header(frame[:HEADER_BYTES], rng, breaking=last)
        return head + frame[HEADER_BYTES:], f"{label} with another {field}"
    return frame, label


def _rows(rng: random.Random) -> bytes:
    """A DATA frame: its rows, its numbers or its length are not what they should be."""
    rows = rng.choice((0, 1, 1, 2, 3, 16, 257, 1000))
    payload = np.zeros(rows * 4, "<f4")
    way = rng.randrange(4)
    if way == 0 and rows:
        payload[rng.randrange(rows * 4)] = rng.choice(_ODD_FLOATS)
    elif way == 1:
        payload = np.frombuffer(rng.randbytes(rows * ROW_BYTES), "<f4")
    data = payload.tobytes()
    if way == 2:
        data = mutate.flipped(data, rng)
    said = rng.choice((rows, rows, rows + 1, 2**32 - 1, 2**31))
    return wire.encode(Kind.DATA, len(data), rows=said, tag=rng.randrange(1 << 40), method=rng.choice((0, 0, 1))) + data


def _json(kind: int, data: Any) -> bytes:
    payload = wire.to_json(data)
    return wire.encode(kind, len(payload)) + payload
