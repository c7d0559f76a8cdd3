"""Curves of runs: what is read, what is drawn, what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image

from kaimesh.arena import curve


def write(folder, points, end="\n"):
    folder.mkdir()
    (folder / "history.jsonl").write_text("\n".join(json.dumps(point) for point in points) + end)
    return folder


def points(count, scale=1.0):
    return [
        {"time": 100.0 + 60 * t, "return_mean_100": None if t == 0 else scale * t, "env_steps_per_s": 1000.0 * t}
        for t in range(count)
    ]


def test_a_history_is_read_by_wall_time(tmp_path):
    read = curve.read(write(tmp_path / "run", points(3)))
    assert (read.name, read.minutes, read.speeds) == ("run", [0, 1, 2], [0, 1000, 2000])
    assert math.isnan(read.returns[0])
    assert read.returns[1:] == [1, 2]


def test_a_last_line_under_way_is_left_out(tmp_path):
    assert len(curve.read(write(tmp_path / "run", points(3), end='\n{"time": 40')).minutes) == 3


def test_what_a_power_cut_left_between_the_points_is_left_out_and_said(tmp_path, capsys):
    folder = write(tmp_path / "run", points(3))
    whole = (folder / "history.jsonl").read_bytes().splitlines(keepends=True)
    damage = b'{"time": 4\n\0\0\0\n[1]\n{"time": []}\n{"time": NaN}\n\xff\n' + b"[" * 5000 + b"\n"
    (folder / "history.jsonl").write_bytes(whole[0] + damage + b"".join(whole[1:]))
    assert curve.read(folder).minutes == [0, 1, 2]
    assert "7 of 10 lines are damaged" in capsys.readouterr().err


def test_the_picture_shows_every_run(tmp_path, capsys):
    runs = [write(tmp_path / name, points(20, scale)) for name, scale in (("one", 1.0), ("two", 5.0))]
    pictures = []
    for number, chosen in enumerate((runs[:1], runs)):
        out = tmp_path / "new" / f"{number}.png"
        assert curve.main([*map(str, chosen), "-o", str(out)]) == 0
        assert capsys.readouterr().out.strip() == str(out)
        with Image.open(out) as image:
            pictures.append(np.array(image.convert("RGB")))
    assert pictures[0].std() > 5
    assert not np.array_equal(*pictures)


def test_a_level_is_a_line_across(tmp_path):
    run = write(tmp_path / "run", points(20))
    black = []
    for options in ([], ["--level", "10=half of it"]):
        out = tmp_path / "curve.png"
        assert curve.main([str(run), "-o", str(out), *options]) == 0
        with Image.open(out) as image:
            dark = (np.array(image.convert("RGB")).max(-1) < 80).sum(1)  # per row of pixels
        black.append(int((dark > image.width / 3).sum()))
    assert black[1] > black[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), ("", "no points yet"), ("{bad\n[]\n", "2 of 2 lines are damaged")],
)
def test_what_cannot_be_drawn_is_told(tmp_path, capsys, content, words):
    folder = tmp_path / "run"
    folder.mkdir()
    if content is not None:
        (folder / "history.jsonl").write_text(content)
    assert curve.main([str(folder), "-o", str(tmp_path / "x.png")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
