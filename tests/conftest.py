"""A mesh for one test, or for all tests of a module; stopped at their end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Mesh


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A mesh for one test."""
    instance = Mesh(tmp_path / "runs")
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def shared_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh for all tests of a module."""
    instance = Mesh(tmp_path_factory.mktemp("mesh") / "runs")
    yield instance
    instance.stop()
