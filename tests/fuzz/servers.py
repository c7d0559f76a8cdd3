"""One real server in a process of its own, without a mesh around it: `python -m tests.fuzz.servers WHAT FOLDER`.

It prints `PORTS <port> ...` when it serves. `FOLDER/status/<name>.json` has its counters (a second old at most),
`FOLDER/log.txt` its log. An exception that leaves the server's loop is printed, and ends the process: what fuzzing
looks for.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kaimesh import ROOT
from kaimesh.config import load
from kaimesh.contract.user_agent import UserAgent, read_agent
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from tests.harness import free_ports

TOKEN = "the mesh token"
SAVED_ID = 7
TRAIN_COUNT = 41
CONF = ROOT / "conf" / "configure_app.toml"

Step = Callable[[], object]
Made = tuple[list[int], Step]  # its ports; its loop's body


class Doubler:
    """A stranger's agent, of no algorithm of ours: answers twice the observation's first number."""

    def __init__(self, **_: Any) -> None:
        pass

    def exploit(self, list_obs_data: Any) -> list[Any]:
        """One action a row."""
        return [{"action": np.float32(2 * row)} for row in list_obs_data.obs.reshape(len(list_obs_data), -1)[:, 0]]

    predict = exploit


def actor(context: Context) -> Made:
    """A native agent (PPO): it builds its network for the first client's spaces."""
    return _actor(context.make_agent("actor"), context)


def actor_diy(context: Context) -> Made:
    """An agent of a user: each client may have its own observations."""
    return _actor(read_agent(Doubler()), context)


def _actor(user: UserAgent, context: Context) -> Made:
    from kaimesh.actor.batcher import Batcher
    from kaimesh.actor.server import ActorServer

    batcher = Batcher(user, max_rows=256, meter=context.meter)
    server = ActorServer(("127.0.0.1", 0), token=TOKEN, batcher=batcher, models=None, meter=context.meter)
    return [server.port], lambda: server.step(0.02)


def ingest(context: Context) -> Made:
    """The buffer's ingest port, with a real Reverb behind it."""
    from kaimesh.buffer.ingest import Ingest
    from kaimesh.buffer.server import IngestServer
    from kaimesh.contract.agent import TableSpec

    table = TableSpec(kind="replay", rows_per_item=1)
    core = Ingest(table, context.config.app, meter=context.meter)
    server = IngestServer(("127.0.0.1", 0), token=TOKEN, ingest=core, meter=context.meter)
    return [server.port], server.step


def monitor(context: Context) -> Made:
    """The monitor's report port and its page."""
    from kaimesh.operate.cluster.monitor import Monitor

    server = Monitor(context)
    app = context.config.app
    return [int(app.monitor_addr.rpartition(":")[2]), app.monitor_page_port], server.run


def model_pool(context: Context) -> Made:
    """The model pool's gRPC."""
    from kaimesh.model_pool.server import ModelPoolServer
    from kaimesh.model_pool.store import Store

    server = ModelPoolServer(Store(context.run.model_pool, 20, logger=context.logger), context.meter, context.logger)
    return [server.start("127.0.0.1:0", TOKEN)], lambda: time.sleep(0.2)


def learner(context: Context) -> Made:
    """The learner's gRPC; a loop stands for the training thread."""
    import inspect

    from kaimesh.learner import learner_pb2 as pb
    from kaimesh.learner.server import LearnerServer

    more = {"meter": context.meter} if "meter" in inspect.signature(LearnerServer).parameters else {}
    server = LearnerServer(lambda: pb.Status(train_count=TRAIN_COUNT), context.logger, **more)
    port = server.start("127.0.0.1:0", TOKEN)

    def step() -> None:
        server.serve_saves(lambda: SAVED_ID)
        time.sleep(0.005)

    return [port], step


KINDS: dict[str, Callable[[Context], Made]] = {
    made.__name__: made for made in (actor, actor_diy, ingest, monitor, model_pool, learner)
}


def context_of(what: str, folder: Path) -> Context:
    """A process's surroundings, with free ports."""
    monitor, page = free_ports(2)
    pages = {"monitor_addr": f"127.0.0.1:{monitor}", "monitor_page_port": str(page)}
    config = load(CONF, {"bind_host": "127.0.0.1", "report_seconds": "1", **pages}, {})
    run = RunDir(folder)
    run.prepare()
    logging.basicConfig(filename=run.root / "log.txt", level=logging.INFO, force=True)
    name = f"{what}_0"
    meter = Meter(name, run.status / f"{name}.json")
    return Context(name, 0, config, run, TOKEN, 1, meter, logging.getLogger(name), threading.Event())


def main(what: str, folder: str) -> None:
    """Serves until the process is killed."""
    faulthandler.enable()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    context = context_of(what, Path(folder))
    ports, step = KINDS[what](context)
    context.meter.start()
    print("PORTS", *ports, flush=True)
    while True:
        step()


if __name__ == "__main__":
    main(*sys.argv[1:])
