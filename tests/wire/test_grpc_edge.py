"""gRPC with the token: refusals in words, service for the others."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc._cython import cygrpc

from kaimesh.contract.errors import ConfigError, MeshError, PeerError, Refused
from kaimesh.process.meter import Meter
from kaimesh.wire import grpc_edge
from tests.harness import connected


def test_every_option_is_one_that_grpc_knows() -> None:
    """gRPC takes options of unknown names without a word, and they do nothing."""
    library = Path(cygrpc.__file__).read_bytes()
    names = {name for options in (grpc_edge._COMMON, grpc_edge._SERVER, grpc_edge._CLIENT) for name, _ in options}
    assert len(names) > 10
    assert [name for name in names if name.encode() + b"\0" not in library] == []


NEEDS = {f"/test/{method}": () for method in ("echo", "hold", "collect", "stream")}
BROKEN = {f"/broken/{method}": () for method in ("unary", "stream", "refuses", "collects")}


class Echo:
    """Raw bytes in and out; `hold` answers once it is released, `stream` sends until its caller goes."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.held = threading.Semaphore(0)

    def register(self, server: grpc.Server) -> None:
        def hold(request: bytes, _context: grpc.ServicerContext) -> bytes:
            self.held.release()
            self.release.wait(20)
            return request

        def stream(_requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            while context.is_active():
                yield b"tick"
                self.release.wait(0.05)

        handlers = {
            "echo": grpc.unary_unary_rpc_method_handler(lambda request, _context: request),
            "hold": grpc.unary_unary_rpc_method_handler(hold),
            "collect": grpc.stream_unary_rpc_method_handler(lambda requests, _context: b"".join(requests)),
            "stream": grpc.stream_stream_rpc_method_handler(stream),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def port(echo):
    server, port = grpc_edge.serve([echo.register], "127.0.0.1:0", "secret", needs=NEEDS, threads=4)
    yield port
    echo.release.set()
    server.stop(0).wait()


@pytest.fixture
def connect(port):
    opened = []

    def make(token: str = "secret", to: int = port) -> grpc_edge.Channel:
        opened.append(grpc_edge.Channel(f"127.0.0.1:{to}", token, "echo"))
        return connected(opened[-1]) if to == port else opened[-1]

    yield make
    for channel in opened:
        channel.close()


def call(channel: grpc_edge.Channel, request: bytes = b"hello", method: str = "echo", timeout_s: float = 20.0) -> bytes:
    with channel.errors(method):
        return channel.grpc.unary_unary(f"/test/{method}")(request, timeout=timeout_s, metadata=channel.metadata)


def test_the_token_opens(connect):
    assert call(connect()) == b"hello"


def test_big_messages_pass_and_absurd_ones_are_refused(connect):
    assert len(call(connect(), bytes(8 << 20))) == 8 << 20
    with pytest.raises(PeerError, match="has no room"):
        call(connect(), bytes(grpc_edge.MAX_MESSAGE_BYTES + 1))


@pytest.mark.parametrize("token", ["", "wrong", "secret2", "secre"])
def test_another_token_is_refused_and_logged(connect, port, token, caplog):
    with pytest.raises(Refused, match=rf"echo at 127.0.0.1:{port} refused to echo: wrong token"):
        call(connect(token))
    assert "refused a call from" in caplog.text
    assert call(connect()) == b"hello"


def test_no_token_at_all_is_refused(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test/echo")(b"x", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_strangers_that_stall_hold_no_thread(connect):
    """Streams of a wrong token, which never send anything, end at once; four of them would fill the server."""
    stall = threading.Event()

    def silent() -> Iterator[bytes]:
        stall.wait(20)
        yield b""

    try:
        for _ in range(6):
            stranger = connect("wrong")
            pending = stranger.grpc.stream_unary("/test/collect").future(
                silent(), metadata=stranger.metadata, timeout=30
            )
            assert pending.exception(20).code() is grpc.StatusCode.UNAUTHENTICATED
        assert call(connect()) == b"hello"
    finally:
        stall.set()


def test_streams_beyond_the_threads_are_refused_at_once_not_queued(connect, echo):
    pending = []  # a call that nobody holds is cancelled
    for _ in range(4):
        channel = connect()
        pending.append(channel.grpc.unary_unary("/test/hold").future(b"", timeout=20, metadata=channel.metadata))
        assert echo.held.acquire(timeout=20)
    with pytest.raises(PeerError, match="has no room"):
        call(connect())
    echo.release.set()
    assert call_until_served(connect()) == b"hello"


def call_until_served(channel: grpc_edge.Channel) -> bytes:
    for _ in range(100):
        try:
            return call(channel)
        except PeerError:
            threading.Event().wait(0.02)
    raise AssertionError("the server never served again")


@pytest.mark.parametrize(
    "data", [os.urandom(4096), b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 999]
)
def test_random_bytes_do_not_disturb_the_others(connect, port, data):
    channel = connect()
    with socket.create_connection(("127.0.0.1", port), 5) as stranger:
        stranger.sendall(data)
        assert call(channel) == b"hello"


def test_nobody_there(connect):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PeerError, match=rf"echo at 127.0.0.1:{port} does not answer, asked to echo"):
        call(connect(to=port))


def test_a_late_answer(connect):
    with pytest.raises(PeerError, match="did not answer in time"):
        call(connect(), method="hold", timeout_s=0.2)


def test_an_unknown_call_is_another_version(connect):
    with pytest.raises(PeerError, match="the same version of kaimesh"):
        call(connect(), method="nonsense")


def test_a_stream_ends_with_its_server(echo):
    server, port = grpc_edge.serve([echo.register], "127.0.0.1:0", "secret", needs=NEEDS)
    channel = connected(grpc_edge.Channel(f"127.0.0.1:{port}", "secret", "echo"))
    stream = channel.grpc.stream_stream("/test/stream")(iter(()), metadata=channel.metadata, timeout=20)
    assert next(stream) == b"tick"
    server.stop(0).wait()
    with pytest.raises(PeerError), channel.errors("stream"):
        list(stream)
    channel.close()


def test_a_taken_port_names_the_key_to_change(port, echo):
    with pytest.raises(
        ConfigError, match=rf"model_pool_addr = 127.0.0.1:{port} cannot be listened on.*Change model_pool_addr"
    ):
        grpc_edge.serve([echo.register], f"127.0.0.1:{port}", "secret", needs=NEEDS, key="model_pool_addr")


def test_the_health_check_answers_whoever_has_the_token(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary(grpc_edge.HEALTH_CHECK)
        assert check(b"", timeout=5, metadata=((grpc_edge.TOKEN_KEY, "secret"),)) == grpc_edge.SERVING
        with pytest.raises(grpc.RpcError) as refused:
            check(b"", timeout=5)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


class Broken:
    """Handlers that raise what nobody expected, in every way that a call can be made."""

    def register(self, server: grpc.Server) -> None:
        def raises(_request: bytes, _context: grpc.ServicerContext) -> bytes:
            raise KeyError("a bug")

        def raises_late(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
            yield b"one"
            raise KeyError("a bug")

        def refuses(request: bytes, context: grpc.ServicerContext) -> bytes:
            words = request.decode("utf-8", "surrogatepass") * 9000
            grpc_edge.refuse(context, MeshError(words), grpc.StatusCode.INVALID_ARGUMENT)

        def collects(requests: Iterator[bytes], _context: grpc.ServicerContext) -> bytes:
            return b"".join(requests)

        def parse(message: bytes) -> bytes:
            assert message != b"junk"
            return message

        handlers = {
            "unary": grpc.unary_unary_rpc_method_handler(raises, parse),
            "stream": grpc.unary_stream_rpc_method_handler(raises_late, parse),
            "refuses": grpc.unary_unary_rpc_method_handler(refuses, parse),
            "collects": grpc.stream_unary_rpc_method_handler(collects, parse),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("broken", handlers),))


@pytest.fixture
def broken():
    """A call of a method, by its code and its words; the meter; the log."""
    meter = Meter("test")
    server, port = grpc_edge.serve(
        [Broken().register], "127.0.0.1:0", "secret", needs=BROKEN, max_message_bytes=1 << 16, meter=meter
    )
    channel = connected(grpc_edge.Channel(f"127.0.0.1:{port}", "secret", "broken"))

    def call(method: str, message: bytes, more: tuple[tuple[str, str], ...] = ()) -> tuple[grpc.StatusCode, str]:
        metadata = channel.metadata + more
        answers = channel.grpc.stream_stream(f"/broken/{method}")(iter([message]), timeout=10, metadata=metadata)
        try:
            list(answers)
        except grpc.RpcError as error:
            return error.code(), error.details()
        return grpc.StatusCode.OK, ""

    yield call, meter
    channel.close()
    server.stop(0).wait()


@pytest.mark.parametrize("method", ["unary", "stream"])
def test_what_a_handler_did_not_expect_is_logged_counted_and_told(broken, caplog, method, internal_errors):
    call, meter = broken
    code, words = call(method, b"x")
    assert code is grpc.StatusCode.INTERNAL
    assert "internal error: KeyError" in words
    assert meter.counters["internal_errors"] == 1
    assert "KeyError: 'a bug'" in caplog.text
    assert f"/broken/{method}, called by ipv4:127.0.0.1" in caplog.text
    internal_errors.clear()


@pytest.mark.parametrize("method", ["unary", "stream", "refuses", "collects"])
def test_what_is_no_message_is_the_callers_fault_and_leaves_no_traceback(broken, caplog, method):
    call, meter = broken
    code, words = call(method, b"junk")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert words.startswith("these 4 bytes are no message of this call")
    assert "Traceback" not in caplog.text
    assert not meter.counters


@pytest.mark.parametrize(
    ("words", "shown"), [("no\n", "no\\nno"), ("\ud800é", "\\ud800é"), ("网格", "网格网"), ("🀄", "🀄🀄")]
)
def test_a_refusal_of_many_odd_words_arrives(broken, caplog, words, shown):
    call, meter = broken
    code, said = call("refuses", words.encode("utf-8", "surrogatepass"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said.startswith(shown)
    assert "Traceback" not in caplog.text
    assert not meter.counters


def test_a_service_may_take_only_small_messages(broken):
    call, _ = broken
    assert call("collects", bytes(1 << 16))[0] is grpc.StatusCode.OK
    assert call("collects", bytes((1 << 16) + 1))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "headers", [[(b"kaimesh-token", b"\xed\xa0\x80")], [(b"kaimesh-token-bin", b"AAAA")], [(b"\xed\xa0", b"x")]]
)
def test_metadata_that_are_no_text_are_refused_without_a_traceback(connect, port, headers, caplog):
    """By hand: gRPC's own client sends no such thing."""
    pairs = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/test/echo"),
        (b":authority", b"x"),
        (b"te", b"trailers"),
    ]
    pairs += [(b"content-type", b"application/grpc"), *headers]
    block = b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in pairs)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
    with socket.create_connection(("127.0.0.1", port), 5) as stranger:
        stranger.sendall(preface + len(block).to_bytes(3, "big") + b"\x01\x05\0\0\0\x01" + block)
        stranger.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while stranger.recv(4096):
                pass
        assert call(connect()) == b"hello"
    assert "Traceback" not in caplog.text
