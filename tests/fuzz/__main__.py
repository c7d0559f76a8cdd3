"""Fuzzes by hand: `python -m tests.fuzz actor --cases 5000 --seed 3`; `python -m tests.fuzz --replay FILE` plays a finding again."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.campaign import case, play, read, run, write
from tests.fuzz.process import Server
from tests.fuzz.servers import KINDS


def main() -> int:
    """Prints the findings and the figures; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("server", nargs="*", choices=[*KINDS, []], help="which (default: all)")
    parser.add_argument("--cases", type=int, default=2000, help="conversations with each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most so long with each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, help="plays this case of the seed alone, and keeps it")
    parser.add_argument("--replay", type=Path, help="plays the case in this file, once")
    parser.add_argument(
        "--keep", type=Path, default=Path(tempfile.gettempdir()) / "kaimesh-fuzz", help="findings go here"
    )
    arguments = parser.parse_args()
    names = arguments.server or list(KINDS)
    with tempfile.TemporaryDirectory(prefix="kaimesh-fuzz-") as folder:
        if arguments.replay or arguments.only is not None:
            name, this = (
                read(arguments.replay)
                if arguments.replay
                else (names[0], case(names[0], arguments.seed, arguments.only))
            )
            if not arguments.replay:
                write(arguments.keep / f"{name}-{arguments.seed}-{arguments.only}.json", this, name)
            server = Server(name, Path(folder) / name).wait()
            outcome, wrong = play(this, server)
            died = server.died(1.0)
            print(f"{this.label}\n{outcome}\n{wrong or ('it ended: ' + server.last_words() if died else 'it lives')}")
            server.kill()
            return int(bool(wrong or died))
        bad = 0
        for name in names:
            server = Server(name, Path(folder) / name)
            try:
                figures = run(
                    server, arguments.seed, arguments.cases, seconds=arguments.seconds, start=arguments.start, keep=arguments.keep
                )  # fmt: skip
            finally:
                server.kill()
            for finding in figures.findings:
                print(f"  #{finding.index} {finding.label[:160]!r}\n      {finding.what[:500]}")
            print(figures.words(), flush=True)
            bad += len(figures.findings) + figures.internal_errors
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
