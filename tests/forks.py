"""Child processes that need not import anything: a server that has imported what they need forks them.

A child is `python -m MODULE ...`, `python -c CODE ...` or `python FILE ...` with its own folder, environment, output
and exit, as from a fresh interpreter; only the second or two of imports are saved. A test of a start or of an import
needs a fresh interpreter.

`python -m tests.forks FD MODULE ...` is the server; it has one thread, so forking loses none.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
MOST_BYTES = 1 << 20  # of a request


class Forks:
    """A server that has imported `modules`; it is started with the first child and ends with this process."""

    def __init__(self, *modules: str) -> None:
        self._modules, self._lock = modules, threading.Lock()
        self._peer: socket.socket | None = None

    def popen(
        self,
        words: Sequence[str],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.STDOUT,
        start_new_session: bool = False,
    ) -> Fork:
        """Starts `python WORDS`; words: `-m MODULE ...`, `-c CODE ...` or `FILE ...`.

        stdin: DEVNULL, or a terminal, which is then the child's own. stdout: a descriptor, PIPE or DEVNULL.
        stderr: also STDOUT.
        """
        order = {
            "words": [str(word) for word in words],
            "cwd": str(cwd),
            "env": dict(os.environ if env is None else env),
            "session": start_new_session,
        }
        null = os.open(os.devnull, os.O_RDWR)
        out, err = (os.pipe() if target == subprocess.PIPE else None for target in (stdout, stderr))
        second = out[1] if out else {subprocess.DEVNULL: null}.get(stdout, stdout)
        third = err[1] if err else {subprocess.DEVNULL: null, subprocess.STDOUT: second}.get(stderr, stderr)
        pid = self.ask({"fork": order}, [null if stdin == subprocess.DEVNULL else stdin, second, third])
        for fd in (null, *(pipe[1] for pipe in (out, err) if pipe)):
            os.close(fd)
        return Fork(self, pid, out[0] if out else None, err[0] if err else None)

    def run(
        self, words: Sequence[str], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Runs it to its end; its outputs are text. Raises TimeoutExpired, and kills it."""
        child = self.popen(words, cwd=cwd, env=env, stderr=subprocess.PIPE)
        try:
            said = child.communicate(timeout_s)
        finally:
            child.close()
        return subprocess.CompletedProcess(list(words), child.wait(), *said)

    def ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> Any:
        """The server's answer."""
        with self._lock:
            peer = self._peer or self._start()
            socket.send_fds(peer, [json.dumps(request).encode("utf-8", "surrogatepass")], list(fds))
            answer = peer.recv(MOST_BYTES)
            assert answer, "the server of forks has ended"
            return json.loads(answer)

    def _start(self) -> socket.socket:
        self._peer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
        command = [sys.executable, "-m", "tests.forks", str(theirs.fileno()), *self._modules]
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()
        atexit.register(server.wait, 10)
        atexit.register(self._peer.close)  # which ends it; registered last, called first
        return self._peer


# What most children import; the second for those that need TensorFlow and Reverb.
LIGHT = Forks(
    "kaimesh.operate.cli.commands", "kaimesh.model_pool.service", "kaimesh.arena.terminal", "kaimesh.envs.realm.vector"
)
HEAVY = Forks(
    "kaimesh.buffer.service", "kaimesh.actor.service", "kaimesh.learner.service", "kaimesh.model_pool.service"
)


class Fork:
    """A child; reads as subprocess.Popen does."""

    def __init__(self, forks: Forks, pid: int, stdout: int | None, stderr: int | None) -> None:
        self._forks, self.pid = forks, pid
        self.returncode: int | None = None
        self.stdout, self.stderr = (None if fd is None else os.fdopen(fd, errors="replace") for fd in (stdout, stderr))

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._forks.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0.0)
            time.sleep(0.005)
        return code

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it says until its end, on stdout and stderr. Raises subprocess.TimeoutExpired."""
        said = ["", ""]

        def read(number: int, stream: IO[str] | None) -> None:
            said[number] = stream.read() if stream else ""

        threads = [threading.Thread(target=read, args=pair) for pair in enumerate((self.stdout, self.stderr))]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        """To a child that still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Ends what is left of it."""
        self.kill()
        self.wait()


def serve(peer: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Answers requests until nobody asks any more, then returns None; in a child, what it is to run and its streams."""
    ended: dict[int, int] = {}
    while True:
        message, fds, _, _ = socket.recv_fds(peer, MOST_BYTES, 3)
        if not message:
            return None
        request = json.loads(message.decode("utf-8", "surrogatepass"))
        if "fork" in request:
            pid = os.fork()
            if not pid:
                return request["fork"], fds
            answer: Any = pid
        else:
            pid = request["poll"]
            if pid not in ended:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    ended[pid] = os.waitstatus_to_exitcode(status)
            answer = ended.get(pid)
        for fd in fds:
            os.close(fd)
        peer.send(json.dumps(answer).encode())


def become(order: dict[str, Any], streams: list[int]) -> None:
    """Turns this process into `python WORDS`, with `streams` as its stdin, stdout and stderr."""
    for fd, stream in enumerate(streams):
        os.dup2(stream, fd)
    for stream in {*streams} - {0, 1, 2}:
        os.close(stream)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    if order["session"]:
        os.setsid()
        if os.isatty(0):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C comes through the terminal
    kind, *arguments = order["words"]
    what = arguments.pop(0) if kind in ("-m", "-c") else kind
    folder = order["cwd"] if kind in ("-m", "-c") else os.path.dirname(what)
    paths = [path for path in order["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [folder, *paths]  # the first was the server's folder
    sys.argv = ["-c" if kind == "-c" else what, *arguments]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif kind == "-c":
        exec(compile(what, "<string>", "exec", dont_inherit=True), {"__name__": "__main__"})
    else:
        runpy.run_path(what, run_name="__main__")


def main() -> None:
    """The server's life, and in a child the child's."""
    peer = socket.socket(fileno=int(sys.argv[1]))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C ends the tests, and with them the socket
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # or each child's collections would copy every page
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would be lost by forking"
    child = serve(peer)
    if child is not None:
        peer.detach()
        with contextlib.suppress(OSError):
            os.close(int(sys.argv[1]))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        become(*child)


if __name__ == "__main__":
    main()
