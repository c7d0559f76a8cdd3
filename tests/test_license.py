"""The licence is there, whole, and named where people and tools look for it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_licence_is_whole_and_named_in_the_package() -> None:
    text = (ROOT / "LICENSE").read_text()
    for part in (
        "Version 2.0, January 2004",
        "9. Accepting Warranty or Additional Liability",
        "END OF TERMS AND CONDITIONS",
    ):
        assert part in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert all((ROOT / name).is_file() for name in project["license-files"])
    assert "Copyright 2026 The kaimesh authors" in (ROOT / "NOTICE").read_text()


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_both_readmes_name_it(readme: str) -> None:
    text = (ROOT / readme).read_text()
    assert "Apache License 2.0" in text
    assert "(LICENSE)" in text
