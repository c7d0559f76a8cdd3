"""Which kinds of tests there are and which share a process; a mesh for one test, or for all tests of a module."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from diy.config import Config
from kaimesh.config.hyper import forget_agents
from kaimesh.wire.proxies import bypass
from tests.harness import ROOT, Mesh

bypass()  # a proxy in the developer's environment

# Tests that start processes under supervision are marked `mesh`: all of these folders, and users of these fixtures.
MESH_FOLDERS = ("mesh", "learning", "soak")
MESH_FIXTURES = {"mesh", "shared_mesh", "running", "own", "on_disk", "failing"}
# With `-n`, one worker takes all of these in turn: they measure time, which another mesh beside them would change.
ONE_AT_A_TIME = (
    "tests/learning/",
    *(
        f"tests/mesh/test_{name}.py"
        for name in ("backpressure", "disk", "faults", "life", "names", "several", "stalls")
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a mesh, and moves what takes longest to the front, so that all workers end together."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in MESH_FOLDERS or MESH_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.mesh)
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if item.nodeid.startswith(ONE_AT_A_TIME):
        return 0
    return 1 if item.get_closest_marker("mesh") or item.get_closest_marker("learning") else 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A worker takes a whole file, whose module's fixtures are then made once; ONE_AT_A_TIME counts as one file."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # the order is `_place`'s

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "meshes" if nodeid.startswith(ONE_AT_A_TIME) else super()._split_scope(nodeid)

    return Scheduling(config, log)


# The same examples in every run, and no limit of time: what fails, fails always, and for a reason that is in the code.
# `--hypothesis-profile=anew` looks for others.
settings.register_profile("anew", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("anew"), derandomize=True)
settings.load_profile("same")

# A shell's background job ignores Ctrl-C, and its children inherit that: tests that send it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """A test that configures logging as a process does must not leave its handler, whose stream ends with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture(autouse=True)
def hyper_parameters() -> Iterator[None]:
    """Puts back what a test wrote into diy's Config, a plain class that later tests use too, and forgets its agents."""
    before = dict(vars(Config))
    yield
    forget_agents()
    for name, value in list(vars(Config).items()):
        if name not in before:
            delattr(Config, name)
        elif value is not before[name]:
            setattr(Config, name, before[name])


class _InternalErrors(logging.Handler):
    """Keeps what kaimesh.wire.internal logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("internal error:"):
            self.found.append(logging.Formatter().format(record))


@pytest.fixture(autouse=True)
def internal_errors() -> Iterator[list[str]]:
    """Fails where a server in this process met a bug of ours. A test that provokes one clears the list."""
    handler = _InternalErrors()
    logging.getLogger().addHandler(handler)
    yield handler.found
    logging.getLogger().removeHandler(handler)
    assert not handler.found, "\n".join(handler.found)


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A mesh for one test."""
    instance = Mesh(tmp_path / "runs")
    yield instance
    instance.close()


@pytest.fixture(scope="module")
def shared_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh for all tests of a module."""
    instance = Mesh(tmp_path_factory.mktemp("mesh") / "runs")
    yield instance
    instance.close()
