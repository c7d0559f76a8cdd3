"""requirements/*.lock: they pin what pyproject.toml asks for, agree with each other, and name no address."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
AGAIN = "run tools/lock.sh"


def normal(name: str) -> str:
    """A package's name as an index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text()


def pins(name: str) -> dict[str, str]:
    """Versions by package."""
    return {normal(package): version for package, version, _ in PIN.findall(text(name))}


def asked(entries: list[str]) -> set[str]:
    return {normal(re.split(r"[^A-Za-z0-9_.-]", entry, maxsplit=1)[0]) for entry in entries}


def test_what_pyproject_asks_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras, run = project["optional-dependencies"], pins("run")
    assert not asked(project["dependencies"]) - run.keys(), AGAIN
    for name in ("test", "torch"):
        assert not asked(extras[name]) - {*run, *pins(name)}, AGAIN


def test_every_pin_has_its_hashes_and_no_address_is_named() -> None:
    for name in ("run", "test", "torch", "gpu"):
        assert text(name).count("==") == len(pins(name)), name
        assert "://" not in text(name), name


def test_what_is_installed_together_agrees() -> None:
    run, gpu = pins("run"), pins("gpu")
    assert not run.keys() & {*pins("test"), *pins("torch")}, AGAIN
    both = pins("test").keys() & pins("torch").keys()
    assert {name: pins("test")[name] for name in both} == {name: pins("torch")[name] for name in both}, AGAIN
    assert run.keys() - gpu.keys() == {"tensorflow-cpu"}
    assert {name for name in gpu.keys() - run.keys() if not name.startswith("nvidia-")} == {"tensorflow"}
    assert all(gpu[name] == run[name] for name in run.keys() & gpu.keys()), AGAIN


class _Index(BaseHTTPRequestHandler):
    """A package index that vouches for another file than pip's under pip's name."""

    def do_GET(self) -> None:
        digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of "x"
        page = f'<a href="/pip-26.3-py3-none-any.whl#sha256={digest}">pip</a>'.encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" if self.path.endswith(".whl") else page)

    def log_message(self, *_arguments: object) -> None:
        pass


def test_pip_is_what_the_repository_says_it_is() -> None:
    """Not what the index says, which may give another file and that file's digest."""
    server = HTTPServer(("127.0.0.1", 0), _Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    index = f"http://127.0.0.1:{server.server_address[1]}"
    environ = {**os.environ, "PIP_INDEX_URL": index, "no_proxy": "127.0.0.1"}
    script = [sys.executable, str(ROOT / "tools/fetch_pip.py")]
    done = subprocess.run(script, env=environ, capture_output=True, text=True, timeout=60, check=False)
    server.shutdown()
    server.server_close()
    assert done.returncode == 1
    assert "it is not the file that was published as pip-26.3" in done.stderr
