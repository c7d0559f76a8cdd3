"""The command line of tools/package.sh: makes a package, or looks at one with `verify`."""

from __future__ import annotations

import argparse
import sys
import time

from kaimesh.config import caller
from kaimesh.config.code import Code
from kaimesh.contract.errors import EXIT_OK, MeshError
from kaimesh.operate.package.contents import files_of, model_of, run_of
from kaimesh.operate.package.verify import verify
from kaimesh.operate.package.writing import name_of, write
from kaimesh.process import command
from kaimesh.process.run_dir import RunDir, runs_dir

_ABOUT = """Makes a package of a folder of agents with one of its models, as Kaiwu's platform takes it:

    tools/package.sh --code PATH [--model 1000] [-o NAME.zip]

or unpacks a package into an empty folder, imports it, loads its model and plays, and prints what failed with its log:

    tools/package.sh verify NAME.zip
"""


def main() -> int:
    """Returns the exit code."""
    if sys.argv[1:2] == ["verify"]:
        parser = argparse.ArgumentParser(prog="package verify", description="Looks at a package.")
        parser.add_argument("package", metavar="NAME.zip", help="its code is run, with your rights")
        return verify(caller.typed(parser.parse_args(sys.argv[2:]).package), print)
    parser = argparse.ArgumentParser(
        prog="package", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--code", required=True, metavar="PATH", help="the folder of agents")
    parser.add_argument("--algo", default="", help="the algorithm, where the folder does not say")
    parser.add_argument(
        "--model", default="latest", help="latest, an id, a folder of models, or a file (default: %(default)s)"
    )
    parser.add_argument("--run", metavar="DIR", help="the run that has the model (default: the folder's newest)")
    parser.add_argument("-o", "--output", metavar="NAME.zip", help="the package (default: Kaiwu's name for it)")
    return _make(parser.parse_args())


def _make(asked: argparse.Namespace) -> int:
    code, now = Code.read(caller.typed(asked.code), algo=asked.algo), time.time()
    run = RunDir(caller.typed(asked.run)) if asked.run else run_of(code, runs_dir())
    plain = asked.model == "latest" or asked.model.isdecimal()
    model = model_of(asked.model if plain else str(caller.typed(asked.model)), run, code)
    files = files_of(code)
    target = caller.typed(asked.output or name_of(code, model, now))
    write(target, code, files, model, now)
    size = target.stat().st_size
    print(f"{target}: {len(files)} files of {code.root}, model {model.id} of {model.files[0].parent}, {size:,} bytes")
    print(f"look at it with: tools/package.sh verify {target}")
    return EXIT_OK


def _told() -> int:
    try:
        return main()
    except MeshError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(command.interrupted(_told))
