"""Actions, in configurations; the mesh reads nothing of them."""

from __future__ import annotations

from typing import Any, NamedTuple


class ActionSpec(NamedTuple):
    """space: an ArraySpec. pdclass: the distribution of the actions. name: free."""

    space: Any = None
    pdclass: Any = None
    name: str = ""


class Action:
    """For subclasses that describe an action."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        del args
        self.__dict__.update(fields)

    def get_action(self) -> Any:
        """The action's parts, by name."""
        return dict(self.__dict__)

    @staticmethod
    def action_space() -> Any:
        """For subclasses: an ActionSpec for each part."""
        return {}
