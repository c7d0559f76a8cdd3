"""Reads and checks what a workflow gives to `env.reset`."""

from __future__ import annotations

import tomllib
from typing import Any


def read_usr_conf(path: Any, logger: Any = None) -> dict[str, Any] | None:
    """The tables of a TOML file, such as `{"env_conf": {...}}`; None: it cannot be read, and the reason is logged."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        _tell(logger, f"usr_conf {path} cannot be read, so there is none: {error}. Correct the file or its path.")
        return None


def check_usr_conf(usr_conf: Any, logger: Any = None) -> bool:
    """Whether `usr_conf` has the form that `env.reset` takes; else the reason is logged. The environment checks the
    values.
    """
    if not isinstance(usr_conf, dict) or not usr_conf:
        _tell(logger, f"usr_conf = {usr_conf!r:.200} is no dict of tables; no episode can be begun. Read it from TOML.")
        return False
    inner = usr_conf.get("env_conf", usr_conf.get("diy", usr_conf))
    if not isinstance(inner, dict):
        _tell(logger, f"usr_conf has {inner!r:.200} where a table must be; no episode can be begun. Write [env_conf].")
        return False
    return True


def _tell(logger: Any, text: str) -> None:
    if logger is not None:
        logger.error(text)
