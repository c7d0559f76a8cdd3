"""How the learners of tests run: those that a module shares are freed with it; some updates run without a graph."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.algorithms.trajectories import forget


@pytest.fixture(autouse=True, scope="module")
def learners() -> Iterator[None]:
    """Frees them."""
    yield
    forget()


@pytest.fixture
def op_by_op() -> Iterator[None]:
    """Runs updates without a graph. In a test of the mathematics with few learns, tracing would take most of the time.

    That a traced update does the same is shown by test_learner.py.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
