"""The picture of the house in docs/architecture.md, from the imports: `python -m tests.house > docs/house.svg`.

Rooms and rules are those of tests/test_architecture.py; an arrow is drawn where a room imports another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from tests.test_architecture import ABOVE, GROUND, HOUSES, ROOMS, SERVICES, imports, room_of

ROW = (
    "envs",
    "aisrv",
    "actor",
    "model_pool",
    "learner",
    "buffer",
    "reanalyse",
    "algorithms",
    "diy",
)  # from left to right
ABOUT = {
    "envs": ("what is", "played"),
    "aisrv": ("runs", "environments"),
    "actor": ("predicts",),
    "model_pool": ("passes", "models on"),
    "learner": ("trains",),
    "buffer": ("keeps samples;", "knows Reverb"),
    "reanalyse": ("searches stored", "games again"),
    "algorithms": ("ppo impala dqn", "on shared parts"),
    "diy": ("your agent,", "your code"),
    "operate": ("starts, watches and stops the mesh: cli, local, cluster, view, serial",),
    "arena": ("how good a", "model is"),
    "training": ("learns, dumps, resume",),
    "process": ("one process: its life, its logs, what it reports, its files",),
    "wire": ("framed TCP and gRPC",),
    "config": ("from a file to a validated configuration; the roles",),
    "contract": ("agents, environments and data, as every process understands them",),
}
LEGEND = (
    "Arrows are imports; the word beside one is the part that may be imported. Everything imports the ground, where "
    "each room imports those below it."
)
UNDER = {"operate": SERVICES, "arena": ("envs",)}  # what each house stands over
COLOURS = {"house": "#cfe3f7", "service": "#d3ecd2", "part": "#fbeccb", "ground": "#e4e4e8", "yours": "#ffffff"}
WIDTH, LEFT, BOX, GAP = 1212, 22, 112, 20
COMMAND_Y, HOUSE_Y, ROW_Y, GROUND_Y = 22, 84, 206, 414  # upper edges
HOUSE_HEIGHT, ROW_HEIGHT, LAYER = 76, 78, 40


class Box(NamedTuple):
    """A rectangle: upper left corner, width and height, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


def edges() -> set[tuple[str, str]]:
    """Which room above the ground imports which."""
    pairs = {(found.source.room, room_of(found.module)) for found in imports()}
    return {(here, there) for here, there in pairs if here != there and here in ROOMS and there in ROOMS}


def what(here: str, there: str) -> str:
    """The part of `there` that `here` may import; "" for all of it."""
    names = [name for name in ABOVE[here] if room_of(name) == there]
    return ", ".join(".".join(name.split(".")[2:]) for name in names)


def column(room: str) -> Box:
    """The place of a room of the row."""
    return Box(LEFT + ROW.index(room) * (BOX + GAP), ROW_Y, BOX, ROW_HEIGHT)


def house(room: str) -> Box:
    """The place of a house: over the rooms that it stands over."""
    over = [column(name) for name in UNDER[room]]
    left, right = min(box.x for box in over), max(box.x for box in over) + BOX
    return Box(left, HOUSE_Y, right - left, HOUSE_HEIGHT)


def picture() -> str:
    """The SVG."""
    height = GROUND_Y + LAYER * len(GROUND) + 52
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="DejaVu Sans, Verdana, Helvetica, sans-serif" font-size="12" text-anchor="middle">',
        "<!-- Made by `python -m tests.house > docs/house.svg`; do not edit. -->",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#444"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
        *_boxes(),
        *_arrows(),
        _text(WIDTH / 2, height - 14, LEGEND, "#444"),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _boxes() -> Iterator[str]:
    left, right = house("arena"), house("operate")
    command = Box(left.x, COMMAND_Y, right.x + right.width - left.x, 34)
    yield from _room(command, "kaimesh", ("the command, above everything",), "house", flat=True)
    for room in HOUSES:
        yield from _room(house(room), room, ABOUT[room], "house")
    for room in ROW:
        kind = "service" if room in SERVICES else "yours" if room == "diy" else "part"
        yield from _room(column(room), room, ABOUT[room], kind)
    whole = Box(LEFT, GROUND_Y, column("algorithms").x + BOX - LEFT, LAYER - 4)
    for level, room in enumerate(reversed(GROUND)):
        place = whole._replace(y=GROUND_Y + level * LAYER)
        yield from _room(place, room, ABOUT[room], "ground", flat=True)
    yield from _room(_face(), "agent", ("what users", "import"), "ground")


def _face() -> Box:
    last = GROUND_Y + LAYER * len(GROUND) - 4
    return Box(column("diy").x, last - ROW_HEIGHT, BOX, ROW_HEIGHT)


def _arrows() -> Iterator[str]:
    for room in HOUSES:
        yield _arrow(f"M{house(room).middle} {COMMAND_Y + 34}V{HOUSE_Y}")
    arcs = 0
    for here, there in sorted(edges(), key=lambda edge: (abs(ROW.index(edge[1]) - _index(edge[0])), edge)):
        if here in HOUSES:
            assert there in UNDER[here], f"{here} does not stand over {there}: move it in UNDER"
            yield _arrow(f"M{column(there).middle} {house(here).bottom}V{ROW_Y}")
        elif abs(ROW.index(here) - ROW.index(there)) == 1:
            yield from _beside(here, there)
        else:
            yield from _arc(here, there, arcs)
            arcs += 1
    face, diy = _face(), column("diy")
    yield _arrow(f"M{diy.middle} {diy.bottom}V{face.y}")
    yield _arrow(f"M{face.x} {face.bottom - LAYER / 2}H{face.x - GAP}")


def _index(room: str) -> int:
    return ROW.index(room) if room in ROW else ROW.index(UNDER[room][0])


def _beside(here: str, there: str) -> Iterator[str]:
    one, other = column(here), column(there)
    right = other.x > one.x
    start, end = (one.x + BOX, other.x) if right else (one.x, other.x + BOX)
    y = ROW_Y + 22
    yield _arrow(f"M{start} {y}H{end}")
    yield _text((start + end) / 2, ROW_Y + ROW_HEIGHT + 15, what(here, there), "#444")


def _arc(here: str, there: str, number: int) -> Iterator[str]:
    """Below the row; each arc deeper than the one before."""
    one, other, y = column(here), column(there), ROW_Y + ROW_HEIGHT + 44 + 26 * number
    start, end = one.middle + 14 - 28 * number, other.middle
    turn = 8 if end > start else -8
    yield _arrow(f"M{start} {one.bottom}V{y - 8}q0 8 {turn} 8H{end - turn}q{turn} 0 {turn} -8V{other.bottom}")
    yield _text(end - 5 * turn, y - 5, what(here, there), "#444")


def _room(box: Box, name: str, about: tuple[str, ...], kind: str, flat: bool = False) -> Iterator[str]:
    dash = ' stroke-dasharray="5 4"' if kind == "yours" else ""
    yield (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6" fill="{COLOURS[kind]}" '
        f'stroke="#555"{dash}/>'
    )
    if flat:
        y = box.y + box.height / 2 + 5
        yield f'<text x="{box.x + 16}" y="{y}" text-anchor="start" font-weight="bold" font-size="14">{name}</text>'
        yield f'<text x="{box.x + 120}" y="{y}" text-anchor="start">{escape(about[0])}</text>'
        return
    yield f'<text x="{box.middle}" y="{box.y + 26}" font-weight="bold" font-size="14">{name}</text>'
    for number, line in enumerate(about):
        yield _text(box.middle, box.y + 46 + 17 * number, line)


def _text(x: float, y: float, text: str, colour: str = "#111") -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}">{escape(text)}</text>'


def _arrow(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="#444" stroke-width="1.5" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    print(picture(), end="")
