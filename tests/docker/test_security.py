"""What a stranger can do: nothing. And what a process could do that somebody took over: little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from docker.models.networks import Network

from kaimesh.wire.gate import role_token
from tests.docker.cluster import IMAGE, Cluster
from tests.harness import WAIT_S, wait_until

PORTS = {"buffer": (9999, 9998), "actor": (8888,), "learner": (9997,), "model_pool": (10014,), "monitor": (9996, 8090)}
STRANGER = """
import logging, threading
from kaimesh.contract.errors import MeshError
from kaimesh.wire.client import FrameClient
from kaimesh.model_pool.client import ModelPoolClient
import os
token = os.environ.get("KAIMESH_TOKEN", "")
for address, role in (("actor:8888", "player"), ("buffer:9998", "writer"), ("buffer:9998", "reader"), ("monitor:9996",
"reporter")):
    try:
        FrameClient(address, token=token, role=role, name="stranger")
        print("LET IN", address)
    except MeshError as error:
        print("refused", address, type(error).__name__, error)
try:
    print("LET IN", ModelPoolClient("model_pool:10014", token).list())
except MeshError as error:
    print("refused", type(error).__name__, error)
"""
KNOCK = """
import socket, sys
for address in sys.argv[1:]:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
        print("OPEN", address)
    except OSError as error:
        print("closed", address)
"""


def run(cluster: Cluster, code: str, network: str, *arguments: str, **options: Any) -> str:
    output = cluster.client.containers.run(
        IMAGE, ["-c", code, *arguments], entrypoint=["python"], network=network, remove=True, stderr=True, **options
    )
    return bytes(output).decode()


@pytest.mark.parametrize("environment", [{}, {"KAIMESH_TOKEN": "of another mesh"}])
def test_without_the_token_nobody_is_let_in_and_each_try_is_logged(
    cluster: Cluster, environment: dict[str, str]
) -> None:
    said = run(cluster, STRANGER, f"{cluster.name}_mesh", environment=environment)
    assert sum(line.startswith("refused") for line in said.splitlines()) == 5, said
    assert "LET IN" not in said
    assert said.count("wrong token") == 5, said
    for service in ("actor", "buffer", "monitor", "model_pool"):
        log = cluster.compose("logs", "--no-color", "--tail", "200", service).stdout
        assert "wrong token" in log, service


def test_a_whole_aisrv_without_the_token_ends_with_words(cluster: Cluster) -> None:
    options = {"image": IMAGE, "network": f"{cluster.name}_mesh", "detach": True}
    addresses = cluster.container("aisrv").attrs["Config"]["Env"]
    keep = [entry for entry in addresses if not entry.startswith(("KAIMESH_", "PATH", "HOME"))]
    conf = {str(cluster.checkout / "conf"): {"bind": "/app/conf", "mode": "ro"}}
    words = ["-m", "kaimesh.aisrv", "--runs", "/tmp/runs", "--index", "77"]
    container = cluster.client.containers.run(
        command=words, entrypoint=["python"], environment=[*keep, "KAIMESH_TOKEN=wrong"], volumes=conf, **options
    )
    try:
        assert container.wait(timeout=120)["StatusCode"] != 0
        assert "wrong token" in container.logs().decode()
    finally:
        container.remove(force=True)


@pytest.fixture
def elsewhere(cluster: Cluster) -> Iterator[Network]:
    network = cluster.client.networks.create(f"{cluster.name}-elsewhere")
    yield network
    network.remove()


def test_from_another_network_no_port_answers(cluster: Cluster, elsewhere: Network) -> None:
    addresses = []
    for service, ports in PORTS.items():
        for network in cluster.container(service).attrs["NetworkSettings"]["Networks"].values():
            addresses += [f"{network['IPAddress']}:{port}" for port in ports]
    gateway = (
        elsewhere.attrs["IPAM"]["Config"][0].get("Gateway")
        or cluster.client.networks.get(elsewhere.id).attrs["IPAM"]["Config"][0]["Gateway"]
    )
    addresses += [f"{gateway}:{port}" for ports in PORTS.values() for port in ports]
    addresses += [f"{gateway}:{cluster.page_port}", f"{gateway}:{cluster.curves_port}"]
    said = run(cluster, KNOCK, elsewhere.name, *addresses)
    assert said.count("closed") == len(addresses), said


def test_only_the_two_pages_are_published_and_only_on_this_machine(cluster: Cluster) -> None:
    published = {
        (cluster.engine.service_of(c), binding["HostIp"])
        for c in cluster.engine.containers()
        for bindings in c.attrs["HostConfig"]["PortBindings"].values()
        for binding in bindings
    }
    assert published == {("monitor", "127.0.0.1"), ("tensorboard", "127.0.0.1")}
    assert cluster.client.networks.get(f"{cluster.name}_mesh").attrs["Internal"]


def test_no_container_is_root_or_can_write_or_gain_anything(cluster: Cluster) -> None:
    for container in cluster.engine.containers(running=True):
        host = container.attrs["HostConfig"]
        name = container.name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert not host["Privileged"], name
        assert host["Memory"] > 0, name
        assert host["NanoCpus"] > 0, name
        _code, output = container.exec_run(
            ["sh", "-c", "id -u; touch /app/x /usr/x /app/conf/x /mesh/x; grep Cap /proc/self/status"]
        )
        said = output.decode()
        assert "10001" in said.splitlines(), said
        assert (
            said.count("Read-only file system") + said.count("Permission denied") + said.count("No such file") == 4
        ), said
        assert "CapEff:\t0000000000000000" in said


def test_the_token_is_in_no_image_environment_or_log(cluster: Cluster) -> None:
    def read(service: str) -> str:
        code, output = cluster.container(service).exec_run(["cat", "/mesh/token"])
        assert code == 0
        return str(output.decode().strip())

    token = wait_until(lambda: read("buffer"), WAIT_S, "the token")  # a busy engine may lose what a process said
    assert len(token) == 64
    assert wait_until(lambda: read("aisrv"), WAIT_S, "its token") == role_token(token, "aisrv")
    for container in cluster.engine.containers():
        assert token not in json.dumps(container.attrs)
        assert token not in container.logs().decode(errors="replace")


def test_the_image_has_no_compiler(cluster: Cluster) -> None:
    tools = ("cc", "gcc", "g++", "make", "pip", "swig", "ld")
    code = f"import shutil; print([tool for tool in {tools} if shutil.which(tool)])"
    assert run(cluster, code, "none").strip().endswith("[]")


def test_logs_are_json_lines_with_process_run_and_host(cluster: Cluster) -> None:
    for service in ("learner", "actor", "aisrv", "buffer", "model_pool", "monitor"):
        container = cluster.container(service)
        lines = [json.loads(line) for line in container.logs(tail=30).decode().splitlines()]
        own = [line for line in lines if line["level"] != "RAW"]
        assert own, service
        assert {line["run"] for line in own if line["message"] and line["run"]} == {"gym-CartPole-v1_ppo"}
        assert all(line["process"].startswith(service) and line["host"] for line in lines)
