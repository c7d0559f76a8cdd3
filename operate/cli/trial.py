"""Builds the environment and tries it out before anything is written or started, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kaimesh.config import Config
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.packages import is_ours
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.json_text import json_text
from kaimesh.operate.cli.builder import take
from kaimesh.process.run_dir import RunDir

LIMIT_S = 8.0  # an environment that takes longer is not waited for; the start goes on without this check
_LAST_LINES = 15


def request_of(config: Config) -> dict[str, Any]:
    """What `aisrv/check` is asked about a new run."""
    app, ours = config.app, is_ours(config.algo.package)
    return {
        "app": app.app,
        "env_conf": app.env_conf,
        "max_episode_steps": app.max_episode_steps,
        "slots": app.aisrv_connect_to_kaiwu_env_count,
        "features": config.hyper.get("features", "none") if ours else "none",
        "agent": config.algo.learner_agent if ours else "",
        "again": config.algo.learner_agent if app.reanalyse_count else "",
        "algo": app.algo,
    }


class Trial:
    """Begins to build at once, while other checks run. `verdict` waits for the result; `close` ends it in any case.

    resumed: the run that goes on, whose models must fit `conf` with `overrides`; None: a new run.
    """

    def __init__(
        self,
        config: Config,
        resumed: RunDir | None = None,
        conf: Path = DEFAULT_CONF,
        overrides: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._app = config.app.app
        request = request_of(config)
        if resumed is not None:
            request |= {"conf": str(conf), "overrides": dict(overrides), "ckpt": str(resumed.ckpt)}
        self._builder = take()
        self._builder.request(json_text(request))

    def verdict(self) -> str:
        """A note for the user, or "".

        Raises ConfigError: the environment cannot be built, or the run's models do not fit.
        """
        try:
            code = self._builder.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            return f"app = {self._app!r} was not built within {LIMIT_S:.0f} s; the start goes on without having seen it"
        os.set_blocking(self._builder.answer, False)  # a child process of the environment may hold the other end open
        with suppress(BlockingIOError), os.fdopen(os.dup(self._builder.answer), "rb") as file:
            text = file.read() or b""
            if text:
                answer = json.loads(text)
                if "error" in answer:
                    raise ConfigError(
                        f"{self._subject()} cannot be started: {answer['error'].rstrip()}\nNothing was started."
                    )
                return str(answer.get("note", ""))
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise ConfigError(
            f"{self._subject()} ended the process that built it ({how}), so every aisrv would end, too. Nothing was "
            "started. Remove what ends it (a crash in compiled code, a call of exit). Its last lines:\n"
            f"{self._last_lines()}"
        )

    def close(self) -> None:
        """Ends the process if it still builds, with its children."""
        self._builder.close()

    def _subject(self) -> str:
        return f"app = {self._app!r}"

    def _last_lines(self) -> str:
        self._builder.said.seek(0)
        lines = self._builder.said.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_LAST_LINES:]) or "(nothing)"
