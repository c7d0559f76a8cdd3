"""Pictures of the realm: the map, the way walked so far, what lies there, and a strip of numbers below.

Colours are those of Okabe and Ito, which colour-blind people tell apart; what is on the map also differs in shape.
North is up.
Shape legend: N heroes; H, W pixels.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kaimesh.envs.realm.core import BUFF_WAIT, FLASH_WAIT, RADIUS, State
from kaimesh.envs.realm.map import BUFF, CELL, POINTS, RealmMap

SIDE = 640  # pixels of the map, or a little less
FINE = 2  # drawn that many times larger, then averaged: smooth edges
TAIL = 40  # the last steps of the way, which are drawn darker
STRIP, LEGEND, LEAST_WIDTH = 48, 26, 640  # pixels below the map

FLOOR, WALL, EDGE = (244, 241, 234), (92, 103, 120), (62, 71, 86)
BACKGROUND, FAINT, BRIGHT = (31, 41, 51), (154, 165, 177), (255, 255, 255)
INK = (31, 41, 51)
HERO, WAY = (0, 114, 178), (86, 180, 233)
TREASURE, TAKEN = (240, 190, 0), (150, 150, 150)
END, START, GREEN, JUMP = (213, 94, 0), INK, (0, 158, 115), (204, 121, 167)

Spot = tuple[float, float]


class Pictures:
    """Draws the heroes of a batch, with the ways that they walked, which it remembers.

    Call `restart` when all begin anew, `follow` after every step, and `draw` whenever a picture is wanted.
    """

    def __init__(self, realm: RealmMap, count: int) -> None:
        self._heroes = [_Hero(realm) for _ in range(count)]

    def restart(self, state: State) -> None:
        """Forgets the ways."""
        for i, hero in enumerate(self._heroes):
            hero.restart((float(state.x[i]), float(state.z[i])))

    def follow(self, state: State) -> None:
        """Notes where the heroes went; one whose episode is new begins a way."""
        for i, hero in enumerate(self._heroes):
            place = float(state.x[i]), float(state.z[i])
            if state.step[i] == 0:
                hero.restart(place)
            else:
                hero.go(place, bool(state.flash_wait[i] == FLASH_WAIT))  # so only in the step of a flash

    def draw(self, state: State) -> tuple[np.ndarray, ...]:
        """One picture a hero, uint8 `[H, W, 3]`."""
        return tuple(hero.draw(state, i) for i, hero in enumerate(self._heroes))


class _Hero:
    """The pictures of one hero.

    `_ground` has the map and all of the way but its tail, which no later picture changes.
    """

    def __init__(self, realm: RealmMap) -> None:
        self._realm = realm
        self.scale = max(2, SIDE // realm.size)  # pixels per cell
        self._places: list[Spot] = []
        self._jumps: set[int] = set()  # numbers of steps

    def restart(self, place: Spot) -> None:
        self._places, self._jumps = [place], set()
        self._drawn = 0  # steps that are in _ground
        self._ground = self._map.copy()

    def go(self, place: Spot, jumps: bool) -> None:
        self._places.append(place)
        if jumps:
            self._jumps.add(len(self._places) - 1)

    def draw(self, state: State, i: int) -> np.ndarray:
        steps = len(self._places) - 1
        pen = ImageDraw.Draw(self._ground)
        while self._drawn < steps - TAIL:
            self._drawn += 1
            self._segment(pen, self._drawn, WAY, 1.0)
        scene = self._ground.copy()
        pen = ImageDraw.Draw(scene)
        for step in range(self._drawn + 1, steps + 1):
            share = 1 - (steps - step) / TAIL
            self._segment(pen, step, _mixed(WAY, HERO, share), 1 + 0.6 * share)
        scene = self._with_window(scene, state, i)
        self._things(ImageDraw.Draw(scene), state, i)
        shown = scene.reduce(FINE)
        picture = Image.new("RGB", (max(shown.width, LEAST_WIDTH), shown.height + STRIP + LEGEND), BACKGROUND)
        picture.paste(shown, ((picture.width - shown.width) // 2, 0))
        _write_strip(ImageDraw.Draw(picture), shown.height, state, i)
        picture.paste(_legend(), (0, shown.height + STRIP))
        return np.asarray(picture)

    @cached_property
    def _map(self) -> Image.Image:
        walkable = self._realm.walkable[::-1]
        cells = np.where(walkable[..., None], FLOOR, WALL).astype(np.uint8)
        pixels = cells.repeat(self.scale * FINE, 0).repeat(self.scale * FINE, 1)
        image = Image.fromarray(pixels)
        pen = ImageDraw.Draw(image)
        size, scale = self._realm.size, self.scale * FINE
        for row, column in np.argwhere(walkable[1:] != walkable[:-1]).tolist():
            pen.line([(column * scale, (row + 1) * scale), ((column + 1) * scale, (row + 1) * scale)], EDGE, FINE)
        for row, column in np.argwhere(walkable[:, 1:] != walkable[:, :-1]).tolist():
            pen.line([((column + 1) * scale, row * scale), ((column + 1) * scale, (row + 1) * scale)], EDGE, FINE)
        assert image.size == (size * scale, size * scale)
        return image

    def _pixel(self, place: Spot) -> Spot:
        """Where units (x, z) are on the fine map; y grows to the South."""
        unit = self.scale * FINE / CELL
        return place[0] * unit, self._realm.size * self.scale * FINE - place[1] * unit

    def _segment(self, pen: ImageDraw.ImageDraw, step: int, colour: tuple[int, int, int], thick: float) -> None:
        if step in self._jumps:
            return
        start, stop = self._pixel(self._places[step - 1]), self._pixel(self._places[step])
        width = round(thick * FINE * (1.3 + self.scale / 20))
        pen.line([start, stop], colour, width)
        if width > 2:
            _disc(pen, stop, width / 2 - 0.5, colour)  # a round joint

    def _with_window(self, scene: Image.Image, state: State, i: int) -> Image.Image:
        scale = self.scale * FINE
        column, row = int(state.x[i] / CELL), self._realm.size - 1 - int(state.z[i] / CELL)
        left, top = (column - RADIUS) * scale, (row - RADIUS) * scale
        side = (2 * RADIUS + 1) * scale
        box = max(left, 0), max(top, 0), min(left + side, scene.width), min(top + side, scene.height)
        dim = Image.blend(scene, Image.new("RGB", scene.size, BACKGROUND), 0.22)
        dim.paste(scene.crop(box), box)
        ImageDraw.Draw(dim).rectangle((left, top, left + side - 1, top + side - 1), outline=BRIGHT, width=FINE)
        return dim

    def _things(self, pen: ImageDraw.ImageDraw, state: State, i: int) -> None:
        radius = FINE * max(6.0, 0.45 * self.scale)
        spots = [self._pixel((x, z)) for x, z in self._realm.positions.tolist()]
        for step in self._jumps:
            _dashes(pen, self._pixel(self._places[step - 1]), self._pixel(self._places[step]), JUMP, 2 * FINE)
        start_mark(pen, spots[state.start[i]], radius)
        buff_mark(pen, spots[BUFF], radius, bool(state.buff_wait[i] == 0))
        for point in range(POINTS):
            if state.asked[i, point]:
                treasure_mark(pen, spots[point], radius, bool(state.present[i, point]))
        end_mark(pen, spots[state.end[i]], radius)
        hero_mark(pen, self._pixel(self._places[-1]), radius, bool(state.buff_left[i] > 0))


def hero_mark(pen: ImageDraw.ImageDraw, spot: Spot, radius: float, fast: bool = False) -> None:
    """A blue disc with a white ring; while the buff lasts, with a green one around."""
    if fast:
        _disc(pen, spot, 1.45 * radius, GREEN)
    _disc(pen, spot, 1.2 * radius, INK)
    _disc(pen, spot, 1.05 * radius, BRIGHT)
    _disc(pen, spot, 0.75 * radius, HERO)


def treasure_mark(pen: ImageDraw.ImageDraw, spot: Spot, radius: float, present: bool) -> None:
    """A diamond; one that was taken is hollow."""
    _diamond(pen, spot, 1.25 * radius, INK if present else TAKEN)
    _diamond(pen, spot, 0.95 * radius, TREASURE if present else FLOOR)


def end_mark(pen: ImageDraw.ImageDraw, spot: Spot, radius: float) -> None:
    """A target."""
    for share, colour in ((1.25, INK), (1.1, END), (0.75, BRIGHT), (0.42, END)):
        _disc(pen, spot, share * radius, colour)


def start_mark(pen: ImageDraw.ImageDraw, spot: Spot, radius: float) -> None:
    """A ring."""
    for share, colour in ((1.1, START), (0.8, BRIGHT), (0.3, START)):
        _disc(pen, spot, share * radius, colour)


def buff_mark(pen: ImageDraw.ImageDraw, spot: Spot, radius: float, present: bool) -> None:
    """A disc with a bolt; hollow, when it is not there."""
    _disc(pen, spot, 1.2 * radius, INK if present else TAKEN)
    _disc(pen, spot, 1.02 * radius, GREEN if present else FLOOR)
    bolt = ((0.25, -0.8), (-0.5, 0.15), (-0.05, 0.15), (-0.25, 0.8), (0.5, -0.15), (0.05, -0.15))
    points = [(spot[0] + x * radius, spot[1] + y * radius) for x, y in bolt]
    pen.polygon(points, BRIGHT if present else TAKEN)


def _disc(pen: ImageDraw.ImageDraw, spot: Spot, radius: float, colour: tuple[int, int, int]) -> None:
    x, y = spot
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), colour)


def _diamond(pen: ImageDraw.ImageDraw, spot: Spot, radius: float, colour: tuple[int, int, int]) -> None:
    x, y = spot
    pen.polygon([(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)], colour)


def _dashes(pen: ImageDraw.ImageDraw, start: Spot, stop: Spot, colour: tuple[int, int, int], width: int) -> None:
    length = float(np.hypot(stop[0] - start[0], stop[1] - start[1]))
    count = max(1, round(length / (8 * FINE)))
    for k in range(count):
        ends = []
        for part in (k / count, (k + 0.6) / count):
            ends.append((start[0] + part * (stop[0] - start[0]), start[1] + part * (stop[1] - start[1])))
        pen.line(ends, colour, width)


def _mixed(one: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def figures(state: State, i: int) -> list[tuple[str, str]]:
    """What the strip says: labels and values."""
    wait, left, back = int(state.flash_wait[i]), int(state.buff_left[i]), int(state.buff_wait[i])
    if not state.over[i]:
        outcome = ""
    elif state.step[i] >= state.max_step[i] and state.score[i] == 0:
        outcome = ", time over"
    else:
        outcome = ", arrived"
    return [
        ("step", f"{state.step[i]} / {state.max_step[i]}"),
        (f"score{outcome}", f"{state.score[i]:.1f}"),
        ("treasures", f"{state.treasures[i]} / {state.asked[i].sum()}"),
        ("flash", f"in {wait}" if wait else "ready"),
        ("buff", f"{left} left" if left else f"back in {min(back, BUFF_WAIT)}" if back else "there"),
    ]


def _write_strip(pen: ImageDraw.ImageDraw, top: int, state: State, i: int) -> None:
    for k, (label, value) in enumerate(figures(state, i)):
        left = 14 + k * LEAST_WIDTH // 5
        pen.text((left, top + 6), label, FAINT, _font(12))
        pen.text((left, top + 21), value, BRIGHT, _font(18))


@lru_cache(maxsize=1)
def _legend() -> Image.Image:
    image = Image.new("RGB", (LEAST_WIDTH * FINE, LEGEND * FINE), BACKGROUND)
    pen = ImageDraw.Draw(image)
    middle, radius = LEGEND * FINE / 2, 6.0 * FINE
    names = ["hero", "treasure", "taken", "start", "end", "buff", "gone", "flash", "view"]
    for k, name in enumerate(names):
        left = (14 + k * 69 + 8 * (k > 1)) * FINE  # "treasure" is longer than the others
        spot = left + radius, middle
        match name:
            case "hero":
                hero_mark(pen, spot, radius)
            case "treasure" | "taken":
                treasure_mark(pen, spot, radius, name == "treasure")
            case "start":
                start_mark(pen, spot, radius)
            case "end":
                end_mark(pen, spot, radius)
            case "buff" | "gone":
                buff_mark(pen, spot, radius, name == "buff")
            case "flash":
                _dashes(pen, (left - radius / 2, middle), (left + 2.5 * radius, middle), JUMP, 2 * FINE)
            case "view":
                pen.rectangle((left, middle - radius, left + 2 * radius, middle + radius), outline=BRIGHT, width=FINE)
        pen.text((left + 3 * radius, middle), name, FAINT, _font(12 * FINE), anchor="lm")
    return image.reduce(FINE)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)  # Pillow brings it along
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
