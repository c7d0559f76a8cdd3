"""What the tests of diy share."""

from __future__ import annotations

import pytest

from diy.algorithm import agent as agent_module


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("KAIMESH_RUN_DIR", str(tmp_path))
    agent_module.init_writer.cache_clear()
    yield tmp_path
    agent_module.init_writer.cache_clear()
