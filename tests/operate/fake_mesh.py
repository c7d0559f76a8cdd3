"""The command line with `fake_service.py` in place of every service: real supervisord, keeper, signals and files."""

import sys
from pathlib import Path

from kaimesh.config.roles import KEEPER
from kaimesh.operate.cli.commands import main
from kaimesh.operate.local import supervise
from kaimesh.process.run_dir import RunDir

FAKE = Path(__file__).with_name("fake_service.py")
_real = supervise.command


def fake_command(program: supervise.Program, run: RunDir) -> list[str]:
    words = _real(program, run)
    own = program.role == KEEPER or program.role.own  # these are the real ones
    return words if own else [words[0], str(FAKE), program.role.name, *words[3:]]


if __name__ == "__main__":
    supervise.launch.__defaults__ = supervise.configuration.__defaults__ = (fake_command,)
    sys.argv[0] = "kaimesh"
    main()
