"""An error of the user's code names the place in the user's own files, whoever raised it below them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaimesh.contract.agent import user_code
from kaimesh.contract.errors import AgentError
from kaimesh.contract.json_text import json_text


def run(path: Path, text: str, **names: object) -> None:
    """Runs `text` as the file `path`, in an agent's call."""
    with user_code("actor: Agent.predict"):
        exec(compile(text, str(path), "exec"), dict(names))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def work():\n    return 1 / 0\nwork()\n", "line 2, in work"),
        ("import json\ndef work():\n    json.loads('{')\nwork()\n", "line 3, in work"),
        ("def work():\n    pass\nours(float('nan'), 3)\n", "line 3, in <module>"),
    ],
)
def test_the_last_line_of_the_users_own(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "agent.py"
    with pytest.raises(AgentError) as caught:
        run(path, text, ours=json_text)
    assert str(caught.value).startswith("actor: Agent.predict raised ")
    assert str(caught.value).endswith(f"Correct it in {path}, {line}.")


def test_a_line_that_is_no_python(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=rf"SyntaxError.*Correct it in {tmp_path}/agent.py, line 2\.$"):
        run(tmp_path / "agent.py", "a = 1\nb = = 2\n")
