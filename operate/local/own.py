"""Runs a process of the user's own, whose package may lie where no interpreter looks at its start (config/caller).

`python -m kaimesh.operate.local.own PACKAGE ...` is `python -m PACKAGE ...`.
"""

import runpy
import sys

from kaimesh.config.packages import find_own_code

if __name__ == "__main__":
    find_own_code()
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
