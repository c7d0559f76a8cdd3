"""What a web server hears: requests that are none, headers without end, half a request and then silence;
and HTTP/2 by hand.
"""

from __future__ import annotations

import random
import struct

from tests.fuzz import mutate
from tests.fuzz.servers import TOKEN
from tests.fuzz.stream import Stream, split

_PATHS = (
    "/",
    "/status.json",
    "/../../etc/passwd",
    "//",
    "/%00",
    "/" + "a" * 70_000,
    "*",
    "http://x/",
    "/\udcff",
    "/<script>",
)
_METHODS = (
    "GET",
    "GET",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "OPTIONS",
    "get",
    "\0",
    "G" * 9000,
    "CONNECT",
    "do_GET",
    "__init__",
)
_VERSIONS = (
    "HTTP/1.0",
    "HTTP/1.1",
    "HTTP/2.0",
    "HTTP/9",
    "HTTP/1.1.1",
    "HTTP/" + "1" * 5000 + ".0",
    "HTTP/-1.0",
    "",
    "X",
)
_HEADERS = (
    b"Host: x", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Expect: 100-continue",
    b"Connection: keep-alive",
    b": none", b"A" * 70_000, b"X: " + b"y" * 60_000, b"\xff\xfe: \x80", b"Transfer-Encoding: chunked", b" folded",
    b"Range: bytes=0-",
)  # fmt: skip


def request(what: str, rng: random.Random) -> Stream:
    """A request to the monitor's page."""
    way = rng.randrange(10)
    if way == 0:
        data = rng.randbytes(rng.choice((1, 100, 5000)))
    elif way == 1:
        data = rng.choice(
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"\r\n" * 50, b"GET /")
        )
    else:
        head = f"{rng.choice(_METHODS)} {rng.choice(_PATHS)} {rng.choice(_VERSIONS)}\r\n"
        lines = rng.choices(_HEADERS, k=rng.choice((0, 1, 3, 120)))
        data = head.encode("utf-8", "surrogateescape") + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
        if way == 2:
            data = mutate.flipped(data, rng)
    if rng.randrange(10) == 0:
        data = data[: len(data) // 2]
    ending = rng.choices(("end", "reset", "hold"), (80, 10, 10))[0]
    return Stream(f"{what} page: {data[:60]!r}, {ending}", split(data, rng), ending, port=1, framed=False)


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_TOKENS = (TOKEN.encode(), b"", b"wrong", b"\xff\xfe", b"\xed\xa0\x80", b"\0", b"x" * 20_000, "é".encode())


def http2(what: str, method: bytes, body: bytes, rng: random.Random) -> Stream:
    """A gRPC call written by hand, as no gRPC library would: odd metadata, damaged frames."""
    token = rng.choice(_TOKENS)
    headers = [
        (b":method", rng.choice((b"POST", b"POST", b"GET"))), (b":scheme", b"http"), (b":path", method),
        (b":authority", b"x"),
        (b"te", b"trailers"), (b"content-type", rng.choice((b"application/grpc", b"text/html"))),
    ]  # fmt: skip
    for _ in range(rng.choice((0, 1, 1, 2))):
        headers.append((rng.choice((b"kaimesh-token", b"kaimesh-token-bin", b"Kaimesh-Token", b"x")), token))
    if rng.randrange(4) == 0:
        headers.append((b"grpc-timeout", rng.choice((b"5S", b"99999999999H", b"-1S", b"", b"0n"))))
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)
    length = rng.choice((len(body), len(body) + 9, 2**32 - 1, 0))
    message = bytes([rng.choice((0, 0, 1, 255))]) + struct.pack(">I", length) + body
    data = _PREFACE + _frame(4, 0, 0, b"") + _frame(1, 4, 1, block) + _frame(0, rng.choice((0, 1)), 1, message)
    if rng.randrange(3) == 0:
        data = _PREFACE + mutate.flipped(data[len(_PREFACE) :], rng)
    ending = rng.choices(("reset", "hold"), (90, 10))[0]
    return Stream(f"{what} HTTP/2: {method!r} token {token[:20]!r}, {ending}", split(data, rng), ending, framed=False)


def _text(value: bytes) -> bytes:
    """HPACK's literal string, without Huffman's code."""
    size = len(value)
    if size < 127:
        return bytes([size]) + value
    size -= 127
    head = bytearray([127])
    while size >= 128:
        head.append(size % 128 + 128)
        size //= 128
    return bytes([*head, size]) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
