"""Which code a file may name: the user's own files any, files from somebody else only what is built in.

Recordings, run directories and models are given to other people. A run's conf.toml names its environment, its algorithm
and the registry of algorithms; each of these can be a module, and importing a module runs its code. So a file from
somebody else may only name built-in ones, unless the user says --trust.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kaimesh.config.load import REGISTRY, registry_file
from kaimesh.contract.errors import ConfigError

HELP = "run what the file names even if that is not built in: any code that it names then runs with your rights"


def is_below(path: Path, folders: Iterable[Path]) -> bool:
    """Whether `path` lies in one of `folders`, after all symbolic links were followed on both sides."""
    real = Path(os.path.realpath(path))  # Path.resolve would raise for links in a circle
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)


def unfamiliar_registry(table: Mapping[str, Any]) -> list[str]:
    """For `check`: a description of the registry that `[app]` names, if it does not lie in this checkout's conf/."""
    if is_below(registry_file(table), [REGISTRY.parent]):
        return []
    return [
        f"algo_conf = {table['algo_conf']!r} imports whatever that file names as agents, workflow and configuration"
    ]


def check(file: Path | str, unfamiliar: Sequence[str]) -> None:
    """Raises ConfigError if `unfamiliar`, descriptions of what `file` names and is not built in, is not empty."""
    if not unfamiliar:
        return
    lines = "".join(f"\n  {one}" for one in unfamiliar)
    raise ConfigError(
        f"{file} names what is not built in. It may come from somebody else, so nothing of that was imported or "
        f"run:{lines}\nWhoever made the file would decide what runs on this machine, with your rights. Look at it; if "
        "you trust it as you trust a program that you start, add --trust."
    )
