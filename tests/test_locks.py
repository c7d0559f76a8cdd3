"""requirements/*.lock: they pin what pyproject.toml asks for, agree with each other, and name no address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
AGAIN = "run tools/lock.sh"


def normal(name: str) -> str:
    """A package's name as an index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text()


def pins(name: str) -> dict[str, str]:
    """Versions by package."""
    return {normal(package): version for package, version, _ in PIN.findall(text(name))}


def asked(entries: list[str]) -> set[str]:
    return {normal(re.split(r"[^A-Za-z0-9_.-]", entry, maxsplit=1)[0]) for entry in entries}


def test_what_pyproject_asks_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras, run = project["optional-dependencies"], pins("run")
    assert not asked(project["dependencies"]) - run.keys(), AGAIN
    for name in ("test", "torch"):
        assert not asked(extras[name]) - {*run, *pins(name)}, AGAIN


def test_every_pin_has_its_hashes_and_no_address_is_named() -> None:
    for name in ("run", "test", "torch", "gpu"):
        assert text(name).count("==") == len(pins(name)), name
        assert "://" not in text(name), name


def test_what_is_installed_together_agrees() -> None:
    run, gpu = pins("run"), pins("gpu")
    assert not run.keys() & {*pins("test"), *pins("torch")}, AGAIN
    both = pins("test").keys() & pins("torch").keys()
    assert {name: pins("test")[name] for name in both} == {name: pins("torch")[name] for name in both}, AGAIN
    assert run.keys() - gpu.keys() == {"tensorflow-cpu"}
    assert {name for name in gpu.keys() - run.keys() if not name.startswith("nvidia-")} == {"tensorflow"}
    assert all(gpu[name] == run[name] for name in run.keys() & gpu.keys()), AGAIN
