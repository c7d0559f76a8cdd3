"""What tools/evaluate.sh takes on the command line for the realm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kaimesh.contract.errors import ConfigError
from kaimesh.envs.interface import EvaluationOption


def _treasures(text: str) -> Mapping[str, Any]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if not match:
        raise ConfigError(
            f"--treasures {text!r} is no number of treasures, so nothing was played; write a number, such as 9, or a "
            "range, such as 3-9."
        )
    number = int(match[1]) if match[2] is None else [int(match[1]), int(match[2])]
    return {"treasure_random": 1, "treasure_num": number}


OPTIONS = [EvaluationOption("--treasures", "N", "how many are drawn: a number, or a range such as 3-9", _treasures)]
