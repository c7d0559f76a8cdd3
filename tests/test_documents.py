"""Documents: every link leads to a file and a heading that are there; the picture shows the imports as they are."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from tests import house
from tests.test_architecture import GROUND, ROOMS

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")  # https:, mailto:
FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?:(?!\1).)+\1")
LINK = re.compile(r"!?\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\]\(\s*(?:<([^>]*)>|([^)\s]+))[^)]*\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def documents() -> list[Path]:
    """Every Markdown file that git knows."""
    done = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split()]


def links(text: str) -> list[str]:
    """What a document's links and pictures lead to; no code."""
    return [bracketed or bare for bracketed, bare in LINK.findall(CODE.sub("", FENCE.sub("", text)))]


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a document: lower case with hyphens, and a number behind what comes again."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        again = 0
        while (one := f"{name}-{again}" if again else name) in found:
            again += 1
        found.add(one)
    return found


@cache
def anchors_of(path: Path) -> frozenset[str]:
    return frozenset(anchors(path.read_text()))


def test_every_link_leads_somewhere() -> None:
    broken = []
    for document in documents():
        for link in links(document.read_text()):
            if ELSEWHERE.match(link):
                continue
            name, _, anchor = link.partition("#")
            target = (document.parent / unquote(name)).resolve() if name else document
            there = target.exists() and target.is_relative_to(ROOT)
            if not there or (anchor and target.suffix == ".md" and unquote(anchor) not in anchors_of(target)):
                broken.append(f"{document.relative_to(ROOT)}: {link}")
    assert not broken


def test_links_and_headings_are_read_as_github_does() -> None:
    text = (
        '# A `start`, twice\n\n[one](a.md#b) and ![two](<c d.png> "title"), `[no](code)`\n\n## A `start`, twice\n'
        "```\n[no](fence)\n# no heading\n```\n[![badge](badge.png)](target.md)\n### 配置 (conf/)\n"
    )
    assert links(text) == ["a.md#b", "c d.png", "target.md"]
    assert anchors(text) == {"a-start-twice", "a-start-twice-1", "配置-conf"}


def test_the_picture_of_the_house_shows_the_imports() -> None:
    assert (ROOT / "docs/house.svg").read_text() == house.picture(), "run: python -m tests.house > docs/house.svg"
    assert set(house.ABOUT) == {*ROOMS, *GROUND, "diy"}


def test_the_glossary_names_places_that_are_there_in_both_languages() -> None:
    places = [
        re.findall(r"`(\w+(?:/\w+)+(?:\.\w+)?)`", (ROOT / "docs" / name).read_text())
        for name in ("glossary.md", "glossary.zh-CN.md")
    ]
    assert len(places[0]) > 20
    assert sorted(places[0]) == sorted(places[1])
    assert not [place for place in places[0] if not (ROOT / place).exists() and not (ROOT / f"{place}.py").exists()]
