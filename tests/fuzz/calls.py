"""gRPC calls with one wrong part: to the model pool and to the learner."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc

from kaimesh.model_pool import model_pool_pb2 as pb
from kaimesh.wire.grpc_edge import HEALTH_CHECK, TOKEN_KEY
from tests.fuzz import mutate
from tests.fuzz.servers import TOKEN
from tests.fuzz.stream import Outcome, Stuck

POOL, LEARNER = "/kaimesh.model_pool.ModelPool/", "/kaimesh.learner.Learner/"
DEADLINE_S = 20.0
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
_BUGS = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}  # what a handler that raised is answered with
_channels: dict[int, grpc.Channel] = {}


class Bug(Exception):
    """A handler raised."""


class Call(NamedTuple):
    """Messages to one method. answers: how many are read before the call is given up; above that, to its end.

    silent: it sends nothing after its messages, and goes.
    """

    label: str
    method: str
    messages: tuple[bytes, ...]
    metadata: tuple[tuple[str, str | bytes], ...]
    answers: int = 5
    silent: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a file."""
        metadata = [[key, value.hex() if isinstance(value, bytes) else value] for key, value in self.metadata]
        return {
            **self._asdict(),
            "messages": [base64.b64encode(m).decode() for m in self.messages],
            "metadata": metadata,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Call:
        """The inverse."""
        metadata = tuple((k, bytes.fromhex(v) if k.endswith("-bin") else v) for k, v in data["metadata"])
        messages = tuple(base64.b64decode(m) for m in data["messages"])
        return cls(**{**data, "messages": messages, "metadata": metadata})

    def play(self, ports: list[int]) -> Outcome:
        """Makes the call. Raises Bug, Stuck, ConnectionRefusedError."""
        channel = _channels.setdefault(ports[0], grpc.insecure_channel(f"127.0.0.1:{ports[0]}", options=_OPTIONS))
        try:
            call = channel.stream_stream(self.method)(self._sent(), timeout=DEADLINE_S, metadata=self.metadata)
        except ValueError:  # gRPC's own client refuses such metadata
            return Outcome()
        answered = 0
        try:
            if not self.silent:
                while answered < self.answers and next(call, None) is not None:
                    answered += 1
            call.cancel()
        except grpc.RpcError as error:
            return self._refusal(error, answered)
        return Outcome(1, 0, answered, 0)

    def _sent(self) -> Iterator[bytes]:
        yield from self.messages

    def _refusal(self, error: Any, answered: int) -> Outcome:
        code = error.code()
        if code is grpc.StatusCode.UNAVAILABLE:
            raise ConnectionRefusedError(error.details())
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise Stuck(f"{self.method} did not answer within {DEADLINE_S:g} s")
        if code in _BUGS:
            raise Bug(f"{code.name}: {error.details()[:200]}")
        return Outcome(1, 0, answered, 1)


def pool_call(what: str, rng: random.Random) -> Call:
    """A call of the model pool, or of nothing that is there."""
    method = rng.choice(("Push", "Push", "Push", "Pull", "Pull", "List", "Watch", "Nothing", "Push/../List"))
    if method == "Push":
        messages, label = _push(rng)
    elif method == "Pull":
        id = (
            rng.choice((*mutate.TEXTS[:-1], "2", "9" * 20, "latest", "0" * 6000 + "1"))
            .replace("\ud800", "")
            .replace("\udfff", "")
        )
        messages, label = (pb.Which(id=id).SerializeToString(),), f"Pull {id[:20]!r}"
    else:
        messages, label = (b"",), method
    if rng.randrange(3) == 0:
        at = rng.randrange(len(messages)) if messages else 0
        messages = (*messages[:at], mutate.flipped(messages[at] if messages else b"", rng), *messages[at + 1 :])
        label += ", its bytes damaged"
    if rng.randrange(60) == 0:
        messages, label = (rng.randbytes(1 << 10) * rng.choice((1 << 10, 17 << 10)),), f"{method}, a huge message"
    metadata = _metadata(rng)
    answers = 1 if method == "Watch" else 5
    silent = method == "Watch" or rng.randrange(12) == 0
    return Call(f"{what}: {label}", POOL + method, messages, metadata, answers, silent)


def _push(rng: random.Random) -> tuple[tuple[bytes, ...], str]:
    """An upload that lies: its announcement, its length, its content, its end."""
    id = rng.choice((2, 5, 10**9, 0, -1, -(2**63), 2**63 - 1, 2**53))
    data = rng.randbytes(rng.choice((0, 1, 1000)))
    endings = ("x", "x" * 300, "..", "x/../../y", "a b", "\n", "\x1b[31m", "é" * 120, "\0")
    name = f"model.ckpt-{id}.{rng.choice(endings)}"
    name = rng.choice((name, name, f"model.ckpt-{id}.x", "../x", "", "/tmp/x", "info.json", "manifest.json"))
    size = rng.choice((len(data), len(data), len(data) + 1, 0, -1, 10**15, 2**63 - 1))
    digest = hashlib.sha256(data).hexdigest()
    digest = rng.choice((digest, digest, digest.upper(), "0" * 64, "", "g" * 64, digest + "\n", "٣" * 64))
    files = [pb.File(name=name, bytes=size, sha256=digest)] * rng.choice((1, 1, 1, 0, 2, 300))
    model = pb.Model(id=id, files=files, time=rng.choice((0.0, 1.7e9, float("nan"), float("inf"), -1e308)))
    parts = [pb.Part(model=model), pb.Part(data=data)]
    way = rng.randrange(6)
    if way == 0:
        parts.append(pb.Part(model=model))
    elif way == 1:
        parts.append(pb.Part(data=rng.randbytes(rng.choice((1, 5000)))))
    elif way == 2:
        parts = parts[1:]
    elif way == 3:
        parts[1:1] = [pb.Part()] * 20
    elif way == 4:
        parts = parts[: rng.randrange(2)]
    return tuple(part.SerializeToString() for part in parts), f"Push {id} {name[:30]!r} of {size}"


def learner_call(what: str, rng: random.Random) -> Call:
    """A call of the learner."""
    method = rng.choice(
        (LEARNER + "SaveModel", LEARNER + "GetStatus", LEARNER + "GetStatus", HEALTH_CHECK, LEARNER + "X", "/", "x")
    )
    body = rng.choice(
        (b"", b"\0", b"\xff" * 50, rng.randbytes(200), b"\x0a\xff\xff\xff\xff\x0f", b"\x08\x01" * 999, b"\x0b" * 3000)
    )
    if rng.randrange(40) == 0:
        body = bytes(rng.choice((1 << 20, 17 << 20)))
    messages = (body,) * rng.choice((1, 1, 1, 0, 2))
    return Call(
        f"{what}: {method} {body[:12]!r}",
        method,
        messages,
        _metadata(rng),
        silent=rng.randrange(20) == 0 or not messages,
    )


def _metadata(rng: random.Random) -> tuple[tuple[str, str | bytes], ...]:
    """The token, mostly."""
    right: tuple[tuple[str, str | bytes], ...] = ((TOKEN_KEY, TOKEN),)
    others: tuple[tuple[tuple[str, str | bytes], ...], ...] = (
        (), ((TOKEN_KEY, ""),), ((TOKEN_KEY, "wrong"),), ((TOKEN_KEY + "-bin", TOKEN.encode()),),
        ((TOKEN_KEY, "x" * 6000),),
        ((TOKEN_KEY, "wrong"), *right), (*right, (TOKEN_KEY, "wrong")), (*right, ("x-bin", b"\xff" * 3000)),
        (*right, ("grpc-timeout", "1S")),
    )  # fmt: skip
    return right if rng.randrange(6) else rng.choice(others)
