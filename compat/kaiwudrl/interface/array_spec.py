"""The shape and type of an array, in configurations."""

from __future__ import annotations

from typing import Any, NamedTuple


class ArraySpec(NamedTuple):
    """shape: of one row. dtype: as numpy takes it. name: free."""

    shape: Any = ()
    dtype: Any = None
    name: str = ""
