"""A process of one's own: works in turns, and answers whoever connects to its port."""

from __future__ import annotations

import contextlib
import socket

from kaimesh.process.life import Context, main

VERSION = 1


class Toy:
    """Counts its turns."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turn_s = float(context.role.settings["turn_seconds"])
        port = int(context.address.rpartition(":")[2])
        self._server = socket.create_server((context.config.app.bind_host, port))
        self._server.setblocking(False)
        context.meter.info["port"] = port

    def run(self) -> None:
        """Until the process is asked to stop."""
        meter = self._context.meter
        meter.state("working")
        meter.gauge("version", VERSION)
        while not self._context.stop.wait(self._turn_s):
            meter.beat()
            meter.count("turns")
            with contextlib.suppress(BlockingIOError):
                connection, _ = self._server.accept()
                connection.close()

    def close(self) -> None:
        """Closes the port."""
        self._server.close()


if __name__ == "__main__":
    assert __spec__ is not None
    main("toy", f"{__spec__.name}.Toy")
