"""Distributions that configurations name; the mesh reads nothing of them."""

from __future__ import annotations

from typing import Any


class CategoricalDist:
    """Keeps its arguments."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        self.args, self.fields = args, fields
