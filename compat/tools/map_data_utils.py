"""Reads tables of transitions."""

from __future__ import annotations

import json
import os
from typing import Any


def read_map_data(path: str | os.PathLike[str]) -> Any:
    """The transitions in a JSON file: `F[str(state)][str(action)]` is `[next_state, reward, done]`; state x * 64 + z,
    and the end has no entry. Raises OSError, ValueError: the file cannot be read, or is no JSON.
    """
    with open(path, encoding="utf-8") as file:
        return json.load(file)
