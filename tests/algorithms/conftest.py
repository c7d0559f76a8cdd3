"""What the tests of a module share of their learners is freed with the module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.algorithms.trajectories import forget


@pytest.fixture(autouse=True, scope="module")
def learners() -> Iterator[None]:
    """Frees them."""
    yield
    forget()
