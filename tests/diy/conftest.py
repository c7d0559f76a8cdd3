"""What the tests of diy share."""

from __future__ import annotations

import pytest

from diy.algorithm import agent as agent_module
from diy.config import Config


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("KAIMESH_RUN_DIR", str(tmp_path))
    agent_module.init_writer.cache_clear()
    yield tmp_path
    agent_module.init_writer.cache_clear()


@pytest.fixture
def restored_config():
    """diy's hyper-parameters are as they were after the test."""
    before = {name: value for name, value in vars(Config).items() if name.isupper() or name == "seed"}
    yield
    for name, value in before.items():
        setattr(Config, name, value)
