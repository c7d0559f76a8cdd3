"""Every right with every role's token, and with tokens that are nobody's, on every port: real servers, real sockets.

Both tables come from kaimesh.config.roles: a new role is tried by itself, a new right fails until TRIES has it.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kaimesh.actor.batcher import Batcher
from kaimesh.actor.models import Models
from kaimesh.actor.server import ActorServer
from kaimesh.buffer.ingest import Ingest
from kaimesh.buffer.server import IngestServer
from kaimesh.config import Config, load
from kaimesh.config.own_roles import own_roles
from kaimesh.config.roles import ROLES, Right
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.errors import AgentError, ConfigError, Denied, MeshError, PeerError, Refused
from kaimesh.contract.user_agent import read_agent
from kaimesh.learner import learner_pb2, learner_pb2_grpc
from kaimesh.learner import server as learner_server
from kaimesh.learner.client import LearnerClient
from kaimesh.learner.server import SAVE_S, SAVES_AT_ONCE, LearnerServer, SavePace
from kaimesh.model_pool import model_pool_pb2
from kaimesh.model_pool import server as pool_server
from kaimesh.model_pool.client import ModelPoolClient
from kaimesh.model_pool.service import ModelPoolService
from kaimesh.operate.cluster.monitor import Monitor
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter
from kaimesh.process.reporter import ROLE as REPORTER
from kaimesh.process.run_dir import RunDir
from kaimesh.training import checkpoint
from kaimesh.wire.client import FrameClient
from kaimesh.wire.frame import ACK
from kaimesh.wire.gate import DENIED, OPERATOR, Gate, holder_of, mesh_token, role_token
from kaimesh.wire.grpc_edge import HEALTH_CHECK, SERVING, Channel
from tests.actor.conftest import Echoing, FakePool, rows
from tests.fuzz.frames import report
from tests.harness import ROOT, free_ports, wait_until

TOKEN = "the mesh token"
WAIT_S = 60.0
OWN = {f"only_{right}": [right] for right in Right} | {"idle": [], "all_rights": list(Right)}
TABLES = "".join(f'[roles.{name}]\npackage = "mine.{name}"\nrights = {[*map(str, has)]}\n' for name, has in OWN.items())
CALLERS = (OPERATOR, *ROLES, *OWN)
aisrv = role_token(TOKEN, "aisrv")
NOBODYS = {
    "no token": "",
    "a guess": "guess",
    "another run's": role_token("another run's", "aisrv"),
    "another run's mesh token": "another run's",
    "aisrv's under another name": aisrv.replace("aisrv", "learner"),
    "made from aisrv's": role_token(aisrv.partition(".")[2], "learner"),
    "aisrv's, cut short": aisrv[:-1],
    "aisrv's, and more": aisrv + "0",
    "aisrv's without its role": aisrv.partition(".")[2],
    "the mesh token, cut short": TOKEN[:-1],
    "no digits": "aisrv." + "g" * 64,
}


class Ports:
    """Five servers as their processes make them, each in a thread, with the rights of one configuration."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.config, self.stop = folder, config, threading.Event()
        self.meters = {name: Meter(name) for name in ("actor", "buffer", "learner", "model_pool", "monitor")}
        self._threads: list[threading.Thread] = []
        self._ends: list[Callable[[], object]] = []
        pool = FakePool()
        pool.offer(1)
        models = Models(pool, folder / "models", period_s=0, stop=self.stop)
        models.start()
        batcher = Batcher(read_agent(Echoing()), max_rows=8, meter=self.meters["actor"])
        common: dict[str, Any] = {"token": TOKEN, "rights": config.rights}
        self.actor = ActorServer(("127.0.0.1", 0), batcher=batcher, models=models, meter=self.meters["actor"], **common)
        ingest = Ingest(TableSpec(kind="replay", rows_per_item=1), config.app, meter=self.meters["buffer"])
        self.buffer = IngestServer(("127.0.0.1", 0), ingest=ingest, meter=self.meters["buffer"], **common)
        status = learner_pb2.Status(train_count=3)
        learner = LearnerServer(lambda: status, logging.getLogger("learner"), self.meters["learner"])
        self.learner = f"127.0.0.1:{learner.start('127.0.0.1:0', **common)}"
        self.pool = ModelPoolService(self._context("model_pool"))
        self.monitor = Monitor(self._context("monitor"))
        self._serve(self.actor.step, self.actor.close)
        self._serve(self.buffer.step, self.buffer.close)
        self._serve(lambda: learner.serve_saves(lambda: 7) or self.stop.wait(0.002), lambda: learner.stop(0))
        self._serve(self.pool.run, self.pool.close)
        self._serve(self.monitor.run, self.monitor.close)

    def _context(self, name: str) -> Context:
        run, logger = RunDir(self.folder / name), logging.getLogger(name)
        run.prepare()
        return Context(f"{name}_0", 0, self.config, run, TOKEN, 1, self.meters[name], logger, self.stop)

    def _serve(self, step: Callable[[], object], end: Callable[[], object]) -> None:
        def run() -> None:
            while not self.stop.is_set():
                step()
            end()

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def close(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()

    def denied(self) -> int:
        """What all ports have counted so far."""
        return int(sum(meter.counters.get(DENIED, 0) for meter in self.meters.values()))

    def frames(self, port: int, token: str, role: str, name: str = "tester", **hello: Any) -> Any:
        """A connection over framed TCP."""
        address = f"127.0.0.1:{port}"
        return closing(FrameClient(address, token=token, role=role, name=name, hello=hello, timeout_s=WAIT_S))

    def at_pool(self, token: str) -> Any:
        """A client of the model pool."""
        return closing(ModelPoolClient(self.config.app.model_pool_addr, token, timeout_s=WAIT_S))

    def at_learner(self, token: str) -> Any:
        """A client of the learner."""
        return closing(LearnerClient(self.learner, token))

    def monitor_port(self) -> int:
        """Where processes report."""
        return int(self.config.app.monitor_addr.rpartition(":")[2])


def predict(ports: Ports, token: str) -> None:
    batch = rows(1, first=5)
    with ports.frames(ports.actor.port, token, "player", specs=batch.specs.to_json()) as client:
        client.send_rows(batch, batch.specs)
        assert client.receive_rows()[1].action[0] == 5


def pin(ports: Ports, token: str) -> None:
    with ports.frames(ports.actor.port, token, "player") as client:
        assert client.call({"do": "load_model", "id": 1}) == {"version": 1}


def insert(ports: Ports, token: str) -> None:
    batch = rows(1)
    with ports.frames(ports.buffer.port, token, "writer", specs=batch.specs.to_json()) as client:
        client.send_rows(batch, batch.specs, tag=3)
        assert client.receive()[0][1:] == (ACK, 0, 0, 0, 0, 3, 0)


def refresh(ports: Ports, token: str) -> None:
    batch = rows(1)
    with ports.frames(ports.buffer.port, token, "refresher", specs=batch.specs.to_json()) as client:
        client.send_rows(batch, batch.specs, tag=4)
        assert client.receive()[0][1:] == (ACK, 0, 0, 0, 0, 4, 0)


def draw(ports: Ports, token: str) -> None:
    with ports.frames(ports.buffer.port, token, "reader") as client:
        assert client.call({"do": "describe"})["specs"]
        client.call({"do": "wait", "known": -1, "enough": 0, "count_undrawn": False})


def pace(ports: Ports, token: str) -> None:
    with ports.frames(ports.buffer.port, token, "reader") as client:
        assert client.call({"do": "pace", "most": None})["positions"] >= 0


def drop(ports: Ports, token: str) -> None:
    with ports.frames(ports.buffer.port, token, "reader") as client:
        assert client.call({"do": "drop"}) == {}


def pull(ports: Ports, token: str) -> None:
    with ports.at_pool(token) as client:
        assert client.list()
        assert client.pull("latest", ports.folder / "pulled").id
        assert next(client.watch(threading.Event())).id


def push(ports: Ports, token: str) -> None:
    id = len(list((ports.folder / "ckpt").glob("*.x"))) + 1
    info = checkpoint.dump(
        ports.folder / "ckpt", id, lambda path, id: Path(path, f"model.ckpt-{id}.x").write_bytes(b"w") and None
    )
    with ports.at_pool(token) as client:
        client.push(ports.folder / "ckpt", info)


def save(ports: Ports, token: str) -> None:
    with ports.at_learner(token) as client:
        assert client.save_model(WAIT_S) == 7


def report_as(ports: Ports, token: str, name: str) -> None:
    with ports.frames(ports.monitor_port(), token, REPORTER, name=name) as client:
        assert client.call({"status": report(name)}) == {}


def report_it(ports: Ports, token: str) -> None:
    holder = holder_of(token)
    report_as(ports, token, f"{holder if holder in CALLERS[1:] else 'aisrv'}_0")


TRIES: dict[Right, Callable[[Ports, str], None]] = {
    Right.PREDICT: predict,
    Right.PIN: pin,
    Right.INSERT: insert,
    Right.REFRESH: refresh,
    Right.DRAW: draw,
    Right.PACE: pace,
    Right.DROP: drop,
    Right.PULL: pull,
    Right.PUSH: push,
    Right.SAVE: save,
    Right.REPORT: report_it,
}


def read_counters(ports: Ports, token: str) -> None:
    with ports.at_learner(token) as client:
        assert client.status()["train_count"] == 3


def health_of(address: str, token: str) -> None:
    with closing(Channel(address, token, "the server")) as channel, channel.errors("tell its health"):
        answer = channel.grpc.unary_unary(HEALTH_CHECK)(b"", timeout=WAIT_S, metadata=channel.metadata)
        assert answer == SERVING


def shake_hands(ports: Ports, token: str) -> None:
    ports.frames(ports.monitor_port(), token, "reader").__enter__().close()


OPEN: dict[str, Callable[[Ports, str], None]] = {
    "the learner's counters": read_counters,
    "the learner's health": lambda ports, token: health_of(ports.learner, token),
    "the pool's health": lambda ports, token: health_of(ports.config.app.model_pool_addr, token),
    "the monitor's handshake": shake_hands,
}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder = tmp_path_factory.mktemp("rights")
    keys = 'report_seconds = 1.0\nreverb_rate_limiter = "MinSize"\nreanalyse_count = 1\n'
    (folder / "c.toml").write_text(f"[app]\n{keys}{TABLES}")
    pool, monitor = free_ports(2)
    addresses = {"model_pool_addr": f"127.0.0.1:{pool}", "monitor_addr": f"127.0.0.1:{monitor}"}
    made = Ports(folder, load(folder / "c.toml", addresses, {}))
    for right in (Right.PUSH, Right.INSERT):  # there is something to pull and to draw
        wait_until(lambda right=right: outcome(made, right, TOKEN) is None, WAIT_S, f"the port that takes {right}")
    yield made
    made.close()


def outcome(ports: Ports, right: Right, token: str) -> MeshError | None:
    """What came of it: None, or the refusal."""
    try:
        TRIES[right](ports, token)
    except MeshError as error:
        return error
    return None


def token_of(caller: str) -> str:
    return TOKEN if caller == OPERATOR else role_token(TOKEN, caller)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_role_may_do_what_its_row_says_and_nothing_else(ports: Ports, caller: str) -> None:
    assert set(TRIES) == set(Right), "every right is tried"
    rights = frozenset(Right) if caller == OPERATOR else ports.config.rights[caller]
    before = ports.denied()
    said = {right: outcome(ports, right, token_of(caller)) for right in Right}
    assert {right for right, error in said.items() if error is None} == rights, said
    lacking = [right for right in Right if right not in rights]
    assert ports.denied() - before == len(lacking), "each is counted"
    for right in lacking:
        words = str(said[right])
        assert isinstance(said[right], Denied | Refused | AgentError)
        assert f"role {caller} has no right to" in words
        assert right in words.partition(", so ")[0], "the right"
        assert f"[roles.{caller}]" in words if caller in OWN else "Show the mesh token" in words, "the remedy"
    for name, ask in OPEN.items():
        ask(ports, token_of(caller)), name
    for right in set(Right) - {Right.SAVE}:  # nobody else was hurt; too many saves would be refused
        assert outcome(ports, right, TOKEN) is None


@pytest.mark.parametrize("caller", ["only_draw", "reanalyse"])
def test_who_draws_does_not_say_for_the_learner_what_has_arrived(ports: Ports, caller: str) -> None:
    """With it, a queue's books would count what a kill has lost as drawn."""
    with ports.frames(ports.buffer.port, token_of(caller), "reader") as client:
        assert client.call({"do": "describe", "drawn": 0})["specs"]
        with pytest.raises(AgentError, match=f"role {caller} has no right to pace, so the buffer did not count 7"):
            client.call({"do": "describe", "drawn": 7})
        assert client.call({"do": "describe"})["specs"], "the connection goes on"


@pytest.mark.parametrize("token", NOBODYS.values(), ids=NOBODYS.keys())
def test_a_token_that_is_nobodys_opens_nothing(ports: Ports, token: str) -> None:
    before = ports.denied()
    for ask in (*TRIES.values(), *OPEN.values()):
        with pytest.raises(PeerError, match="wrong token"):
            ask(ports, token)
    assert ports.denied() == before, "it is no role that lacks a right"


def test_a_role_that_the_server_does_not_know_is_told_so(ports: Ports) -> None:
    for ask in (*TRIES.values(), *OPEN.values()):
        with pytest.raises(Refused, match=r"role stranger is not in this server's configuration.*\[roles.stranger\]"):
            ask(ports, role_token(TOKEN, "stranger"))


@pytest.mark.parametrize("caller", [*ROLES, "only_report"])
def test_a_process_reports_for_its_own_role_alone(ports: Ports, caller: str) -> None:
    for name in (f"{role}_{number}" for role in (*ROLES, "only_report", "all_rights") for number in (0, 3)):
        reports = Right.REPORT in ports.config.rights[name[:-2]]
        if reports and name[:-2] == caller:
            report_as(ports, token_of(caller), name)
            continue
        with pytest.raises(Refused, match=f"has no right to report|may not speak for {name}|is called '{name}'"):
            report_as(ports, token_of(caller), name)


def test_the_document_has_each_right_and_who_has_it() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([\w, ]+) \|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    assert {right: set(roles.split(", ")) for right, roles in rows} == {
        right: {role.name for role in ROLES.values() if right in role.rights} for right in Right
    }


def test_every_method_of_a_service_says_what_it_needs() -> None:
    """A method that is in no table answers nobody."""
    for module, needs in ((learner_pb2, learner_server.NEEDS), (model_pool_pb2, pool_server.NEEDS)):
        services = module.DESCRIPTOR.services_by_name.values()
        methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
        assert methods == set(needs)


def test_a_method_that_is_in_no_table_answers_nobody(ports: Ports) -> None:
    with (
        closing(Channel(ports.learner, TOKEN, "learner")) as channel,
        pytest.raises(PeerError, match="does not know the call"),
        channel.errors("do more"),
    ):
        channel.grpc.unary_unary("/kaimesh.learner.Learner/Format")(b"", timeout=WAIT_S, metadata=channel.metadata)
    assert learner_pb2_grpc.LearnerStub


def test_pinning_is_taken_from_aisrv_by_a_key(ports: Ports) -> None:
    config = load(ports.folder / "c.toml", {"aisrv_may_pin": "false"}, {})
    assert ports.config.rights["aisrv"] - config.rights["aisrv"] == {Right.PIN}
    assert {name: has for name, has in config.rights.items() if name != "aisrv"} == {
        name: has for name, has in ports.config.rights.items() if name != "aisrv"
    }
    meter = Meter("actor_0")
    with pytest.raises(Denied, match=r"role aisrv has no right to pin, so it stays\. Set aisrv_may_pin = true if all"):
        Gate(TOKEN, config.rights, meter).caller(aisrv.encode()).want(Right.PIN, loss="it stays")
    assert meter.counters == {DENIED: 1}


def test_who_may_not_pin_cannot_undo_a_pin_either(ports: Ports) -> None:
    ask = {"do": "load_model", "id": "latest"}
    with ports.frames(ports.actor.port, token_of("only_predict"), "player") as client:
        pin(ports, TOKEN)
        with pytest.raises(AgentError, match="role only_predict has no right to pin"):
            client.call(ask)
        with ports.frames(ports.actor.port, TOKEN, "player") as operator:
            operator.call(ask)
        assert client.call(ask) == {"version": 1}, "nothing is pinned, so asking for the newest changes nothing"


def test_a_roles_token_makes_no_other() -> None:
    for role in ROLES:
        if role != "aisrv":
            with pytest.raises(ConfigError, match=f"the token of role aisrv, and this process is of role {role}"):
                role_token(aisrv, role)
    assert role_token(aisrv, "aisrv") == aisrv
    with pytest.raises(ConfigError, match="token of role aisrv, with which actor_0 cannot check"):
        mesh_token(aisrv, "actor_0")


def test_a_process_shows_its_roles_token_and_checks_with_the_mesh_token(ports: Ports) -> None:
    context = ports._context("monitor")
    assert context.token == role_token(TOKEN, "monitor")
    assert context.mesh_token == TOKEN
    context.secret = aisrv
    with pytest.raises(ConfigError, match="its port was not opened"):
        Monitor(context)


@pytest.mark.parametrize("shown", [b"\xff", b"aisrv.\xed\xa0\x80", b"aisrv." + "\u0663".encode() * 64, b"\0" * 4096])
def test_bytes_that_are_no_text_are_nobodys(shown: bytes) -> None:
    with pytest.raises(Refused, match="wrong token"):
        Gate(TOKEN).caller(shown)


def test_nobody_calls_a_role_operator() -> None:
    problems: list[str] = []
    own_roles({OPERATOR: {"package": f"mine.{OPERATOR}"}}, "c.toml", {}, problems, [])
    assert "operator is taken" in problems[0]


def test_a_machine_that_saves_on_and_on_is_slowed_down_alone() -> None:
    now = [100.0]
    pace = SavePace(lambda: now[0])
    assert [pace.admits("ipv4:10.0.0.1") for _ in range(SAVES_AT_ONCE + 3)] == [True] * SAVES_AT_ONCE + [False] * 3
    assert pace.admits("ipv4:10.0.0.2"), "another machine"
    now[0] += SAVE_S
    assert [pace.admits("ipv4:10.0.0.1") for _ in range(2)] == [True, False]
    now[0] += SAVE_S * SAVES_AT_ONCE
    assert [pace.admits("ipv4:10.0.0.1") for _ in range(SAVES_AT_ONCE + 1)].count(True) == SAVES_AT_ONCE


def test_a_save_too_many_is_refused_in_words(ports: Ports) -> None:
    def save_on_and_on() -> None:
        for _ in range(2 * SAVES_AT_ONCE):
            save(ports, token_of("only_save"))

    with pytest.raises(PeerError, match=r"may ask for one every 3 s.*Call save_model less often"):
        save_on_and_on()
