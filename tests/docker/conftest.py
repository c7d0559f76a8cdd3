"""These tests need a Docker engine; where none answers they say so, loudly, and are skipped."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.cluster import IMAGE, Cluster, clone, why_not

HERE = Path(__file__).parent
MISSING = why_not()
WITHOUT_ENGINE = {"test_pieces.py", "test_files.py"}
SHARED = "kaimesh-shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.timeout(900))
            if item.path.name in WITHOUT_ENGINE:
                continue
            item.add_marker(pytest.mark.long)  # together a quarter of an hour on two cores
            if MISSING:
                item.add_marker(pytest.mark.skip(reason=f"{MISSING}: NOTHING of the cluster was tested"))
    items.sort(key=_wants_to_be_alone)


def _wants_to_be_alone(item: pytest.Item) -> bool:
    """Those that share a cluster come first; then it can go."""
    return HERE in Path(item.path).parents and "cluster" not in getattr(item, "fixturenames", ())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "NOTHING of the cluster" in str(r.longrepr)]
    if skipped:
        terminalreporter.section("THE CLUSTER WAS NOT TESTED", sep="!", red=True)
        terminalreporter.write_line(f"{len(skipped)} tests of tests/docker were skipped: {MISSING}.", red=True)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout, and no image of an earlier one."""
    subprocess.run(["docker", "image", "rm", "--force", IMAGE], capture_output=True)
    return clone(tmp_path_factory.mktemp("clean") / "checkout")


@pytest.fixture(scope="session")
def cluster(checkout: Path) -> Iterator[Cluster]:
    """A cluster that trains, for every test that leaves it training."""
    instance = Cluster(checkout, SHARED)
    instance.remove()
    try:
        instance.up("--build")
        instance.wait(lambda r: r["learner_steps"] > 5, 120, "the first learns")
        yield instance
    finally:
        instance.remove()


@pytest.fixture(scope="module")
def alone(checkout: Path) -> None:
    """Nothing else trains: the shared cluster, whose tests came before, is stopped."""
    Cluster(checkout, SHARED).compose("stop", check=False)
