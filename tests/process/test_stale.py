"""Compiled code of an older rule is never used."""

from __future__ import annotations

import os

from kaimesh.process.stale import forget_stale_code


def test_what_is_older_than_any_source_is_removed(tmp_path):
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    for name, time in [("a.py", 100), ("core.py", 200), ("__pycache__/a.1.nbi", 150), ("__pycache__/b.1.nbi", 201)]:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    forget_stale_code(tmp_path)
    assert [index.name for index in cache.iterdir()] == ["b.1.nbi"]
