"""Records of back_to_the_realm_v2: plain objects, under the name of the generated module."""

from ..records import Direction as RelativeDirection
from ..records import Distance as RelativeDistance
from ..records import FloatPoint as FloatPosition
from ..records import Point as Position
from ..records import Relative as RelativePosition

__all__ = ["FloatPosition", "Position", "RelativeDirection", "RelativeDistance", "RelativePosition"]
