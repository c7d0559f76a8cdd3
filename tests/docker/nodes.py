"""Several Docker engines on one machine, each in a network namespace of its own, joined to one Swarm.

Needs root, iproute2 and the engine's own programs. Each node has an address on a bridge that leads nowhere else, its
own store of images and its own name; they see each other as machines on one switch do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest

from tests.harness import wait_until

BRIDGE, SUBNET = "kmswarm", "10.231.7"
SWITCH = f"{BRIDGE}-switch"  # the bridge's own namespace: in the machine's, its engine's firewall would stop the frames


def why_not() -> str:
    """What is missing to run several engines here, or ""."""
    if os.getuid() != 0:
        return "network namespaces need root"
    for tool in ("dockerd", "containerd", "ip", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    return ""


def run(*words: str, check: bool = True) -> str:
    """A command's output."""
    done = subprocess.run(words, text=True, capture_output=True)
    assert done.returncode == 0 or not check, f"{words}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def swarm_of_one(client: docker.DockerClient) -> Iterator[None]:
    """This machine's engine as a Swarm of one node, for as long; skips where it is in one already."""
    if client.info()["Swarm"]["LocalNodeState"] != "inactive":
        pytest.skip("this engine is in a Swarm already, which a test should not change")
    client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
    try:
        yield
    finally:
        client.swarm.leave(force=True)


class Node:
    """One engine; `client` speaks to it, after `start`."""

    def __init__(self, folder: Path, number: int) -> None:
        self.name, self.address = f"node-{number}", f"{SUBNET}.{number}"
        self._netns, self._folder = f"{BRIDGE}-{number}", folder / f"node-{number}"
        self._folder.mkdir(parents=True)
        self.socket = f"unix://{self._folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._wire(number)

    def start(self) -> None:
        """Starts the engine; returns when it answers."""
        self._process = self._start()
        self.client = docker.DockerClient(base_url=self.socket, timeout=300)

    def _wire(self, number: int) -> None:
        inside, outside = "eth0", f"{BRIDGE}{number}"
        run("ip", "netns", "add", self._netns)
        run("ip", "-n", SWITCH, "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", self._netns)
        run("ip", "-n", SWITCH, "link", "set", outside, "master", BRIDGE, "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{self.address}/24", "dev", inside),
            ("link", "set", inside, "up"),
        ):
            run("ip", "-n", self._netns, *words)

    def _start(self) -> subprocess.Popen[bytes]:
        folder = self._folder
        words = ["dockerd", "-H", self.socket, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
        words += ["--pidfile", f"{folder}/pid", "--storage-driver", "overlay2"]
        script = f"hostname {self.name} && exec {' '.join(words)} >{folder}/log 2>&1"
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self._netns}", "unshare", "--uts", "sh", "-c", script],
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

        def answers() -> bool:
            assert process.poll() is None, f"dockerd of {self.name} ended:\n{self.log()}"
            return subprocess.run(["docker", "-H", self.socket, "info"], capture_output=True).returncode == 0

        wait_until(answers, 60, f"the engine of {self.name}")
        return process

    def log(self) -> str:
        """The end of the engine's log."""
        return "".join((self._folder / "log").read_text().splitlines(keepends=True)[-15:])

    def load(self, image: str) -> None:
        """Takes an image from this machine's engine."""
        saved = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
        subprocess.run(["docker", "-H", self.socket, "load", "-q"], stdin=saved.stdout, check=True, capture_output=True)
        assert saved.wait() == 0

    def copy_images(self, other: Node) -> None:
        """Takes the images of another node that has not run yet but for them; both engines are stopped.

        Loading costs minutes.
        """
        run("cp", "--archive", "--reflink=auto", f"{other._folder}/data", f"{self._folder}/data")

    def stop(self) -> None:
        """Ends the engine."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """Ends the engine and takes its network and its files away."""
        self.stop()
        run("ip", "netns", "delete", self._netns, check=False)
        for mount in sorted(_mounts(self._folder), reverse=True):
            run("umount", "-l", mount, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)


class Nodes:
    """A Swarm of `count` nodes that all have `image`; the first is its manager."""

    def __init__(self, folder: Path, count: int, image: str) -> None:
        run("ip", "netns", "add", SWITCH)
        run("ip", "-n", SWITCH, "link", "add", BRIDGE, "type", "bridge")
        run("ip", "-n", SWITCH, "link", "set", BRIDGE, "up")
        self.nodes: list[Node] = []
        try:
            for number in range(1, count + 1):
                self.nodes.append(Node(folder, number))
            self.manager.start()
            self.manager.load(image)
            self.manager.stop()
            for node in self.nodes[1:]:
                node.copy_images(self.manager)
            for node in self.nodes:
                node.start()
            self._join()
        except BaseException:
            self.close()
            raise

    @property
    def manager(self) -> Node:
        """The first node."""
        return self.nodes[0]

    def _join(self) -> None:
        manager = self.manager
        manager.client.swarm.init(advertise_addr=manager.address, listen_addr=f"{manager.address}:2377")
        token = manager.client.swarm.attrs["JoinTokens"]["Worker"]
        for node in self.nodes[1:]:
            node.client.swarm.join([f"{manager.address}:2377"], token, advertise_addr=node.address)

    def update(self, node: Node, **changes: object) -> None:
        """Changes a node's labels (`Labels`) or availability (`Availability`)."""
        found = next(n for n in self.manager.client.nodes.list() if n.attrs["Description"]["Hostname"] == node.name)
        found.update({**found.attrs["Spec"], **changes})

    def close(self) -> None:
        """Ends everything."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Node.close, self.nodes))
        run("ip", "netns", "delete", SWITCH, check=False)


def _mounts(folder: Path) -> list[str]:
    return [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
