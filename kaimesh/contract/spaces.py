"""What an environment looks like to a network."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from kaimesh.contract import declared


class Part(NamedTuple):
    """A part of a flat observation of bytes: `shape` of `dtype`, numpy's string.

    bits: above 0, each byte holds so many planes, bit 0 first. An image `[H, W]` so packed is `[H, W, bits]` to a network.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bits: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of it in an observation."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)

    @property
    def width(self) -> int:
        """Numbers in it, with every plane counted."""
        return math.prod(self.shape) * max(self.bits, 1)

    @property
    def channel_first(self) -> bool:
        """Of an image of three axes: whether its first is its channels; it is, where it is smaller than the last (Atari: [4, 84, 84])."""
        return len(self.shape) == 3 and self.shape[0] < self.shape[-1]

    @property
    def height_width(self) -> tuple[int, int]:
        """Of an image."""
        return (self.shape[1], self.shape[2]) if self.channel_first else (self.shape[0], self.shape[1])

    @property
    def channels(self) -> int:
        """Of an image: planes, colours or frames."""
        if len(self.shape) == 2:
            return max(self.bits, 1)
        return self.shape[0] if self.channel_first else self.shape[2]


class Spaces(NamedTuple):
    """What an environment looks like to a network; travels in handshakes, so it holds plain data only.

    obs_shape, obs_dtype: one observation; obs_dtype is numpy's string.
    action_kind: "discrete" or "continuous".
    action_size: number of actions, or of action dimensions.
    action_low, action_high: bounds, `[action_size]`, for continuous actions; empty otherwise.
    legal_actions: whether observations carry `legal_act`, bool `[action_size]`.
    parts: of an observation that is bytes `[L]`, what these are, one after the other; empty: it is one array.
    """

    obs_shape: tuple[int, ...]
    obs_dtype: str
    action_kind: str
    action_size: int
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    legal_actions: bool = False
    parts: tuple[Part, ...] = ()

    @classmethod
    def from_json(cls, data: Any) -> Spaces:
        """The inverse of `_asdict()` through JSON; the data may come from a stranger. Raises SampleError: no environment looks so."""
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
        )
