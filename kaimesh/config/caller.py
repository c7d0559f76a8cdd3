"""The folder in which a command was typed. Paths of the command line start there, and the user's own modules lie there.

tools/*.sh change to the checkout, so they name that folder in a variable; every process that they start inherits it.
"""

from __future__ import annotations

import os
from pathlib import Path

from kaimesh import CALLER_VARIABLE


def folder() -> Path:
    """That folder: the variable's, else the working folder."""
    return Path(os.environ.get(CALLER_VARIABLE) or Path.cwd())


def typed(path: Path | str) -> Path:
    """`path` as the user meant it: relative to that folder."""
    return Path(os.environ.get(CALLER_VARIABLE, "")) / path
