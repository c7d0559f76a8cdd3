"""One HTML page for an episode, with a time slider; it needs nothing from outside.

What is drawn is the business of a script, which defines the function `makeDrawing`; page.js says how it is called.
Shape legend: K moments that are shown.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kaimesh.arena.show.film import png

_FOLDER = Path(__file__).parent
FRAMES_SCRIPT = _FOLDER / "frames.js"
MOST_PIXELS = 640  # of a picture's side


class Page(NamedTuple):
    """An episode for a browser, of K moments.

    title: in words. facts: names and values that hold for the whole episode. columns: by name, what stands beside the
    picture at each moment, `[K]`, at least one. events: (moment, words), marked on the slider. fps:
    moments per second. script: the JavaScript that draws a moment from `data`.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    columns: Mapping[str, Sequence[Any]]
    events: Sequence[tuple[int, str]]
    fps: float
    script: Path
    data: Mapping[str, Any]

    def html(self) -> str:
        """The page's text."""
        episode = {
            "facts": self.facts,
            "columns": [{"name": name, "values": list(values)} for name, values in self.columns.items()],
            "events": self.events,
            "fps": self.fps,
            "data": self.data,
        }
        parts = {
            "/*DRAWING*/": self.script.read_text(encoding="utf-8"),
            "/*PLAYER*/": (_FOLDER / "page.js").read_text(encoding="utf-8"),
            "<!--TITLE-->": html.escape(self.title),
            "<!--EPISODE-->": json.dumps(episode, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        }
        page = (_FOLDER / "page.html").read_text(encoding="utf-8")
        for (
            mark,
            text,
        ) in parts.items():  # what users wrote comes last and has no '<', so that none of it is taken for a mark
            page = page.replace(mark, text)
        return page


def frames_data(frames: Iterable[np.ndarray]) -> dict[str, Any]:
    """What frames.js draws, from pictures uint8 `[H, W, 3]`: each as PNG or JPEG, whichever is smaller."""
    addresses: list[str] = []
    image = Image.new("RGB", (1, 1))
    for frame in frames:
        image = Image.fromarray(frame)
        image.thumbnail((MOST_PIXELS, MOST_PIXELS))
        lossless, lossy = png(np.asarray(image)), _jpeg(image)
        kind, packed = ("png", lossless) if len(lossless) <= len(lossy) else ("jpeg", lossy)
        addresses.append(f"data:image/{kind};base64,{base64.b64encode(packed).decode()}")
    return {"frames": addresses, "width": image.width, "height": image.height}


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()
