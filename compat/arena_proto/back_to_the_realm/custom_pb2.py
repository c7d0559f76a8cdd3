"""Records of back_to_the_realm: plain objects, under the name of the generated module."""

from __future__ import annotations

from typing import Any, ClassVar

from ..records import Direction as RelativeDirection
from ..records import Distance as RelativeDistance
from ..records import FloatPoint as FloatPosition
from ..records import Point as Position
from ..records import Record
from ..records import Relative as RelativePosition

__all__ = ["FloatPosition", "Position", "RealmFeature", "RelativeDirection", "RelativeDistance", "RelativePosition"]


class RealmFeature(Record):
    """Features of one observation of generation G1."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "norm_pos": FloatPosition(),
        "grid_pos": Position(),
        "start_pos": RelativePosition(),
        "end_pos": RelativePosition(),
        "buff_pos": RelativePosition(),
        "treasure_pos": [],
        "obstacle_map": [],
        "memory_map": [],
        "treasure_map": [],
        "end_map": [],
    }
