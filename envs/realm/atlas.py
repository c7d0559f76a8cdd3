"""Which map is played: of a preset and a seed, or of a file; each is made once per process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from kaimesh.contract.errors import ConfigError
from kaimesh.envs.realm.generate import generate
from kaimesh.envs.realm.map import PRESETS, RealmMap, load, unknown_preset


def find(preset: str, seed: int = 0, path: str = "") -> RealmMap:
    """The map of a preset and seed, or of a file; made once per process.

    Raises ConfigError: an unknown preset, or `load`'s.
    """
    if path:
        return _read(path, Path(path).stat().st_mtime_ns if Path(path).is_file() else 0)
    if preset not in PRESETS:
        raise ConfigError(unknown_preset(preset))
    return _generated(PRESETS[preset], seed)


@lru_cache(maxsize=8)
def _read(path: str, changed: int) -> RealmMap:
    del changed  # another time is another file
    return load(path)


@lru_cache(maxsize=32)
def _generated(size: int, seed: int) -> RealmMap:
    return generate(size, seed)
