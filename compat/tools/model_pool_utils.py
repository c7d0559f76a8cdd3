"""The opponents that kaiwu.json names."""

from __future__ import annotations

import json
from typing import Any


def get_valid_model_pool(logger: Any = None) -> list[int]:
    """The ids in `model_pool` of kaiwu.json; empty: it names none, or there is no such file, which is logged."""
    try:
        with open("kaiwu.json", encoding="utf-8") as file:
            found = json.load(file).get("model_pool", [])
    except (OSError, ValueError, AttributeError) as error:
        if logger is not None:
            logger.error(f"kaiwu.json cannot be read, so there are no opponents: {error}")
        return []
    return [int(one) for one in found]
