"""The status page: the mesh as a table that renews itself, and the same as JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kaimesh.cluster.view import Place, View, as_json

RENEW_S = 2
_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "td,th{padding:.3em .9em;text-align:left;border-bottom:1px solid #ddd}td.n{text-align:right}"
    ".ok{color:#087}.starting{color:#a60}.silent,.failed{color:#c00}.figures span{margin-right:2em}b{font-size:1.3em}"
)
_COLUMNS = ("process", "host", "health", "restarts", "throughput", "model", "does")


def html(view: View, now: float) -> str:
    """The page."""
    total = view.totals
    figures = {
        "env steps": f"{total.env_steps:,}",
        "env steps/s": f"{total.env_steps_per_s:,.0f}",
        "mean return": "-" if total.return_mean_100 is None else f"{total.return_mean_100:,.2f}",
        "learner steps": f"{total.learner_steps:,}",
        "model": "-" if total.model_version is None else f"{total.model_version:,}",
        "policy lag": "-" if total.policy_lag is None else f"{total.policy_lag:.1f}",
        "samples lost": f"{total.samples_lost:,}",
    }
    shown = "".join(f"<span>{name}<br><b>{value}</b></span>" for name, value in figures.items())
    body = "".join(_row(place) for place in view.places)
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    return (
        f"<!doctype html><meta charset=utf-8><meta http-equiv=refresh content={RENEW_S}><title>kaimesh</title>"
        f"<style>{_STYLE}</style><h1>{escape(view.run)}</h1><p class=figures style='display:flex'>{shown}</p>"
        f"<table><tr>{head}</tr>{body}</table><p>{time.strftime('%F %T', time.gmtime(now))} UTC</p>"
    )


def _row(place: Place) -> str:
    row, host, does = place
    rate = "-" if row.throughput is None else f"{row.throughput:,.0f} {row.throughput_unit}"
    model = "-" if row.model_version is None else str(row.model_version)
    return (
        f"<tr><td>{escape(row.name)}<td>{escape(host)}<td class={row.health}>{row.health}<td class=n>{row.restarts}"
        f"<td class=n>{rate}<td class=n>{model}<td>{escape(does)}"
    )


def serve(address: tuple[str, int], look: Callable[[], View]) -> ThreadingHTTPServer:
    """Serves / and /status.json in a thread. Raises OSError: the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """The page, or what it shows as JSON."""
            if self.path not in ("/", "/status.json"):
                self.send_error(404)
                return
            view = look()
            as_text = self.path == "/status.json"
            content = (json.dumps(as_json(view)) if as_text else html(view, time.time())).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if as_text else "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Nothing: a request every two seconds is no news."""

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="page", daemon=True).start()
    return server
