"""The folder of agents that a command names by --code, and the libraries that its code needs."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Mapping
from pathlib import Path

from kaimesh import IN_CHECKOUT, ROOT
from kaimesh.config.code import Code, importing
from kaimesh.config.reading import parse
from kaimesh.contract.errors import ConfigError
from kaimesh.operate.cli.stop import Say

_SAID = ("app", "algo", "code_generation")  # what the user may say that the folder would


def code_of(path: Path, overrides: Mapping[str, str], say: Say) -> Code:
    """The folder of agents at `path`. What its code imports and kaimesh does not need itself is installed, and `say`
    is told so. Raises ConfigError: it is no such folder, or that cannot be installed.
    """
    said = {key: parse(overrides.get(key, ""), str) for key in _SAID}
    code = Code.read(path, app=said["app"], algo=said["algo"], generation=said["code_generation"])
    if importing.uses(code.root, "torch") and importlib.util.find_spec("torch") is None:
        _install(code, say)
    return code


def _install(code: Code, say: Say) -> None:
    """Installs PyTorch, the extra `torch`. Raises ConfigError: that failed, or there is no checkout."""
    command = "tools/setup.sh torch"
    if IN_CHECKOUT:
        say(f"{code.root} imports torch, which is not installed here: running {command}")
        if subprocess.run([str(ROOT / "tools/setup.sh"), "torch"], cwd=ROOT).returncode == 0:
            importlib.invalidate_caches()
            return
    remedy = f"Run {command}, and look at what it says" if IN_CHECKOUT else 'Install kaimesh with it: "kaimesh[torch]"'
    raise ConfigError(
        f"{code.root} imports torch, which is not installed, so no process could load the agents, and nothing was "
        f"started. {remedy}."
    )
