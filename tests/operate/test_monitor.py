"""The monitor over its real ports: what may be reported, by whom, and what was kept before; its page, its visitors."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kaimesh.contract.errors import PeerError, Refused, SampleError
from kaimesh.operate.cluster.status import MAX_COUNTERS, MAX_PROCESSES, report_of
from kaimesh.operate.view import page
from kaimesh.operate.view.cluster import as_json, look
from kaimesh.operate.view.ledger import Ledger
from kaimesh.operate.view.totals import totals
from kaimesh.process.meter import Meter
from kaimesh.process.reporter import Reporter
from kaimesh.wire.client import FrameClient
from tests.fuzz.frames import report
from tests.fuzz.process import Server
from tests.fuzz.servers import TOKEN
from tests.harness import wait_until

BIG = 10**400
Damage = Callable[[dict[str, Any]], object]


def put(**parts: Any) -> Damage:
    """Other values."""
    return lambda status: status.update(parts)


def inside(part: str, **values: Any) -> Damage:
    """Other values in a part."""
    return lambda status: status[part].update(values)


ODD: dict[str, Damage] = {
    "a name with a folder": put(name="../../x"),
    "a name with a NUL": put(name="aisrv_3\0"),
    "a name with a line end": put(name="aisrv_3\n"),
    "a name of no role": put(name="emperor_3"),
    "the monitor's own name": put(name="monitor_0"),
    "a number of other digits": put(name="aisrv_٣"),
    "a number with zeros": put(name="aisrv_0003"),
    "a huge number": put(name="aisrv_" + "9" * 400),
    "a list for a name": put(name=["aisrv_3"]),
    "no name": lambda status: status.pop("name"),
    "no life": lambda status: status.pop("life"),
    "a number for a life": put(life=7),
    "an endless life": put(life="x" * 5000),
    "no time": lambda status: status.pop("time"),
    "a time that is no number": put(time=math.nan),
    "a time after all times": put(time=1e300),
    "a time before all times": put(time=-1),
    "a list since": put(since=[1]),
    "an endless since": put(since=1e300),
    "no state": lambda status: status.pop("state"),
    "a state nobody knows": put(state="dancing"),
    "a list for a state": put(state=["working"]),
    "a number to wait for": put(blocked_on=5),
    "a list for a host": put(host=["x"]),
    "a unit of markup": put(work="<b>[red]"),
    "a list for a unit": put(work=["env_steps"]),
    "a pid of text": put(pid="17"),
    "a pid below all": put(pid=-1),
    "a port beyond all": put(port=65536),
    "a model of text": put(model_version="12"),
    "a model beyond all": put(model_version=2**60),
    "a model of true": put(model_version=True),
    "no counters": put(counters=None),
    "counters of a list": put(counters=[1]),
    "a counter of text": inside("counters", env_steps="1"),
    "a counter of a list": inside("counters", env_steps=[1]),
    "a counter of true": inside("counters", env_steps=True),
    "a counter that is no number": inside("counters", env_steps=math.nan),
    "an endless counter": inside("counters", env_steps=math.inf),
    "a huge counter": inside("counters", env_steps=1e200),
    "a counter of 400 digits": inside("counters", env_steps=BIG),
    "a counter without a name": inside("counters", **{"": 1}),
    "a counter with an endless name": inside("counters", **{"n" * 500: 1}),
    "too many counters": put(counters={f"c{i}": 1 for i in range(MAX_COUNTERS + 1)}),
    "gauges of a list": put(gauges=[[1]]),
    "a gauge of a list": inside("gauges", size=[1]),
    "rates of text": put(rates="fast"),
    "phases of nothing": put(phases=None),
    "an episode of two": put(recent_episodes=[[1.0, 2.0]]),
    "an episode of text": put(recent_episodes=["abc"]),
    "an episode of nothing": put(recent_episodes=[None]),
    "episodes of a number": put(recent_episodes=5),
    "too many episodes": put(recent_episodes=[[1.0, 2.0, 3]] * 101),
    "an exit of text": put(exit_code="0"),
}


@pytest.mark.parametrize("damage", ODD.values(), ids=ODD.keys())
def test_an_odd_status_is_refused_in_words(damage: Damage) -> None:
    status = json.loads(json.dumps(report()))
    damage(status)
    with pytest.raises(SampleError, match="cannot be kept") as caught:
        report_of(status)
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("status", [None, 5, "x", [], [1], {}, {"name": "aisrv_1"}])
def test_what_is_no_status_is_refused(status: Any) -> None:
    with pytest.raises(SampleError, match="cannot be kept"):
        report_of(status)


HONEST: dict[str, Damage] = {
    "a loss that is NaN": inside("gauges", **{"learn/loss": math.nan, "learn/grad": math.inf, "size": -math.inf}),
    "a loss that exploded": inside("gauges", **{"learn/loss": 1e200}),
    "an episode's return that is NaN": put(recent_episodes=[[1.0, math.nan, 3], [2.0, 5.0, 3], [3.0, math.inf, 3]]),
    "a long error message": put(state="failed", blocked_on="KeyError: " + "x" * 50_000),
    "an error of several lines and colours": put(state="failed", blocked_on="a\nb\x1b[31mc"),
    "something of a later version": put(colour=["blue"], counters={"later": 1}),
    "nothing but what is needed": lambda status: [
        status.pop(part) for part in list(status) if part not in ("name", "life", "state", "time", "counters")
    ],
    "a clock that is ahead": put(time=time.time() + 3600),
}


@pytest.mark.parametrize("damage", HONEST.values(), ids=HONEST.keys())
def test_what_an_honest_process_may_say_is_kept_and_can_be_shown(damage: Damage) -> None:
    status = json.loads(json.dumps(report()))
    damage(status)
    kept = Ledger({}).take(report_of(status))
    now = time.time()
    view = look("run", {"aisrv_3": kept}, now)
    shown = json.dumps(as_json(view), allow_nan=False)
    assert "\\u001b" not in shown
    assert "aisrv_3" in page.html(view)
    json.dumps(kept, allow_nan=False)


def test_totals_leave_out_what_is_no_number() -> None:
    """Also of files of our own: a user may call a metric `size`."""
    odd: list[Any] = [math.nan, math.inf, BIG, "x", None, [], True, {}]
    statuses = {
        f"aisrv_{i}": {
            "time": value,
            "model_version": value,
            "counters": {"env_steps": value, "policy_lag_count": value},
            "gauges": {"size": value, "policy_lag": value},
            "rates": value,
            "recent_episodes": [[value, value, value]],
        }
        for i, value in enumerate(odd)
    }
    whole = {"time": 100.0, "counters": {"env_steps": 7}, "gauges": {"size": 3}, "recent_episodes": [[1.0, 2.0, 3]]}
    found = totals({**statuses, "aisrv_9": whole}, 100.0)
    assert (found.env_steps, found.buffer_size, found.return_mean_100, found.policy_lag) == (7, 3, 2.0, None)


def test_lives_cannot_fill_the_memory() -> None:
    ledger = Ledger({})
    for life in range(3 * MAX_COUNTERS):
        status = {"name": "aisrv_0", "life": str(life), "counters": {f"c{life}": 1.0}}
        if life < MAX_COUNTERS:
            ledger.take(status)
        else:
            with pytest.raises(SampleError, match="counters"):
                ledger.take(status)
    assert ledger.take({"name": "aisrv_0", "life": "0", "counters": {"c0": 2.0}})["counters"]["c0"] == 3.0


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A monitor's process, which finds what former versions kept: all of it damaged, but one."""
    folder = tmp_path_factory.mktemp("monitor")
    status = folder / "status"
    status.mkdir()
    kept = Ledger({}).take(report_of(json.loads(json.dumps(report("aisrv_8")))))
    (status / "aisrv_8.json").write_text(json.dumps(kept))
    for number, (name, damage) in enumerate(ODD.items()):
        odd = json.loads(json.dumps({**kept, "name": f"learner_{number}"}))
        with contextlib.suppress(KeyError):
            damage(odd)
        (status / f"learner_{number}.json").write_text(json.dumps(odd))
        assert name
    (status / "actor_0.json").write_bytes(b"")
    (status / "actor_1.json").write_bytes(b"\xff\xfe{")
    (status / "actor_2.json").write_text("[" * 100_000 + "]" * 100_000)
    (status / "actor_3.json").write_text("null")
    (status / "actor_4.json").write_text(json.dumps({**kept, "name": "actor_5"}))
    (status / "actor_6.json").write_text(json.dumps({**kept, "name": "actor_6", "lives": {"a": {"env_steps": {}}}}))
    (status / "actor_7.json").mkdir()
    server = Server("monitor", folder).wait()
    yield server
    server.kill()


def client(monitor: Server, name: str = "aisrv_3", role: str = "reporter") -> FrameClient:
    return FrameClient(f"127.0.0.1:{monitor.ports[0]}", token=TOKEN, role=role, name=name, timeout_s=20.0)


def shown(monitor: Server) -> dict[str, Any]:
    """The page's processes by name."""
    connection = http.client.HTTPConnection("127.0.0.1", monitor.ports[1], timeout=20)
    connection.request("GET", "/status.json")
    processes = json.loads(connection.getresponse().read())["processes"]
    connection.close()
    return {process["name"]: process for process in processes}


def test_the_monitor_shows_itself(monitor: Server) -> None:
    wait_until(lambda: "monitor_0" in shown(monitor), 20, "its own row")
    assert shown(monitor)["monitor_0"]["health"] == "ok"


def test_what_was_kept_and_is_bad_is_left_out_and_said_once(monitor: Server) -> None:
    processes = shown(monitor)
    assert "aisrv_8" in processes
    assert not {f"actor_{i}" for i in range(8)} & set(processes)
    log = (monitor.folder / "log.txt").read_text()
    assert log.count("actor_1.json is not used") == 1
    assert monitor.tracebacks() == 0


@pytest.mark.parametrize("damage", list(ODD.values())[::3], ids=list(ODD)[::3])
def test_a_report_that_is_refused_says_so_and_is_not_kept(monitor: Server, damage: Damage) -> None:
    status = report()
    damage(status)
    peer = client(monitor)
    with pytest.raises(Refused, match=r"cannot be kept|cannot report for|JSON"):
        peer.call({"status": status})
    with pytest.raises(PeerError):
        peer.call({"status": report()})
    peer.close()
    assert monitor.alive
    assert "aisrv_3" not in shown(monitor)


@pytest.mark.parametrize("name", ["../x", "", "monitor_0", "emperor_0", "aisrv_1\n", "\ud800", "aisrv_1/../buffer_0"])
def test_a_reporter_of_an_odd_name_is_refused(monitor: Server, name: str) -> None:
    with pytest.raises(Refused):
        client(monitor, name)


def test_a_process_reports_for_itself_alone_and_a_reader_for_nobody(monitor: Server) -> None:
    for role, words in (("reporter", "cannot report for aisrv_5"), ("reader", "only a reporter may report")):
        peer = client(monitor, "learner_77", role)
        with pytest.raises(Refused, match=words):
            peer.call({"status": report("aisrv_5")})
        peer.close()
    assert "aisrv_5" not in shown(monitor)


def test_a_process_whose_report_is_refused_says_so_once_and_goes_on(
    monitor: Server, caplog: pytest.LogCaptureFixture
) -> None:
    meter = Meter("emperor_1")
    told = Reporter(f"127.0.0.1:{monitor.ports[0]}", TOKEN, meter, logging.getLogger("test"))
    meter.publish()
    wait_until(lambda: "no process of a mesh" in caplog.text, 20, "the refusal")
    told.close()
    other = Meter("aisrv_21")
    for number in range(MAX_COUNTERS + 1):
        other.count(f"c{number}")
    told = Reporter(f"127.0.0.1:{monitor.ports[0]}", TOKEN, other, logging.getLogger("test"))
    other.publish()
    wait_until(lambda: "refused a request" in caplog.text, 20, "the refusal")
    told.close()


def test_words_of_other_bytes_are_reported(monitor: Server) -> None:
    meter = Meter("aisrv_22")
    meter.state("failed", b"no such file: /data/\xff".decode("utf-8", "surrogateescape"))
    told = Reporter(f"127.0.0.1:{monitor.ports[0]}", TOKEN, meter, logging.getLogger("test"))
    meter.publish()
    wait_until(lambda: "aisrv_22" in shown(monitor), 20, "the report")
    assert "/data/\\udcff" in shown(monitor)["aisrv_22"]["blocked_on"]
    told.close()


@pytest.mark.long
def test_names_have_a_bound(monitor: Server) -> None:
    """Last: the monitor of this module is full then. Who is known already is still heard."""
    known = len(shown(monitor)) - 1  # its own row is none
    for number in range(MAX_PROCESSES - known + 1):
        peer = client(monitor, f"buffer_{number}")
        with (
            pytest.raises(Refused, match="are known already")
            if number == MAX_PROCESSES - known
            else contextlib.nullcontext()
        ):
            peer.call({"status": report(f"buffer_{number}")})
        peer.close()
    peer = client(monitor, "buffer_0")
    assert peer.call({"status": report("buffer_0")}) == {}
    peer.close()


# The page


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[int, Meter, list[bool]]]:
    """A page's port, its meter, and whether looking is broken."""
    meter, broken = Meter("monitor_0"), [False]

    def see() -> Any:
        if broken[0]:
            raise KeyError("a bug")
        return look("run", {}, 0.0)

    server = page.serve(("127.0.0.1", 0), see, meter, logging.getLogger("page"))
    yield server.server_address[1], meter, broken
    server.shutdown()
    server.server_close()


def ask(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/status.json")
        return connection.getresponse().status
    finally:
        connection.close()


def test_silent_visitors_make_room(served: tuple[int, Meter, list[bool]]) -> None:
    port, _, _ = served
    idle = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(3 * page.MAX_CONNECTIONS)]
    for sock in idle[::2]:
        with contextlib.suppress(OSError):  # it has made room
            sock.sendall(b"GET /status.json HT")
    assert ask(port) == 200
    wait_until(
        lambda: sum(t.name.startswith("Thread-") for t in threading.enumerate()) < 2 * page.MAX_CONNECTIONS, 10, "room"
    )
    for sock in idle:
        sock.close()


@pytest.mark.parametrize(
    "junk",
    [
        b"\0" * 5000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
        b"GET / HTTP/1.1.1\r\n\r\n",
        b"GET / HTTP/" + b"9" * 5000 + b".0\r\n\r\n",
        b"\xff\xfe / HTTP/1.1\r\n\r\n",
        b"GET /status.json HTTP/1.1\r\n\xff\xff: \xff\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0",
        b"__init__ / HTTP/1.1\r\n\r\n",
        b"GET /\x1b[31m<script> HTTP/1.1\r\n\r\n",
    ],
)
def test_junk_disturbs_nobody(
    served: tuple[int, Meter, list[bool]], junk: bytes, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    port, meter, _ = served
    with socket.create_connection(("127.0.0.1", port), 10) as sock, contextlib.suppress(OSError):
        sock.sendall(junk)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass
    assert ask(port) == 200
    assert not meter.counters
    assert "Traceback" not in caplog.text + "".join(capfd.readouterr())


def test_a_visitor_that_sends_a_byte_now_and_then_is_dropped(
    served: tuple[int, Meter, list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that takes its time over the answer, or that sends headers without end."""
    port, meter, _ = served
    monkeypatch.setattr(page, "CONNECTION_S", 0.3)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(20)]
        gone: set[socket.socket] = set()

        def all_gone() -> bool:
            for sock in slow:
                try:
                    sock.sendall(
                        b"G" if sock is slow[0] else b"GET / HTTP/1.1\r\nX: y\r\n" if sock is slow[1] else b"a"
                    )
                except OSError:
                    gone.add(sock)
            return len(gone) == len(slow)

        wait_until(all_gone, 20, "the page to drop them")
        assert ask(port) == 200
    assert not meter.counters


def test_visitors_that_break_off_leave_no_trace(
    served: tuple[int, Meter, list[bool]], caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    port, meter, _ = served
    for words in (b"", b"GET", b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nx"):
        for _ in range(5):
            sock = socket.create_connection(("127.0.0.1", port), 5)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close resets it
            sock.sendall(words)
            sock.close()
    assert ask(port) == 200
    assert not meter.counters
    assert "Traceback" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("HEAD", "/", 200), ("HEAD", "/status.json", 200), ("HEAD", "/x", 404), ("GET", "/../etc/passwd", 404)]
    + [(method, "/", 501) for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get")],
)
def test_other_methods_and_paths_are_answered(
    served: tuple[int, Meter, list[bool]], method: str, path: str, code: int
) -> None:
    port, meter, _ = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    assert answer.status == code
    body = answer.read()
    assert (body == b"") == (method == "HEAD")
    assert not meter.counters
    connection.close()


def test_a_bug_of_the_page_is_counted_and_logged(
    served: tuple[int, Meter, list[bool]], caplog: pytest.LogCaptureFixture, internal_errors: list[str]
) -> None:
    port, meter, broken = served
    broken[0] = True
    with pytest.raises(http.client.RemoteDisconnected):
        ask(port)
    wait_until(lambda: meter.counters.get("internal_errors") == 1, 10, "the count")
    assert "KeyError: 'a bug'" in caplog.text
    internal_errors.clear()
    broken[0] = False
    assert ask(port) == 200
