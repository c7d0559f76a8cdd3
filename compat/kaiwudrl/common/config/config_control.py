"""CONFIG: the configuration of the run, as attributes; one that there is not is ""."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kaimesh.agent import host


def _nothing(*_args: Any, **_named: Any) -> None:
    """Reads no file: the mesh has read the configuration."""


class Config:
    """Every key of the configuration that the process runs with; users may set attributes of their own.

    Its folders exist: restore_dir and user_ckpt_dir hold a folder `{app}_{algo}` with the run's models, log_dir is the
    overlay's. `parse_..._configure` and `set_configure_file` do nothing.
    """

    set_configure_file: Callable[..., None] = staticmethod(_nothing)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.startswith("parse_"):
            return _nothing
        return host().values.get(name, "")


CONFIG = Config()
