"""Fuzzes by hand: `python -m tests.fuzz actor --cases 5000 --seed 3`;
`python -m tests.fuzz --replay FILE` plays a finding again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.campaign import Budget, Case, case, play, read, run
from tests.fuzz.process import Server
from tests.fuzz.servers import KINDS


def main() -> int:
    """Prints the findings and the figures; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("server", nargs="*", choices=[*KINDS, []], help="which (default: all)")
    parser.add_argument("--cases", type=int, default=2000, help="at least so many conversations (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=0, help="and so many damaged frames")
    parser.add_argument("--hellos", type=int, default=0, help="and so many damaged HELLOs")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most so long with each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, help="plays this case of the seed alone")
    parser.add_argument("--replay", type=Path, help="plays the cases in this file")
    parser.add_argument(
        "--keep", type=Path, default=Path(tempfile.gettempdir()) / "kaimesh-fuzz", help="findings go here"
    )
    arguments = parser.parse_args()
    names = arguments.server or list(KINDS)
    with tempfile.TemporaryDirectory(prefix="kaimesh-fuzz-") as folder:
        if arguments.replay is not None:
            name, cases = read(arguments.replay)
            return _replay(name, cases, Path(folder))
        if arguments.only is not None:
            return _replay(names[0], [case(names[0], arguments.seed, arguments.only)], Path(folder))
        return max(_campaign(name, arguments, Path(folder)) for name in names)


def _replay(name: str, cases: Sequence[Case], folder: Path) -> int:
    server = Server(name, folder / name).wait()
    bad = False
    for this in cases:
        outcome, wrong = play(this, server)
        died = server.died(1.0)
        print(f"{this.label}\n  {outcome}\n  {wrong or ('it ended: ' + server.last_words() if died else 'it lives')}")
        bad = bad or bool(wrong or died)
        if died:
            break
    server.kill()
    return int(bad)


def _campaign(name: str, arguments: argparse.Namespace, folder: Path) -> int:
    server = Server(name, folder / name)
    try:
        budget = Budget(arguments.cases, arguments.frames, arguments.hellos, arguments.seconds)
        figures = run(server, arguments.seed, budget, start=arguments.start, keep=arguments.keep)
    finally:
        server.kill()
    for finding in figures.findings:
        print(f"  #{finding.index} {finding.label[:160]!r}\n      {finding.what[:500]}")
    print(figures.words(), flush=True)
    return int(bool(figures.findings or figures.internal_errors))


if __name__ == "__main__":
    sys.exit(main())
