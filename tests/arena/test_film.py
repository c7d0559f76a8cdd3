"""Films: what was put in comes out again, frame by frame."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from kaimesh.arena.show import film
from kaimesh.contract.errors import ConfigError

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 0, 0)]


def frames(height: int = 48, width: int = 64) -> list[np.ndarray]:
    """A square of another colour on grey each time, further to the right."""
    made = []
    for k, colour in enumerate(COLOURS):
        frame = np.full((height, width, 3), 128, np.uint8)
        frame[8:20, 10 * k + 2 : 10 * k + 12] = colour
        made.append(frame)
    return made


def test_a_gif_shows_every_frame(tmp_path):
    path = tmp_path / "folder" / "out.gif"
    assert film.write(iter(frames()), path, fps=10) == len(COLOURS)
    with Image.open(path) as image:
        assert image.n_frames == len(COLOURS)
        assert image.info["loop"] == 0
        for k, frame in enumerate(frames()):
            image.seek(k)
            assert image.info["duration"] == (100 if k < len(COLOURS) - 1 else film.LAST_MS)
            assert np.abs(np.asarray(image.convert("RGB"), int) - frame).max() <= 8


def test_one_frame_is_a_gif_too(tmp_path):
    assert film.write(frames()[:1], tmp_path / "out.gif", fps=10) == 1
    with Image.open(tmp_path / "out.gif") as image:
        assert image.n_frames == 1


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_an_mp4_shows_every_frame(tmp_path, size):
    path = tmp_path / "out.mp4"
    assert film.write(iter(frames(*size)), path, fps=7.5) == len(COLOURS)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width, stream.pix_fmt) == (48, 64, "yuv420p")
        assert float(stream.average_rate) == pytest.approx(7.5)
        seen = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(seen) == len(COLOURS)
    for k, frame in enumerate(seen):
        colour = frame[14, 10 * k + 7].astype(int)
        assert np.abs(colour - COLOURS[k]).max() < 40, "H.264 is not exact"


@pytest.mark.parametrize("name", ["out.avi", "out", "out.gif.txt"])
def test_another_format_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"must end in \.gif or \.mp4"):
        film.write(frames(), tmp_path / name, fps=10)


@pytest.mark.parametrize("name", ["out.gif", "out.mp4"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=name):
        film.write(frames(), tmp_path / name, fps=10)


def test_a_png_is_exact():
    import io

    for frame in frames():
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(film.png(frame)))), frame)
