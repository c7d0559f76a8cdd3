"""What an environment looks like to a network."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from kaimesh.contract import declared


class Part(NamedTuple):
    """One part of an observation that is flat bytes: an array of `shape` and `dtype` (numpy's string).

    bits: if above 0, each byte packs that many binary planes, bit 0 first; a network sees an image `[H, W]` packed this
    way as `[H, W, bits]`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bits: int = 0

    @property
    def nbytes(self) -> int:
        """Its size in an observation, in bytes."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)

    @property
    def width(self) -> int:
        """How many numbers a network gets from it, all binary planes included."""
        return math.prod(self.shape) * max(self.bits, 1)

    @property
    def channel_first(self) -> bool:
        """Whether the first of three axes holds the channels; assumed if it is smaller than the last one."""
        return len(self.shape) == 3 and self.shape[0] < self.shape[-1]

    @property
    def height_width(self) -> tuple[int, int]:
        """Height and width of an image."""
        return (self.shape[1], self.shape[2]) if self.channel_first else (self.shape[0], self.shape[1])

    @property
    def channels(self) -> int:
        """The number of channels of an image: binary planes, colours or stacked images."""
        if len(self.shape) == 2:
            return max(self.bits, 1)
        return self.shape[0] if self.channel_first else self.shape[2]


class Spaces(NamedTuple):
    """What a network needs to know of an environment's observations and actions. Plain data, for it is sent as JSON.

    obs_shape, obs_dtype: one observation; obs_dtype is numpy's string.
    action_kind: "discrete" or "continuous".
    action_size: number of actions, or of action dimensions.
    action_low, action_high: bounds, `[action_size]`, for continuous actions; empty otherwise.
    legal_actions: whether observations carry `legal_act`, bool `[action_size]`.
    parts: if an observation is bytes `[L]`, the arrays in these bytes, in order; empty: an observation is one array.
    players: P, how many take turns; above 1, requests and unrolls have the column `to_play`, and rewards `[..., P]`.
    symmetry: the kind of a board's images that are worth the same (contract/symmetry); "": it is not said.
    """

    obs_shape: tuple[int, ...]
    obs_dtype: str
    action_kind: str
    action_size: int
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    legal_actions: bool = False
    parts: tuple[Part, ...] = ()
    players: int = 1
    symmetry: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data; without `players` where there is one and without a symmetry that is not said, as older peers
        and models have it."""
        fields = self._asdict()
        if self.players == 1:
            del fields["players"]
        if not self.symmetry:
            del fields["symmetry"]
        return fields

    @classmethod
    def from_json(cls, data: Any) -> Spaces:
        """The inverse of `to_json()` through JSON.

        Raises SampleError: the data, which may come from anyone, is invalid.
        """
        found = declared.environment_of(data)
        return cls(
            obs_shape=tuple(found.obs_shape),
            obs_dtype=found.obs_dtype,
            action_kind=found.action_kind,
            action_size=found.action_size,
            action_low=tuple(found.action_low),
            action_high=tuple(found.action_high),
            legal_actions=found.legal_actions,
            parts=tuple(Part(name, dtype, tuple(shape), bits) for name, dtype, shape, bits in found.parts),
            players=found.players,
            symmetry=found.symmetry,
        )
