"""What a process knows of itself: its role's row, its address, the agent that it makes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from kaimesh.config import load
from kaimesh.contract.errors import ConfigError
from kaimesh.process.life import Context
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir

TABLES = """
[roles.judge]
package = "mine.judge"
addresses = ["127.0.0.1:9100", "127.0.0.1:9101"]
agent_type = "actor"
settings = {games = 3}
[roles.clerk]
package = "mine.clerk"
"""


def context(folder: Path, name: str) -> Context:
    path = folder / "c.toml"
    path.write_text(TABLES)
    index = int(name.rpartition("_")[2])
    logger = logging.getLogger(name)
    return Context(
        name, index, load(path, environ={}), RunDir(folder), "token", 1, Meter(name), logger, threading.Event()
    )


def test_a_process_of_ones_own_knows_its_row(tmp_path: Path) -> None:
    judge = context(tmp_path, "judge_1")
    assert (judge.role.name, judge.role.settings, judge.address) == ("judge", {"games": 3}, "127.0.0.1:9101")
    assert context(tmp_path, "judge_7").address == "127.0.0.1:9101", "replicas of a service share one"
    assert context(tmp_path, "clerk_0").address == ""
    assert context(tmp_path, "actor_0").address == "127.0.0.1:8888"


def test_it_makes_the_agent_that_its_row_names(tmp_path: Path) -> None:
    assert context(tmp_path, "judge_0").make_agent().agent.agent_type == "actor"
    with pytest.raises(ConfigError, match=r"clerk_0 makes an agent, but \[roles.clerk\] names no agent_type"):
        context(tmp_path, "clerk_0").make_agent()
