"""The mesh. This folder holds the ground: the packages that all others import. The other packages are folders at the
root of the checkout, each of them linked into this one.

agent     what users' agents and environments import: the public part of `contract`

The ground is five packages, listed from the bottom up; each may import only those listed before it:

contract  agents, environments and data, as every process understands them
config    reads and validates the configuration
wire      framed TCP and gRPC
process   what every process has: start and stop, logs, status, files
training  learns, dumps, resume

Above the ground are the services aisrv, actor, reanalyse, learner, model_pool and buffer, with algorithms and envs.
Above these, `operate` starts, watches and stops the mesh, and `arena` measures how good a model is.
"""

import signal
import sys
from pathlib import Path

__version__ = "0.2.0"

# While a program of ours imports its libraries, Ctrl-C ends it at once and without a traceback; later it raises
# KeyboardInterrupt again: kaimesh.process.command. "-m": Python is looking for the program of `python -m kaimesh...`.
_OURS = Path(sys.argv[0] if sys.argv else "").name in ("-m", "kaimesh", "train_test.py")
if _OURS and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

CALLER_VARIABLE = "KAIMESH_FROM"  # the folder in which the command was typed: see kaimesh.config.caller

# In a checkout the packages beside the ground are links, in an installed package they are folders.
IN_CHECKOUT = Path(__file__).with_name("envs").is_symlink()

# The folder that relative paths of a configuration (runs, conf) start from, and in which the mesh's processes run: the
# checkout, wherever a command is typed; for an installed package, the folder in which the command is typed.
ROOT = Path(__file__).resolve().parents[1] if IN_CHECKOUT else Path.cwd()


def typed(command: str) -> str:
    """How a user types `command`: "status" is `tools/status.sh` in a checkout, and `kaimesh status` elsewhere.

    Whoever typed `kaimesh` in a checkout gets that.
    """
    if not IN_CHECKOUT or Path(sys.argv[0]).name == "kaimesh":
        return f"kaimesh {command}"
    name, space, rest = command.partition(" ")
    return f"tools/{name}.sh{space}{rest}"
