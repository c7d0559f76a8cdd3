"""tools/test.sh -m long tests/chaos [--rounds N] [--seed N]: a training mesh to which bad things are done."""

from __future__ import annotations

import pytest

ROUNDS = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--rounds", type=int, default=ROUNDS, help=f"rounds for each algorithm (default: {ROUNDS})")
    group.addoption("--seed", type=int, default=None, help="which rounds, in which order (default: another each time)")
