"""The mesh's own hosts are reached without the user's proxy, and the user's own code still goes through it."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaimesh.config import App
from kaimesh.config.roles import ROLES, every_address
from kaimesh.operate.cluster import probe
from kaimesh.wire.proxies import bypass, hosts_of, open_here
from tests.harness import ROOT
from tests.proxy import dead_proxy

HERE = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, f"{HERE},buffer"),
        ({"no_grpc_proxy": "10.0.0.5"}, f"10.0.0.5,{HERE},buffer"),
        ({"no_proxy": ".inner.net, 10.1.1.1"}, f".inner.net,10.1.1.1,{HERE},buffer"),  # gRPC would no longer read it
        ({"no_proxy": "a", "no_grpc_proxy": "b"}, f"b,{HERE},buffer"),
        ({"no_proxy": "a,,b,"}, f"a,b,{HERE},buffer"),  # an empty name is the end of every name
        ({"no_grpc_proxy": f"{HERE},buffer"}, f"{HERE},buffer"),
    ],
)
def test_what_the_user_excepted_stays_and_ours_comes_on_top(before: dict[str, str], after: str) -> None:
    environ = dict(before)
    bypass(["buffer"], environ)
    assert environ == {**before, "no_grpc_proxy": after}
    bypass(["buffer"], environ)
    assert environ["no_grpc_proxy"] == after, "once is enough"


@given(st.lists(st.text("ab.:*/ ,1", max_size=8), max_size=4), st.lists(st.sampled_from(["buffer", "10.0.0.9"])))
def test_no_entry_is_lost_or_empty(users: list[str], hosts: list[str]) -> None:
    environ = {"no_proxy": ",".join(users)}
    bypass(hosts, environ)
    entries = environ["no_grpc_proxy"].split(",")
    assert all(entries)
    assert {part.strip() for user in users for part in user.split(",")} - {""} <= set(entries)
    assert {*hosts, "127.0.0.1"} <= set(entries)


def hosts(app: App) -> list[str]:
    return hosts_of(address for _key, address in every_address(ROLES.values(), app))


def test_every_address_of_the_configuration_is_one_of_ours() -> None:
    app = App(
        buffer_addrs=["b1:1", "b2:1"], buffer_ingest_addrs=["i1:2", "i2:2"], actor_addrs=["a:3"], learner_addr="l:4",
        model_pool_addr="10.0.0.7:5", monitor_addr="m:6",
    )  # fmt: skip
    assert sorted(hosts(app)) == sorted(["b1", "b2", "i1", "i2", "a", "l", "10.0.0.7", "m"])
    assert set(hosts(App())) == {"127.0.0.1"}
    keys = [key for key in App.model_fields if key.endswith(("_addr", "_addrs"))]
    assert sorted(keys) == sorted(key for role in ROLES.values() for key in role.keys), (
        "is one missing in the roles table?"
    )


@pytest.mark.parametrize("kind", ["silent", "refusing"])
def test_pages_of_this_machine_are_read_without_it(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    class Page(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with dead_proxy(kind) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert open_here(f"http://127.0.0.1:{server.server_port}/", 5).status == 200
        assert probe.http(server.server_port) == "HTTP 200"
        assert urllib.request.getproxies()["http"] == variables["http_proxy"], "the user's own downloads go there"
    server.shutdown()


REVERB = """
import sys
from kaimesh.wire.proxies import bypass
if sys.argv[1] == "ours":
    bypass()
import reverb
table = reverb.Table("t", reverb.selectors.Fifo(), reverb.selectors.Fifo(), 10, reverb.rate_limiters.MinSize(1))
server = reverb.Server([table])
print(list(reverb.Client(f"127.0.0.1:{server.port}").server_info(timeout=3)))
"""


@pytest.mark.long
@pytest.mark.parametrize("kind", ["silent", "refusing"])
def test_reverbs_own_channels_go_past_it(kind: str) -> None:
    with dead_proxy(kind) as variables:
        command = [sys.executable, "-c", REVERB, "ours"]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "['t']\n"), done.stderr
