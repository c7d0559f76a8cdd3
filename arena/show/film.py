"""Pictures, one after the other, as an animated GIF or an MP4. Shape legend: H, W pixels."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from kaimesh.contract.errors import ConfigError

FORMATS = (".gif", ".mp4")
LAST_MS = 1500  # a GIF stays on its last picture, before it begins again
_COLOURS = 255  # of a GIF; the last of its 256 stands for "as before"
_SAMPLES = 12  # frames that its colours are taken from


def write(frames: Iterable[np.ndarray], path: Path, fps: float) -> int:
    """Writes frames, uint8 `[H, W, 3]`, all of one size, in the format that `path` ends in; returns how many there
    were.

    MP4 is H.264 and written as frames come; a GIF's are all in memory, one byte a pixel, and at most 50 a second are
    shown.
    Raises ConfigError: another format, or a path that cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"{path} must end in {' or '.join(FORMATS)}, which says what is written; nothing was. Name another file."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return (_write_gif if path.suffix.lower() == ".gif" else _write_mp4)(frames, path, fps)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}; there is no film. Name another file."
        ) from error


def png(frame: np.ndarray) -> bytes:
    """The frame as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(frame).save(out, "PNG", compress_level=3)
    return out.getvalue()


def _write_gif(frames: Iterable[np.ndarray], path: Path, fps: float) -> int:
    packed = [png(frame) for frame in frames]  # some 20 KB each, so that all are there when colours are chosen
    palette = _palette(packed)
    images = (_open(one).quantize(palette=palette, dither=Image.Dither.NONE) for one in packed)
    pause = max(20, round(1000 / fps))
    durations = [pause] * (len(packed) - 1) + [max(pause, LAST_MS)]
    first = next(images)
    first.save(path, "GIF", save_all=True, append_images=images, duration=durations, loop=0, optimize=True)
    return len(packed)


def _palette(packed: Sequence[bytes]) -> Image.Image:
    """Colours that fit every frame, from some of them side by side."""
    count = min(len(packed), _SAMPLES)
    chosen = [_open(packed[round(k * (len(packed) - 1) / max(count - 1, 1))]) for k in range(count)]
    width, height = chosen[0].size
    sheet = Image.new("RGB", (width, height * count))
    for k, image in enumerate(chosen):
        sheet.paste(image, (0, height * k))
    return sheet.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _open(packed: bytes) -> Image.Image:
    return Image.open(io.BytesIO(packed)).convert("RGB")


def _write_mp4(frames: Iterable[np.ndarray], path: Path, fps: float) -> int:
    import av

    count = 0
    options = {"crf": "18", "tune": "animation"}
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.pix_fmt = "yuv420p"  # what every player knows
        for frame in frames:
            even = _even(frame)
            if not count:
                stream.height, stream.width = even.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            count += 1
        container.mux(stream.encode(None))
    return count


def _even(frame: np.ndarray) -> np.ndarray:
    """H.264 halves its colours, so sides are even; a last row or column is doubled."""
    height, width = frame.shape[:2]
    return np.ascontiguousarray(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge"))
