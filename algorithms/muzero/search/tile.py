"""A tile of a matrix product as vector instructions: networks of a search are too small for BLAS, which copies its
operands first.

Columns of weights lie in panels, so that they are read one after the other:

    w = [panels, K, PANEL]    a layer's K inputs; the last panel is filled with zeros

Shape legend: K inputs; H outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kaimesh.algorithms.muzero.search.vectors import LANES, Vectors

_VECTORS = 2
PANEL = LANES * _VECTORS


def in_panels(w: np.ndarray) -> np.ndarray:
    """`w` `[K, H]` as one row of numbers, in panels."""
    inputs, outputs = w.shape
    wide = np.zeros((inputs, padded(outputs)), w.dtype)
    wide[:, :outputs] = w
    return wide.reshape(inputs, -1, PANEL).transpose(1, 0, 2).ravel()


def padded(outputs: int) -> int:
    """The columns that `outputs` columns take in panels."""
    return -(-outputs // PANEL) * PANEL


def _tile(rows: int, panels: int) -> Any:
    """`tile(x, x0, K, w, w0, starts, first, column, out0, step, floor)` for compiled code:
    `out = max(bias + x @ w, floor)`.

    x: has inputs and outputs; x0, out0: where the tile begins in each; step: from one of its `rows` rows to the next.
    w: has weights and biases; w0: where the weights begin. starts: where biases of rows begin; those of the tile's
    first row do at `starts[first] + column`. Every output is a sum over the inputs in their order, whatever the tile:
    rows beside a row change none of its bits.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, x0, inputs, w, w0, starts, first, column, out0, step, floor = args
        vectors, intp = Vectors(context, builder, signature.args[0].dtype), x0.type
        x, w, starts = (vectors.data(signature.args[i], args[i]) for i in (0, 3, 5))
        distances = [builder.mul(step, intp(row)) for row in range(rows)]
        parts = [(intp(panel * PANEL), intp(part * LANES)) for panel in range(panels) for part in range(_VECTORS)]
        weights = [vectors.place(w0, builder.mul(inputs, panel), part) for panel, part in parts]
        sums = []
        for row in range(rows):
            bias = vectors.place(vectors.number(starts, vectors.place(first, intp(row))), column)
            biases = [vectors.load(w, vectors.place(bias, *part)) for part in parts]
            sums.append([cgutils.alloca_once_value(builder, numbers) for numbers in biases])
        with cgutils.for_range(builder, inputs) as loop:
            here = builder.mul(loop.index, intp(PANEL))
            columns = [vectors.load(w, vectors.place(start, here)) for start in weights]
            for distance, totals in zip(distances, sums, strict=True):
                value = vectors.splat(vectors.number(x, vectors.place(x0, distance, loop.index)))
                for total, numbers in zip(totals, columns, strict=True):
                    product = builder.fmul(value, numbers, flags=("contract",))
                    builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
        least = vectors.splat(floor)
        for distance, totals in zip(distances, sums, strict=True):
            for total, part in zip(totals, parts, strict=True):
                value = builder.load(total)
                value = builder.select(builder.fcmp_ordered("<", value, least), least, value)
                vectors.store(value, x, vectors.place(out0, distance, *part))
        return context.get_dummy_value()

    @intrinsic
    def tile(
        _typing: Any, x: Any, x0: Any, inputs: Any, w: Any, w0: Any, starts: Any, first: Any, column: Any, out0: Any,
        step: Any, floor: Any,
    ) -> Any:  # fmt: skip
        return types.void(x, x0, inputs, w, w0, starts, first, column, out0, step, floor), code

    return tile


four_rows = _tile(4, 1)
one_row = _tile(1, 1)
wide_row = _tile(1, 4)
