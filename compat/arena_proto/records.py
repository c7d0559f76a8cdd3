"""Records and whole-number enums with the members that protobuf's have, as plain Python objects."""

from __future__ import annotations

import copy
from enum import IntEnum
from typing import Any, ClassVar


class Record:
    """Attributes that may be read and set, each with a default; the constructor takes them by name.

    Any other name may be given or set as well.
    """

    FIELDS: ClassVar[dict[str, Any]] = {}

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(copy.deepcopy(self.FIELDS))
        self.__dict__.update(fields)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.__dict__.items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # it may change

    def CopyFrom(self, other: Record) -> None:
        """Takes all attributes of `other`."""
        self.__dict__.clear()
        self.__dict__.update(copy.deepcopy(other.__dict__))


class Enum(IntEnum):
    """Whole numbers with names, and protobuf's functions from one to the other."""

    @classmethod
    def Name(cls, number: int) -> str:
        """The name of a number. Raises ValueError: it has none."""
        return cls(number).name

    @classmethod
    def Value(cls, name: str) -> int:
        """The number of a name. Raises KeyError: it has none."""
        return int(cls[name])

    @classmethod
    def keys(cls) -> list[str]:
        """All names."""
        return [one.name for one in cls]

    @classmethod
    def values(cls) -> list[int]:
        """All numbers."""
        return [int(one) for one in cls]

    @classmethod
    def items(cls) -> list[tuple[str, int]]:
        """All names with their numbers."""
        return [(one.name, int(one)) for one in cls]


class Direction(Enum):
    """Where something lies, counter-clockwise from the East."""

    RELATIVE_DIRECTION_NONE = 0
    East = 1
    NorthEast = 2
    North = 3
    NorthWest = 4
    West = 5
    SouthWest = 6
    South = 7
    SouthEast = 8


class Distance(Enum):
    """How far away something is."""

    RELATIVE_DISTANCE_NONE = 0
    VerySmall = 1
    Small = 2
    Medium = 3
    Large = 4
    VeryLarge = 5


class Point(Record):
    """x to the East, z to the North, in cells or units."""

    FIELDS: ClassVar[dict[str, Any]] = {"x": 0, "z": 0}


class FloatPoint(Record):
    """x to the East, z to the North."""

    FIELDS: ClassVar[dict[str, Any]] = {"x": 0.0, "z": 0.0}


class Relative(Record):
    """Where something lies from the hero: Direction, two Distances, and the shortest path in cells / 256."""

    FIELDS: ClassVar[dict[str, Any]] = {"direction": 0, "l2_distance": 0, "path_distance": 0, "grid_distance": 0.0}
