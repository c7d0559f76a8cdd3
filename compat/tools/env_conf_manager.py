"""EnvConfManager: the conf of the environment, read again when its file changes."""

from __future__ import annotations

import os
from typing import Any

from .train_env_conf_validate import check_usr_conf, read_usr_conf


class EnvConfManager:
    """Reads `config_path`, a TOML file. Raises ValueError: it cannot be read."""

    def __init__(self, config_path: Any = None, logger: Any = None, **named: Any) -> None:
        del named
        self.config_path, self.logger = config_path, logger
        self._read_ns = -1
        self.usr_conf: dict[str, Any] = {}
        self.update_config()

    def update_config(self, *args: Any, **named: Any) -> dict[str, Any]:
        """The conf, `{"env_conf": {...}}`."""
        del args, named
        changed_ns = os.stat(self.config_path).st_mtime_ns
        if changed_ns != self._read_ns:
            found = read_usr_conf(self.config_path, self.logger)
            if found is None or not check_usr_conf(found, self.logger):
                raise ValueError(
                    f"EnvConfManager(config_path={self.config_path!r}): the file holds no usr_conf, so no episode can "
                    "be begun. Write a table [env_conf]."
                )
            self.usr_conf, self._read_ns = found, changed_ns
        return self.usr_conf

    get_config = get_usr_conf = update_config
