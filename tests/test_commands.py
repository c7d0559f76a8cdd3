"""Commands in the documents: the programs, their options and the keys that they set are there."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main

from kaimesh.config import App
from kaimesh.config.load import REGISTRY
from kaimesh.config.own_class import config_class, defaults_of
from kaimesh.config.registry import registry
from kaimesh.operate.cli.commands import app
from tests.test_documents import ROOT, documents

PROGRAM = re.compile(
    r"(?:tools/(?P<script>\w+)\.sh|(?P<file>train_test)\.py|python -m (?P<module>[\w.]+)|\bkaimesh (?P<verb>start|stop|"
    r"status|logs|evaluate|play|replay|package)\b)(?P<words>(?: [^`#|&;)\n]*)?)"
)
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")
SETTING = re.compile(r"--set '?([A-Za-z_][\w.]*)=")
# Where the options of programs that are not kaimesh.operate.cli's are written as text.
SOURCES = {
    "evaluate": ("arena", "envs"), "play": ("arena", "envs"), "replay": ("arena",), "cluster": ("operate/cluster",),
    "package": ("operate/package",),
    "train_test": ("operate",), "setup": ("tools",), "test": ("tools",), "lock": ("tools",), "protos": ("tools",),
}  # fmt: skip
ANYWHERE = {"--help", "--version", "--upgrade-package"}  # of every program; and uv's own
EXAMPLES = {"key", "roles", "mine"}  # of keys, and of tables that are the reader's own


def commands() -> Iterator[tuple[str, re.Match[str]]]:
    """Every command in a document or in a file that people read, with the file's name."""
    others = [ROOT / name for name in ("conf/configure_app.toml", "diy/__init__.py", "docker/Dockerfile", ".env")]
    for path in (*documents(), *others):
        if path.name == "CHANGELOG.md" or not path.is_file():  # it also names what was
            continue
        for found in PROGRAM.finditer(path.read_text().replace("\\\n", " ")):
            yield str(path.relative_to(ROOT)), found


@cache
def options_of(program: str) -> frozenset[str]:
    """Every option that a program takes; a module's, where `program` has dots."""
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    if program in verbs:
        return frozenset(
            name for parameter in verbs[program].params for name in parameter.opts + parameter.secondary_opts
        )
    if program in SOURCES:
        files = [
            file for folder in SOURCES[program] for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".sh")
        ]
    else:
        spec = importlib.util.find_spec(program)
        assert spec is not None, f"there is no module {program}"
        files = [Path(str(spec.origin))]
        files = [file for path in files for file in (path, path.with_name("__main__.py")) if file.is_file()]
    return frozenset(
        name for file in files for name in re.findall(r"""["' ](--[a-z][a-z-]*)["' =)]""", file.read_text())
    )


def program_of(found: re.Match[str]) -> str:
    return found["script"] or found["file"] or found["verb"] or found["module"]


def hyper_parameters() -> dict[str, set[str]]:
    entries = registry([], REGISTRY)
    return {name: set(defaults_of(config_class(entry.config))) for name, entry in entries.items() if entry.config}


def test_every_command_has_its_options() -> None:
    wrong, count = [], 0
    for where, found in commands():
        program = program_of(found)
        if found["script"] and not (ROOT / f"tools/{program}.sh").is_file():
            wrong.append(f"{where}: there is no tools/{program}.sh")
            continue
        if found["module"] and not program.startswith(("kaimesh", "benchmarks", "tests")):
            continue
        count += 1
        known = options_of(program) | ANYWHERE
        wrong += [f"{where}: {program} {word}" for word in OPTION.findall(found["words"]) if word not in known]
    assert not wrong
    assert count > 120


def test_every_key_that_a_document_sets_is_there() -> None:
    hyper, wrong, count = hyper_parameters(), [], 0
    for path in documents():
        for key in SETTING.findall(path.read_text()):
            count += 1
            table, _, rest = key.partition(".")
            there = table in App.model_fields or table in EXAMPLES or rest in hyper.get(table, ())
            if not there and path.name != "CHANGELOG.md":
                wrong.append(f"{path.relative_to(ROOT)}: --set {key}")
    assert not wrong
    assert count > 30


@pytest.mark.parametrize(
    "text", ["./tools/start.sh --wiat", "python train_test.py --sed 1", "tools/evaluate.sh --modle x"]
)
def test_a_wrong_option_would_be_found(text: str) -> None:
    found = PROGRAM.search(text)
    assert found is not None
    assert set(OPTION.findall(found["words"])) - options_of(program_of(found)) - ANYWHERE
