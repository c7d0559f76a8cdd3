"""Whose file it is: one's own may name any code, somebody else's names what is built in, unless the user says --trust.

Recordings, run directories and models are passed from hand to hand. A run's conf.toml names its environment, its algorithm and the
registry of algorithms; each of these can be a module, and importing a module runs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kaimesh.config.load import REGISTRY, ROOT
from kaimesh.contract.errors import ConfigError

HELP = "run what the file names even where that is not built in: any code that it names then has your rights"


def is_below(path: Path, folders: Iterable[Path]) -> bool:
    """Whether the file or folder that `path` leads to lies in one of `folders`, with every link followed on both sides."""
    real = Path(os.path.realpath(path))  # which, unlike Path.resolve, raises nothing where links go in a circle
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)


def unfamiliar_registry(table: Mapping[str, Any]) -> list[str]:
    """In words, a registry of algorithms that `[app]` names and that is none of this checkout's conf/; [] if there is none."""
    named = table.get("algo_conf", "")
    if not isinstance(named, str) or not named.strip() or is_below(ROOT / named, [REGISTRY.parent]):
        return []
    return [f"algo_conf = {named!r} imports whatever that file names as agents, workflow and configuration"]


def check(file: Path | str, unfamiliar: Sequence[str]) -> None:
    """Raises ConfigError: a file of somebody else's names what is not built in. unfamiliar: in words, what."""
    if not unfamiliar:
        return
    lines = "".join(f"\n  {one}" for one in unfamiliar)
    raise ConfigError(
        f"{file} names what is not built in. It may come from somebody else, so nothing of that was imported or run:{lines}\n"
        "Whoever made the file would decide what runs on this machine, with your rights. Look at it; if you trust it as you trust a "
        "program that you start, add --trust."
    )
