"""gRPC as the mesh uses it, for everything that does not happen on every step.

The token travels in the metadata, both ends have the same limits, and gRPC's errors become messages of the mesh's own.
A stream occupies a thread of the server as long as it is open, so servers have more threads than they admit streams;
calls for which no thread is free are refused at once and never queued.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import grpc

from kaimesh.config.roles import Right, Rights
from kaimesh.contract.errors import ConfigError, Denied, MeshError, PeerError, Refused
from kaimesh.contract.untrusted import clean
from kaimesh.wire.gate import OWN_RIGHTS, Gate
from kaimesh.wire.internal import Counts, internal_error

TOKEN_KEY = "kaimesh-token"
THREADS = 64
MAX_MESSAGE_BYTES = 16 << 20  # models travel in chunks far below this; a service may set less
MAX_METADATA_BYTES = 8 << 10
_MAX_REASON = 600  # characters of a refusal: it travels as metadata, where a character takes up to 12 bytes
KEEPALIVE_MS = 10_000
HANDSHAKE_MS = 10_000  # a client that says nothing is disconnected
IDLE_MS = 300_000  # a connection without a call is closed; the mesh's clients connect again by themselves
_COMMON = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
_SERVER = [
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    ("grpc.max_connection_idle_ms", IDLE_MS),
    ("grpc.so_reuseport", 0),  # else a second server could share the port and take half of the calls
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),  # accept the pings of our own clients
]
_CLIENT = [
    *_COMMON,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # the longest that one attempt waits; a refusal ends it at once
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
]


HEALTH_CHECK = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"  # HealthCheckResponse(status=SERVING), serialised


class _TokenCheck(grpc.ServerInterceptor):
    """Refuses calls whose metadata carry no right token, and those to which the token's role has no right."""

    def __init__(self, gate: Gate, needs: Mapping[str, tuple[Right, ...]], logger: logging.Logger) -> None:
        self._gate, self._needs, self._log = gate, needs, logger

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler of the called method, or the one that refuses; None: there is no such method."""
        given = dict(handler_call_details.invocation_metadata).get(TOKEN_KEY, b"")
        method = handler_call_details.method
        try:
            caller = self._gate.caller(given.encode("utf-8", "replace") if isinstance(given, str) else bytes(given))
            if method in self._needs:
                caller.want(*self._needs[method], loss=f"{method} did nothing")
                return continuation(handler_call_details)
        except Refused as error:
            # A handler for streams: one for single messages would first wait for the refused caller's message.
            return grpc.stream_stream_rpc_method_handler(partial(self._refuse, error))
        return None

    def _refuse(self, error: Refused, _requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self._log.warning("refused a call from %s: %s", context.peer(), error)
        lacking = isinstance(error, Denied)
        refuse(context, error, grpc.StatusCode.PERMISSION_DENIED if lacking else grpc.StatusCode.UNAUTHENTICATED)
        yield


class _Boundary(grpc.ServerInterceptor):
    """Handles what handlers do not: bytes that are no valid message, and unexpected exceptions.

    Invalid bytes are refused before the handler sees them; gRPC itself would print a traceback and report an internal
    error. An unexpected exception of a handler is such an error: it is logged with its traceback, counted, and reported
    to the caller.
    """

    def __init__(self, meter: Counts | None, logger: logging.Logger) -> None:
        self._meter, self._log = meter, logger

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler of the called method, wrapped in these checks."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        parse = handler.request_deserializer or bytes
        method = clean(str(handler_call_details.method), 100)

        def requests_of(sent: Any, context: grpc.ServicerContext) -> Any:
            if handler.request_streaming:
                return (_parsed(parse, message, context) for message in sent)
            return _parsed(parse, sent, context)

        def answer(sent: Any, context: grpc.ServicerContext) -> Any:
            with self._seen(method, context):
                return behaviour(requests_of(sent, context), context)

        def answers(sent: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with self._seen(method, context):
                yield from behaviour(requests_of(sent, context), context)

        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        return make(answers if handler.response_streaming else answer, None, handler.response_serializer)

    @contextmanager
    def _seen(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if _is_abort(error, context):
                raise
            if isinstance(error, grpc.RpcError):  # the caller ended the call while the handler waited for its messages
                self._log.debug("%s: the caller %s has gone", method, context.peer())
                raise
            internal_error(self._meter, self._log, f"{method}, called by {context.peer()}")
            context.abort(
                grpc.StatusCode.INTERNAL, f"internal error: {type(error).__name__}; the log has its traceback"
            )


_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _parsed(parse: Callable[[bytes], Any], message: bytes, context: grpc.ServicerContext) -> Any:
    """The message that the caller sent. Refuses the call if the bytes are no valid message."""
    try:
        return parse(message)
    except Exception:  # its type depends on the implementation of protobuf
        context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"these {len(message)} bytes are no message of this call, so it was refused; call it from the same version "
            "of kaimesh",
        )


def _is_abort(error: Exception, context: grpc.ServicerContext) -> bool:
    """Whether `error` was raised by `context.abort`, which raises a bare Exception."""
    return type(error) is Exception and not error.args and bool(context.code())  # type: ignore[attr-defined]


def _without_traceback(record: logging.LogRecord) -> bool:
    """A log filter: gRPC logs a traceback if a caller's metadata are not valid text; keeps one line of it."""
    if str(record.msg).startswith("Invalid encoding"):
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True


def serve(
    registrations: Iterable[Callable[[grpc.Server], None]],
    bind: str,
    token: str,
    *,
    needs: Mapping[str, tuple[Right, ...]],
    rights: Rights = OWN_RIGHTS,
    key: str = "",
    threads: int = THREADS,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    meter: Counts | None = None,
    logger: logging.Logger | None = None,
) -> tuple[grpc.Server, int]:
    """Starts a server; returns it and its port. It also answers gRPC's health check, which needs a token too.

    registrations: each adds a servicer, `lambda server: add_XServicer_to_server(servicer, server)`.
    bind: "host:port"; port 0 takes a free one. token: the mesh token. rights: of each role in the mesh.
    needs: by method, "/package.Service/Method", the rights of which a caller needs one, or none if there are none.
    Methods that are not named there do not exist for anybody.
    key: the configuration key that the address comes from, for the error.
    max_message_bytes: the longest request; requests without a token are not read.
    meter: counts `internal_errors`, our own bugs, and `denied`.
    Raises ConfigError: the port is taken, or the address is not this machine's.
    """
    log = logger or logging.getLogger("kaimesh.wire.grpc_edge")
    logging.getLogger("grpc._cython.cygrpc").addFilter(_without_traceback)
    limits = {**dict(_COMMON), "grpc.max_receive_message_length": max_message_bytes, **dict(_SERVER)}
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="rpc"),
        interceptors=[
            _TokenCheck(Gate(token, rights, meter), {HEALTH_CHECK: (), **needs}, log),
            _Boundary(meter, log),
        ],
        options=list(limits.items()),
        maximum_concurrent_rpcs=threads,
    )
    health = grpc.unary_unary_rpc_method_handler(lambda _request, _context: SERVING)
    service, _, method = HEALTH_CHECK[1:].partition("/")
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: health})])
    for register in registrations:
        register(server)
    try:
        port = server.add_insecure_port(bind)
    except RuntimeError as error:
        raise ConfigError(
            f"{key or 'address'} = {bind} cannot be listened on: another process has the port, or the address is not "
            f"this machine's. Change {key or 'it'}, or stop that process."
        ) from error
    server.start()
    return server, port


def refuse(context: grpc.ServicerContext, error: MeshError, code: grpc.StatusCode) -> NoReturn:
    """Ends a call with `code` and the error's message."""
    context.abort(code, clean(str(error), _MAX_REASON))
    raise AssertionError("abort() raises")


class Channel:
    """A client's connection to one server: the gRPC channel, the metadata with the token, and the mesh's own errors.

    Connects on the first call and reconnects by itself. address: "host:port". token: the caller's role's, or the mesh
    token. what: the server's name in messages.
    """

    def __init__(self, address: str, token: str, what: str) -> None:
        self.address, self._what = address, what
        self.metadata = ((TOKEN_KEY, token),)
        self.grpc = grpc.insecure_channel(address, options=_CLIENT)

    @contextmanager
    def errors(self, verb: str) -> Iterator[None]:
        """Turns gRPC's errors inside the block into PeerError, or into Refused if the server refused the call.

        verb: what the call asks for, for the message.
        """
        try:
            yield
        except grpc.RpcError as error:
            code, details = error.code(), clean(error.details() or "")
            where = f"{self._what} at {self.address}"
            if code in _REFUSALS:
                kind = Denied if code == grpc.StatusCode.PERMISSION_DENIED else Refused
                raise kind(f"{where} refused to {verb}: {details}") from error
            words, remedy = _WORDS.get(code, (f"failed ({code.name})", "See its log."))
            raise PeerError(f"{where} {words}, asked to {verb}: {details.rstrip('.!')}. {remedy}") from error

    def close(self) -> None:
        """Closes the connection; calls that wait for an answer end."""
        self.grpc.close()


_REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
}
_WORDS = {  # by code: what the server did, and what to do about it
    grpc.StatusCode.UNAVAILABLE: ("does not answer", "Look whether it runs, and at the key with its address."),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("did not answer in time", "See its log."),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("has no room", "Call again when it has less to do."),
    grpc.StatusCode.DATA_LOSS: ("received damaged data", "Send it again."),
    grpc.StatusCode.CANCELLED: ("ended the call", "Call again."),
    grpc.StatusCode.UNIMPLEMENTED: ("does not know the call", "Run the same version of kaimesh at both ends."),
}
