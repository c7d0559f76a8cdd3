"""docs/agents.md and its Chinese twin: they name all optional members of the contract; their example is an agent."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaimesh.contract.arrays import Batch
from kaimesh.contract.predicting import Predictor
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.user_agent import read_agent
from tests.harness import ROOT

PAGES = [ROOT / "docs/agents.md", ROOT / "docs/agents.zh-CN.md"]


def protocols() -> dict[str, list[str]]:
    """The members of each Protocol of the contract, by its name."""
    tree = ast.parse((ROOT / "kaimesh/contract/agent.py").read_text())
    found = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
    ]
    return {node.name: [part.name for part in node.body if isinstance(part, ast.FunctionDef)] for node in found}


def blocks(page: Path) -> list[str]:
    return re.findall(r"```\w+\n.*?```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_protocol_and_each_of_its_members_is_named(page: Path) -> None:
    text, found = page.read_text(), protocols()
    assert {"Agent", "Prepared", "Vectorised", "Features"} <= set(found)
    assert not [name for name in found if name != "Agent" and f"`{name}`" not in text]
    assert not [member for members in found.values() for member in members if not re.search(rf"`{member}\b", text)]


def test_both_languages_have_the_same_examples() -> None:
    english, chinese = map(blocks, PAGES)
    assert english == chinese


def test_the_example_is_a_vectorised_and_prepared_agent(tmp_path: Path) -> None:
    (code,) = [block for block in blocks(PAGES[0]) if block.startswith("```python")]
    names: dict[str, Any] = {}
    exec(code.removeprefix("```python").removesuffix("```"), names)
    user = read_agent(names["Agent"]())
    assert user.vectorised is not None
    assert user.prepared is not None
    user.prepared.setup(Spaces((4,), "<f4", "discrete", 2))
    observed = Batch({"obs": np.zeros((3, 4), np.float32)})
    assert Predictor(user, "test").answer_all(observed, exploit=True).columns["action"].shape == (3,)
    assert user.agent.learn(Batch({"reward": np.ones((2, 16), np.float32)})) == {"reward": 1.0}
    user.agent.save_model(str(tmp_path), 7)
    user.agent.load_model(str(tmp_path), 7)
