"""Whether anything grows in hours: memory, open files and threads of each process of a mesh, and their slopes.

    .venv/bin/python -m benchmarks.soak --seconds 7200 --samples soak.jsonl            # CartPole by PPO, as delivered
    .venv/bin/python -m benchmarks.soak --algo dqn --set aisrv_count=1 --seconds 600
    .venv/bin/python -m benchmarks.soak --read soak.jsonl                              # the table so far

The table has one line for each process: anonymous memory at the end of the warm-up and now, its slope in MB an hour and
in kB per 1,000 learns (each with the half width of its 95 % interval), and by how much the resident memory, open files
and threads rise in an hour. Below it stand the run directory's files and bytes. The samples go to a file, a line of
JSON each; the report is JSON too. A process that was restarted is followed from its last start. The mesh's own limit
ends it; Ctrl-C stops it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.report import ROOT, as_program, finish
from benchmarks.slopes import Slope, slope
from kaimesh.config import load
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.contract.errors import ConfigError
from kaimesh.operate.cli.start import overrides_of
from kaimesh.operate.local.mesh_file import pids
from kaimesh.process.run_dir import RunDir

_HOUR_S = 3600.0
_WIDTH = 150  # of the table, where the output is no terminal
_END_S = 120.0  # that a mesh may take to end
_FIELDS = ("anonymous", "resident", "files", "threads")

Sample = dict[str, Any]  # {"t", "learns", "disk_bytes", "disk_files", "processes": {name: {"pid", *_FIELDS}}}


def main() -> None:
    """Runs a mesh and reports, or reports on what another soak wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", default="gym:CartPole-v1")
    parser.add_argument("--algo", default="ppo")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in tools/start.sh")
    parser.add_argument("--seconds", type=float, default=7200.0, help="from the mesh being up (default: %(default)s)")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples (default: %(default)s)")
    parser.add_argument(
        "--warm-up", type=float, help="seconds left out of the slopes (default: a quarter, at most 1,200)"
    )
    parser.add_argument("--samples", type=Path, default=Path("soak.jsonl"), help="(default: %(default)s)")
    parser.add_argument("--read", type=Path, metavar="SAMPLES", help="start nothing; report on these")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    if arguments.read is None:
        soak(arguments)
    samples = [json.loads(line) for line in (arguments.read or arguments.samples).read_text().splitlines()]
    if not samples:
        parser.exit(1, f"{arguments.read or arguments.samples} has no samples; the mesh did not come up.\n")
    report = slopes(samples, arguments.warm_up)
    show(report)
    finish("soak", {"app": arguments.app, "algo": arguments.algo, "set": arguments.set, **report}, arguments.json)


def soak(arguments: argparse.Namespace) -> None:
    """Starts the mesh and writes samples until it has ended. Raises CalledProcessError: it failed."""
    config = load(DEFAULT_CONF, overrides_of(arguments.app, arguments.algo, arguments.set))
    command = [
        sys.executable,
        "-m",
        "kaimesh.operate.cli",
        "start",
        "--wait",
        "--algo",
        arguments.algo,
        "--app",
        arguments.app,
    ]
    command += ["--max-seconds", str(arguments.seconds)]
    for setting in arguments.set:
        command += ["--set", setting]
    began = time.time()
    mesh = subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr)
    try:
        with arguments.samples.open("w") as file:
            while mesh.poll() is None:
                run = _run_since(ROOT / config.app.runs_dir, began)
                if run is not None and (sample := look(run)):
                    file.write(json.dumps(sample) + "\n")
                    file.flush()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    mesh.wait(arguments.every)
    finally:
        if mesh.poll() is None:
            mesh.terminate()  # that only shows the mesh
            mesh.wait(_END_S)
            subprocess.run([*command[: command.index("start")], "stop", "all"], cwd=ROOT, stdout=sys.stderr)
    if mesh.returncode:
        raise subprocess.CalledProcessError(mesh.returncode, command)


def look(run: RunDir) -> Sample | None:
    """Every process of the run now; None before the first learn."""
    processes = {}
    for name, pid in pids(run):
        with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile
            processes[name] = _process(pid)
    learns = sum(
        status.get("counters", {}).get("learner_steps", 0)
        for name, status in run.statuses().items()
        if name.startswith("learner")
    )
    if not learns or not processes:
        return None
    sizes = list(_sizes(run.root))
    return {
        "t": time.time(),
        "learns": learns,
        "disk_bytes": sum(sizes),
        "disk_files": len(sizes),
        "processes": processes,
    }


def slopes(samples: list[Sample], warm_up_s: float | None) -> dict[str, Any]:
    """What grew, from the samples after the warm-up."""
    length_s = samples[-1]["t"] - samples[0]["t"]
    warm_up_s = min(1200.0, length_s / 4) if warm_up_s is None else warm_up_s
    after = [sample for sample in samples if sample["t"] - samples[0]["t"] >= warm_up_s]
    names = list(dict.fromkeys(name for sample in after for name in sample["processes"]))
    return {
        "seconds": round(length_s),
        "warm_up_s": round(warm_up_s),
        "samples": len(after),
        "learns": after[-1]["learns"] if after else 0,
        "processes": {name: _grown(after, name) for name in names},
        "disk": {key: _line(after, [sample[key] for sample in after]) for key in ("disk_bytes", "disk_files")},
    }


def show(report: dict[str, Any]) -> None:
    """The table, on stderr."""
    table = Table(
        title=f"{report['seconds']:,} s, {report['learns']:,} learns, the first {report['warm_up_s']:,} s left out"
    )
    for column in (
        "process",
        "MB then",
        "MB now",
        "MB an hour",
        "kB per 1,000 learns",
        "RSS MB/h",
        "files/h",
        "threads/h",
        "starts",
    ):
        table.add_column(column, justify="left" if column == "process" else "right")
    for name, process in report["processes"].items():
        memory = process["anonymous"]
        table.add_row(
            name,
            f"{memory['first'] / 1e6:.1f}",
            f"{memory['last'] / 1e6:.1f}",
            _said(memory["per_hour"], 1e-6),
            _said(memory["per_1000_learns"], 1e-3),
            *(
                _said(process[key]["per_hour"], scale)
                for key, scale in (("resident", 1e-6), ("files", 1), ("threads", 1))
            ),
            str(process["starts"]),
        )
    console = Console(stderr=True)
    console.width = max(console.width, _WIDTH)
    console.print(table)
    for key, line in report["disk"].items():
        console.print(f"{key}: {line['first']:,.0f} -> {line['last']:,.0f}, {_said(line['per_hour'], 1)} an hour")


def _grown(samples: list[Sample], name: str) -> dict[str, Any]:
    """One process since its last start."""
    mine = [sample for sample in samples if name in sample["processes"]]
    lives = [sample["processes"][name]["pid"] for sample in mine]
    last = [sample for sample, pid in zip(mine, lives, strict=True) if pid == lives[-1]]
    grown = {field: _line(last, [sample["processes"][name][field] for sample in last]) for field in _FIELDS}
    return {**grown, "starts": len(set(lives))}


def _line(samples: list[Sample], values: list[float]) -> dict[str, Any]:
    y = np.array(values, np.float64)
    by_time = slope(np.array([sample["t"] for sample in samples], np.float64), y)
    by_learns = slope(np.array([sample["learns"] for sample in samples], np.float64), y)
    return {
        "first": float(y[0]) if len(y) else None,
        "last": float(y[-1]) if len(y) else None,
        "per_hour": by_time and by_time.times(_HOUR_S),
        "per_1000_learns": by_learns and by_learns.times(1000),
    }


def _said(found: Slope | None, scale: float) -> str:
    return "-" if found is None else f"{found.value * scale:+.2f} ± {found.plus_minus * scale:.2f}"


def _process(pid: int) -> dict[str, float]:
    process = psutil.Process(pid)
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    anonymous = next(int(line.split()[1]) << 10 for line in rollup if line.startswith("Anonymous:"))
    return {
        "pid": pid,
        "anonymous": anonymous,
        "resident": process.memory_info().rss,
        "files": process.num_fds(),
        "threads": process.num_threads(),
    }


def _sizes(folder: Path) -> Iterator[int]:
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # a dump that came and went
                yield os.lstat(os.path.join(path, name)).st_size


def _run_since(runs: Path, began: float) -> RunDir | None:
    """The run that this soak started; None: it has not made its folder yet."""
    try:
        run = RunDir.latest(runs)
    except ConfigError:
        return None
    return RunDir(run.root.resolve()) if (run.root / "conf.toml").exists() and _made(run) >= began else None


def _made(run: RunDir) -> float:
    return (run.root / "conf.toml").stat().st_mtime


if __name__ == "__main__":
    as_program(main)
