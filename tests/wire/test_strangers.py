"""What costs a server memory, time or its life: odd HELLOs, lengths that are only claimed, crowds, and bugs of ours."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaimesh.contract.errors import PeerError, Refused
from kaimesh.wire import frame as wire
from kaimesh.wire import server as wire_server
from kaimesh.wire.connection import FIRST_BUFFER_BYTES, TURN_BYTES, Connection
from kaimesh.wire.frame import HEADER_BYTES, BadFrame, Kind
from kaimesh.wire.hello import Hello
from kaimesh.wire.internal import INTERNAL_ERRORS
from tests.wire.conftest import TOKEN, Echo
from tests.wire.test_server import HELLO, assert_served, hello_bytes, read_all, reason_of

DEEP = b"[" * 150 + b"]" * 150


def with_token(rest: bytes) -> bytes:
    return b'{"protocol":1,"token":"' + TOKEN.encode() + b'",' + rest + b"}"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"protocol":1,"token":"\\ud800","role":"tester","name":"x"}',
        b'{"protocol":1,"token":"\\udfff\\ud800","role":"tester","name":"x"}',
        '{"protocol":1,"token":"\ud800"}'.encode("utf-32", "surrogatepass"),
        '{"protocol":1}'.encode("utf-16"),
        b'\xef\xbb\xbf{"protocol":1}',
        bytes(100),
        b'{"protocol":1,"token":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"protocol":1,"token":' + DEEP + b"}",
        b'{"protocol":1,"token":' + b"9" * 4200 + b"}",
        b'{"protocol":' + b"9" * 4200 + b"}",
        b'{"protocol":NaN}',
        b'{"protocol":1e400}',
        b'{"protocol":true,"token":{}}',
        with_token(b'"role":["tester"],"name":"x"'),
        with_token(b'"role":{"tester":1},"name":"x"'),
        with_token(b'"role":"tester","name":"a\\nERROR actor_0 forged line"'),
        with_token(b'"role":"tester","name":"\\u001b[31mred"'),
        with_token(b'"role":"tester","name":"\\u202egnirts"'),
        with_token(b'"role":"tester\\u2028","name":"x"'),
        with_token(b'"role":"tester","name":"' + b"n" * 200_000 + b'"'),
        with_token(b'"role":"tester","name":' + DEEP),
        with_token(b'"role":"tester","name":"x","specs":' + DEEP),
        with_token(b'"role":"tester","name":"x","specs":[["\\ud800","<f4",[1]]]'),
    ],
    ids=lambda payload: repr(payload[:60]),
)  # fmt: skip
def test_an_odd_hello_is_refused_in_one_line(echo: Echo, caplog: pytest.LogCaptureFixture, payload: bytes) -> None:
    with caplog.at_level(logging.WARNING), echo.raw() as sock:
        sock.sendall(wire.encode(Kind.HELLO, len(payload)) + payload)
        reason = reason_of(read_all(sock))
    assert reason.isprintable()
    assert len(reason) < 3000
    with echo.lock:
        assert all(record.getMessage().isprintable() for record in caplog.records)
    assert_served(echo)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    changes=st.dictionaries(
        st.sampled_from(["protocol", "token", "role", "name", "specs", "spaces"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=8,
        ),
    )
)
def test_no_hello_ends_the_server(echo: Echo, changes: dict[str, object]) -> None:
    payload = json.dumps({**HELLO, **changes}).encode()
    with echo.raw() as sock:
        sock.sendall(wire.encode(Kind.HELLO, len(payload)) + payload)
        sock.shutdown(socket.SHUT_WR)
        assert wire.decode(read_all(sock), 1 << 20).kind in (Kind.WELCOME, Kind.REFUSED)


@pytest.mark.parametrize("kind", [kind for kind in (*range(10), 255) if kind not in (Kind.DATA, Kind.CONTROL)])
def test_what_only_a_server_says_is_refused_by_its_header(echo: Echo, kind: int) -> None:
    client = echo.client()
    client._sock.sendall(wire.encode(kind, 1 << 29))
    header, payload = client.receive()
    assert header.kind == Kind.REFUSED
    assert f"a frame of kind {kind} where DATA, CONTROL may come" in wire.from_json(payload)["reason"]
    assert_served(echo)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(came=st.integers(0, 300_000), claimed=st.integers(300_001, wire.MAX_FRAME_BYTES))
def test_a_claimed_length_reserves_no_more_than_what_came(echo: Echo, came: int, claimed: int) -> None:
    client = echo.client(name=f"claims {claimed}")
    client._sock.sendall(wire.encode(Kind.DATA, claimed) + bytes(came))

    def arrived() -> bool:
        (connection,) = (c for c in echo.server.connections if c.name.startswith(f"claims {claimed}"))
        return connection._filled == came + HEADER_BYTES

    echo.advance_until(arrived, 0.0)
    assert sum(c.held_bytes for c in echo.server.connections) <= max(FIRST_BUFFER_BYTES, 2 * (came + HEADER_BYTES))
    client.close()
    echo.advance_until(lambda: not echo.server.connections, 0.0)


def test_before_the_token_only_a_short_hello_may_come(echo: Echo) -> None:
    for header in (wire.encode(Kind.HELLO, wire.MAX_HELLO_BYTES + 1), wire.encode(Kind.DATA, 1)):
        with echo.raw() as sock:
            sock.sendall(header)
            reason_of(read_all(sock))


def test_a_crowd_without_the_token_displaces_itself_alone(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_server, "_MOST_STRANGERS", 8)
    friend = echo.client(name="friend")
    crowd = []
    for _ in range(30):
        crowd.append(echo.raw())
        crowd[-1].sendall(wire.encode(Kind.HELLO, wire.MAX_HELLO_BYTES))
        assert friend.call({"still": "served"}) == {"still": "served"}
        assert_served(echo)
    echo.advance_until(lambda: len(echo.server._strangers) <= 8, 0.0)
    assert "8 newer connections wait for a HELLO" in reason_of(read_all(crowd[0]))
    for sock in crowd:
        sock.close()


@pytest.mark.parametrize("value", [b"[]", b"{}", b'"\\u0041"'])
def test_a_text_of_a_hundred_thousand_values_is_not_made_into_them(value: bytes) -> None:
    text = b'{"a":[' + b",".join([value] * 100_000) + b"]}"
    with pytest.raises(BadFrame, match="more than 32768 commas and brackets"):
        wire.from_json(text)
    assert len(wire.from_json(b'{"low":[' + b"-0.5," * 16_000 + b"0]}")["low"]) == 16_001  # bounds of as many actions


def test_more_clients_than_one_server_takes_are_told(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_server, "_MOST_GUESTS", 2)
    first, second = echo.client(name="a"), echo.client(name="b")
    with pytest.raises(Refused, match="2 clients are connected"):
        echo.client(name="c")
    second.close()
    echo.advance_until(lambda: len(echo.server.connections) == 1, 0.0)
    assert echo.client(name="c").call({"a": 1}) == first.call({"a": 1})


def test_who_occupies_most_goes_when_all_together_occupy_too_much(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_server, "_MOST_BYTES", 1 << 22)
    small, large = echo.client(name="small"), echo.client(name="large")
    strangers = [
        echo.raw() for _ in range(20)
    ]  # without the token they are bounded by themselves; here to more than all together
    for stranger in strangers:
        stranger.sendall(wire.encode(Kind.HELLO, wire.MAX_HELLO_BYTES) + bytes(wire.MAX_HELLO_BYTES - 1))

    def held(connections: Iterable[Connection]) -> int:
        return sum(connection.held_bytes for connection in connections)

    echo.advance_until(lambda: held([*echo.server._strangers.values()]) > 1 << 22, 0.0)
    large._sock.sendall(wire.encode(Kind.DATA, 2_000_000) + bytes(1_500_000))
    echo.advance_until(lambda: held(echo.server.connections) > 1_500_000, 0.0)
    large._sock.sendall(bytes(500_000))
    assert large.answer()[0].kind == Kind.DATA
    for stranger in strangers:
        stranger.close()
    small._sock.sendall(wire.encode(Kind.DATA, 100_000) + bytes(10))

    def flood() -> None:
        for _ in range(400):
            large.send(Kind.DATA, [bytes(1 << 24)])

    with pytest.raises(PeerError):
        flood()
    echo.advance_until(lambda: echo.server.refused == 1, 0.0)
    small._sock.sendall(bytes(99_990))
    assert small.answer()[0].kind == Kind.DATA
    assert_served(echo)


def test_a_long_frame_does_not_take_every_turn(echo: Echo) -> None:
    client = echo.client(name="long")
    with echo.lock:  # the server stands still: everything waits in the kernel and here
        client._sock.setblocking(False)
        client._sock.send(wire.encode(Kind.DATA, 1 << 29))
        with contextlib.suppress(BlockingIOError):
            while True:
                client._sock.send(bytes(1 << 20))
        (connection,) = (c for c in echo.server.connections if c.name.startswith("long"))
        with pytest.raises(BlockingIOError):
            connection.fill()
        assert connection._filled < 2 * TURN_BYTES


def test_a_bug_of_ours_costs_one_peer_and_is_counted(
    echo: Echo, monkeypatch: pytest.MonkeyPatch, internal_errors: list[str]
) -> None:
    right = echo._on_hello

    def fails(connection: object, hello: Hello) -> dict[str, str]:
        if hello.name == "unlucky":
            raise KeyError("a bug of ours")
        return right(connection, hello)  # type: ignore[arg-type]

    monkeypatch.setattr(echo.server, "_on_hello", fails)
    with pytest.raises(Refused, match="failed at what came from here"):
        echo.client(name="unlucky")
    assert_served(echo)
    assert "KeyError: 'a bug of ours'" in internal_errors[0]
    assert echo.meter.counters[INTERNAL_ERRORS] == 1
    internal_errors.clear()


def test_hello_bytes_of_our_own_client_are_welcome(echo: Echo) -> None:
    with echo.raw() as sock:
        sock.sendall(hello_bytes(name="Größe 大小"))
        assert wire.decode(sock.recv(1 << 16), 1 << 20).kind == Kind.WELCOME
