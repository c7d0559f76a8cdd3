"""The status page of a cluster: a table that reloads itself, and the same as JSON."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kaimesh.contract.json_text import json_text
from kaimesh.operate.view.cluster import View, as_json
from kaimesh.operate.view.row import Row, sentence
from kaimesh.operate.view.totals import shown
from kaimesh.process.meter import Meter
from kaimesh.wire.internal import internal_error

RENEW_S = 2
MAX_CONNECTIONS = 64
REQUEST_S = 5.0  # a peer that has sent or taken nothing for so long is dropped
CONNECTION_S = 10.0  # and every peer after this, however busy it looks: one that sends a byte now and then, too
_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "td,th{padding:.3em .9em;text-align:left;border-bottom:1px solid #ddd}td.n{text-align:right}"
    ".ok{color:#087}.starting{color:#a60}.silent,.failed{color:#c00}.figures span{margin-right:2em}b{font-size:1.3em}"
)
_COLUMNS = ("process", "host", "health", "restarts", "throughput", "model", "does")


def html(view: View) -> str:
    """The page."""
    figures = "".join(f"<span>{name}<br><b>{value}</b></span>" for name, value in shown(view.totals))
    body = "".join(_row(row, view.now) for row in view.rows)
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    return (
        f"<!doctype html><meta charset=utf-8><meta http-equiv=refresh content={RENEW_S}><title>kaimesh</title>"
        f"<style>{_STYLE}</style><h1>{escape(view.run)}</h1><p class=figures style='display:flex'>{figures}</p>"
        f"<table><tr>{head}</tr>{body}</table><p>{time.strftime('%F %T', time.gmtime(view.now))} UTC</p>"
    )


def _row(row: Row, now: float) -> str:
    rate = "-" if row.throughput is None else f"{row.throughput:,.0f} {escape(row.throughput_unit)}"
    model = "-" if row.model_version is None else str(row.model_version)
    return (
        f"<tr><td>{escape(row.name)}<td>{escape(row.host)}<td class={row.health}>{row.health}<td class=n>{row.restarts}"
        f"<td class=n>{rate}<td class=n>{model}<td>{escape(sentence(row, now))}"
    )


class Page(ThreadingHTTPServer):
    """The web server, with a thread for each connection.

    When too many connections are open, the oldest is closed, so that a new one is always served. None lasts longer than
    CONNECTION_S, for one request is answered on each.
    """

    daemon_threads = True
    request_queue_size = 128  # connections not accepted yet; with the default of five, others would wait for seconds

    def __init__(self, address: tuple[str, int], look: Callable[[], View], meter: Meter, log: logging.Logger) -> None:
        self.look, self._meter, self._log = look, meter, log
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}  # oldest first; when each was opened, on the monotonic clock
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a connection in a thread, at most MAX_CONNECTIONS at a time."""
        with self._lock:
            self._open[request] = time.monotonic()
            if len(self._open) > MAX_CONNECTIONS:
                _end(next(iter(self._open)))
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Ends connections that last too long; called twice a second, and after each connection."""
        too_old = time.monotonic() - CONNECTION_S
        with self._lock:
            for request, opened in self._open.items():
                if opened > too_old:
                    break
                _end(request)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection that was served."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Ignores a peer that went away; anything else is a bug of kaimesh's, logged and counted."""
        if not isinstance(sys.exception(), OSError):
            internal_error(self._meter, self._log, f"the page, asked by {client_address[0]}")


def _end(connection: socket.socket) -> None:
    """Makes the connection's thread end; the thread closes it."""
    with contextlib.suppress(OSError):  # the peer has gone already
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_S
    server: Page

    def do_GET(self) -> None:
        """Answers with the page, or with what it shows as JSON."""
        self.wfile.write(self._answer())

    def do_HEAD(self) -> None:
        """The head of what GET would answer, as programs that watch web pages ask for."""
        self._answer()

    def _answer(self) -> bytes:
        """Sends the head of the answer; returns its body, empty after an error, which is sent whole."""
        if self.path not in ("/", "/status.json"):
            self.send_error(404)
            return b""
        view = self.server.look()
        as_text = self.path == "/status.json"
        content = (json_text(as_json(view), reasons=True) if as_text else html(view)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if as_text else "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def log_message(self, *_arguments: object) -> None:
        """Logs nothing: each viewer asks every two seconds, and anybody may send anything."""


def serve(address: tuple[str, int], look: Callable[[], View], meter: Meter, log: logging.Logger) -> Page:
    """Serves / and /status.json in a thread. Raises OSError: the port is taken."""
    server = Page(address, look, meter, log)
    threading.Thread(target=server.serve_forever, name="page", daemon=True).start()
    return server
