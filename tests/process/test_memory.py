"""Limits of control groups, as Linux writes them in files."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from kaimesh.process.memory import limit_bytes

GB = 10**9
TOTAL = psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("line", "files", "limit"),
    [
        ("0::/", {"memory.max": "1000000000\n"}, GB),  # a container's own view
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": str(2 * GB)}, 2 * GB),
        ("0::/a/b", {"a/b/memory.max": str(3 * GB), "memory.max": str(2 * GB)}, 2 * GB),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": str(GB)}, GB),
        ("4:cpu,memory:/a", {"memory/memory.limit_in_bytes": str(GB)}, GB),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, TOTAL),
        ("0::/../c", {"memory.max": str(GB)}, GB),
        ("0::/a", {"a/memory.max": "none of us"}, TOTAL),
        ("9:name=systemd:/", {}, TOTAL),
    ],
)
def test_the_lowest_limit_counts(tmp_path: Path, line: str, files: dict[str, str], limit: int) -> None:
    (tmp_path / "cgroup").write_text(f"12:cpuset:/x\n{line}\n")
    for name, text in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(text)
    assert limit_bytes(tmp_path / "cgroup", tmp_path / "fs") == limit


def test_without_control_groups_it_is_the_machine(tmp_path: Path) -> None:
    assert limit_bytes(tmp_path / "none", tmp_path) == TOTAL
