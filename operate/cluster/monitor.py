"""The monitor of a cluster: all processes report to it each second; it writes status files and curves, serves a page.

It watches as the keeper does, but starts and ends nothing: that is the container engine's. When it dies, nothing waits
for it. The processes report to its successor, which takes the totals from the status files.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kaimesh.config.roles import MONITOR, Right, role_of
from kaimesh.contract.errors import MeshError, Refused, SampleError
from kaimesh.contract.untrusted import parsed
from kaimesh.operate.cluster.status import (
    MAX_PROCESSES,
    MAX_REPORT_BYTES,
    Name,
    check_role,
    kept_in,
    received,
    report_of,
    reporting,
)
from kaimesh.operate.view import page
from kaimesh.operate.view.cluster import View, look
from kaimesh.operate.view.ledger import Ledger
from kaimesh.operate.view.record import Record
from kaimesh.operate.view.totals import Totals, curves, totals
from kaimesh.process.clocks import SteadyClock
from kaimesh.process.documents import publish_json
from kaimesh.process.life import Context, main
from kaimesh.process.reporter import ROLE
from kaimesh.wire.connection import Connection, Hello
from kaimesh.wire.frame import Kind, from_json
from kaimesh.wire.server import FrameServer

_IDLE_S = 0.5
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class Monitor:
    """See the module. Raises MeshError: a port cannot be opened."""

    def __init__(self, context: Context) -> None:
        self._context, self._run = context, context.run
        app = context.config.app
        self._roles = reporting(context.config.roles.values())
        self._statuses = _kept(context.run.status, self._roles, context.logger)
        self._own: dict[str, dict[str, Any]] = {}
        context.meter.listeners.append(self._hear_itself)
        self._ledger = Ledger(self._statuses)
        self._record, self._report_s = Record(context.run), app.report_seconds
        self._clock = SteadyClock()
        self._last = (self._clock(), totals(self._statuses, time.time()))
        try:
            self._server = FrameServer(
                (app.bind_host, int(app.monitor_addr.rpartition(":")[2])),
                token=context.mesh_token,
                rights=context.config.rights,
                roles={ROLE: (Right.REPORT,), "reader": ()},
                on_hello=self._greet,
                meter=context.meter,
                logger=context.logger,
            )
            port = app.monitor_page_port
            self._page = page.serve((app.bind_host, port), self._look, context.meter, context.logger) if port else None
        except OSError as error:
            raise MeshError(
                f"monitor_addr = {app.monitor_addr} or monitor_page_port = {app.monitor_page_port} cannot be opened on "
                f"{app.bind_host} ({error.strerror}); nobody could see the mesh. Change it, or end what uses the port."
            ) from error
        context.meter.info["port"] = self._server.port

    def run(self) -> None:
        """Receives reports until the process is asked to stop."""
        self._context.meter.state("ready")
        while not self._context.stop.is_set():
            self._server.serve(self._server.poll(_IDLE_S), self._serve)
            self._context.meter.beat()
            self._write_curves()

    def close(self) -> None:
        """Closes the ports and the curves' file."""
        self._server.stop()
        if self._page is not None:
            self._page.shutdown()
            self._page.server_close()
        self._record.close()

    def _serve(self, connection: Connection) -> None:
        """Keeps a report and acknowledges it. Raises MeshError, and keeps nothing: it is not valid."""
        assert connection.header is not None
        status = self._ledger.take(self._report_of(connection))
        name = status["name"]
        self._statuses = {**self._statuses, name: status}  # a new dictionary, for the page reads it in its own threads
        publish_json(self._run.status / f"{name}.json", status)  # this process's own meter tells of a full disk
        self._server.send_json(connection, Kind.CONTROL, {}, tag=connection.header.tag)

    def _report_of(self, connection: Connection) -> dict[str, Any]:
        """The report in a frame. Raises MeshError: it is not valid, or it is another process's."""
        name = connection.state
        if name is None:
            raise SampleError(
                f"only a {ROLE} may report; this peer asked for nothing more than a handshake, and its report was "
                f"dropped. Connect with the role {ROLE}."
            )
        header, size = connection.header, len(connection.payload)
        if header is None or header.kind != Kind.CONTROL or size > MAX_REPORT_BYTES:
            raise SampleError(
                f"a report is a frame of kind {Kind.CONTROL:d}, of at most {MAX_REPORT_BYTES} bytes, not of {size}; it "
                "was dropped. Send fewer counters and gauges."
            )
        status = report_of(from_json(connection.payload).get("status"), self._roles)
        if status["name"] != name:
            raise SampleError(
                f"{name} cannot report for {status['name']}, so the report was dropped; each process reports under its "
                "own name"
            )
        if name not in self._statuses and len(self._statuses) >= MAX_PROCESSES:
            raise SampleError(
                f"{MAX_PROCESSES} processes are known already, so this one is not shown; start another run for more"
            )
        return received(status, time.time())

    def _greet(self, connection: Connection, hello: Hello) -> dict[str, Any]:
        """Checks the name of a peer that reports; `connection.state` becomes that name, None for a reader.

        Raises Refused.
        """
        if hello.role == ROLE:
            name = parsed(_NAME, hello.name, "no process of a mesh is called so", Refused)
            check_role(name, self._roles, Refused)
            assert connection.caller is not None
            connection.caller.speak_for(name, "its reports are not taken")
            connection.state = name
        return {}

    def _look(self) -> View:
        return look(self._run.root.name, {**self._statuses, **self._own}, time.time())

    def _hear_itself(self, snapshot: dict[str, Any]) -> None:
        """Keeps the monitor's own status; no peer may report under its name. Called from the meter's thread."""
        self._own = {self._context.name: {**snapshot, "restarts": 0}}

    def _write_curves(self) -> None:
        now, (before, earlier) = self._clock(), self._last
        if now - before < self._report_s:
            return
        current = totals(self._statuses, time.time())
        self._last = (now, current)
        if self._statuses:
            self._record.write(now, current, _rates(current, earlier, now - before), curves(self._statuses.values()))


def _kept(folder: Path, roles: frozenset[str], log: logging.Logger) -> dict[str, dict[str, Any]]:
    """The statuses that an earlier monitor wrote. A damaged file is skipped; the next report replaces it."""
    statuses = {}
    for path in sorted(folder.glob("[!.]*.json")):
        if role_of(path.stem) == MONITOR.name:
            continue
        try:
            statuses[path.stem] = kept_in(path, roles)
        except (OSError, SampleError) as error:
            log.warning("%s is not used, and that process's earlier lives are not counted: %s", path, error)
    return statuses


def _rates(current: Totals, earlier: Totals, seconds: float) -> dict[str, float]:
    return {
        f"{name}_per_s": (getattr(current, name) - getattr(earlier, name)) / max(seconds, 1e-3)
        for name in ("env_steps", "learner_steps")
    }


if __name__ == "__main__":
    main(MONITOR.name, "kaimesh.operate.cluster.monitor.Monitor")
