"""How much memory this process may use: the machine's, or the limit of its control group (a container, a service)."""

from __future__ import annotations

from pathlib import Path

import psutil

_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def limit_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """The number of bytes.

    proc, cgroups: where Linux describes the control groups of this process (versions 1 and 2); absent on other systems.
    """
    limits = [psutil.virtual_memory().total]
    try:
        lines = proc.read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if not controllers:
            limits += _limits(cgroups, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(cgroups / "memory", path, "memory.limit_in_bytes")
    return min(limits)


def _limits(root: Path, path: str, name: str) -> list[int]:
    """The limits of a group and of all groups above it; "max" and what cannot be read are none."""
    group = root / path.lstrip("/")
    found = []
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            break
        try:
            found.append(int((folder / name).read_text()))
        except (OSError, ValueError):
            continue
    return found
