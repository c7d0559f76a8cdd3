"""States, in configurations; the mesh reads nothing of them."""

from __future__ import annotations

from typing import Any


class State:
    """For subclasses that describe a state."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        del args
        self.__dict__.update(fields)

    def get_state(self) -> Any:
        """The state's parts, by name."""
        return dict(self.__dict__)

    @staticmethod
    def state_space() -> Any:
        """For subclasses: an ArraySpec for each part."""
        return {}
