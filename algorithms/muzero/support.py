"""Values and rewards as networks give them: one number, or a distribution over a support of whole numbers.

A number x is learned as `h(x)` (appendix F of arXiv:1911.08265; arXiv:1805.11593, equation 1.1), which makes large
returns small and is about linear near 0. With a support of size S, the network gives logits of the whole numbers -S..S,
and a number between two of them has weight on both.

Functions with an argument `m` run on NumPy, and with `m = tf.math` on TensorFlow.

Shape legend: `*` leading axes; V outputs for one number: 2 S + 1, or 1 without a support.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kaimesh.algorithms.muzero.search.constants import TRANSFORM_EPSILON


def transform(x: Any, m: Any = np) -> Any:
    """`h(x) = sign(x) (sqrt(|x| + 1) - 1) + 0.001 x`."""
    return m.sign(x) * (m.sqrt(m.abs(x) + 1) - 1) + TRANSFORM_EPSILON * x


def inverse(y: Any, m: Any = np) -> Any:
    """The x with `transform(x) = y`: `sign(y) ((2 (|y| + 1 + e) / (u + 1))^2 - 1)`, `u = sqrt(1 + 4 e (|y| + 1 + e))`.

    The paper's form of it, `((u - 1) / (2 e))^2 - 1`, is the same number, but loses three digits in float32.
    """
    shifted = m.abs(y) + (1 + TRANSFORM_EPSILON)
    u = m.sqrt(1 + (4 * TRANSFORM_EPSILON) * shifted)
    return m.sign(y) * ((2 * shifted / (u + 1)) ** 2 - 1)


def numbers(size: int) -> np.ndarray:
    """The support: float32 `[2 S + 1]`."""
    return np.arange(-size, size + 1, dtype=np.float32)


def decode(heads: np.ndarray, size: int, transformed: bool) -> np.ndarray:
    """The numbers that `heads` float32 `[*, V]` stand for, float32 `[*]`. size: S, 0 without a support."""
    y = heads[..., 0]
    if size:
        weight = np.exp(heads - heads.max(-1, keepdims=True))
        y = weight @ numbers(size) / weight.sum(-1)
    found: np.ndarray = inverse(y) if transformed else y
    return found
