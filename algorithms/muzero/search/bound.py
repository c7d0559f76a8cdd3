"""The choice of an action by its upper bound, as vector instructions: a search spends most of its own time here."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kaimesh.algorithms.muzero.search.tree import PRIOR, VISITS, Q
from kaimesh.algorithms.muzero.search.vectors import LANES, Vectors, whole


@intrinsic
def highest(
    _typing: Any, edges: Any, start: Any, width: Any, factor: Any, least: Any, scale: Any, unvisited: Any
) -> Any:
    """The first action with the largest `(q - least) * scale + factor * prior / (visits + 1)`; none with prior 0.

    edges: a tree's; start: where those of a node begin in it, counted in numbers; width: W. unvisited: q of an action
    that was not tried.
    """
    signature = types.intp(edges, start, width, factor, least, scale, unvisited)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        edges, start, width, factor, least, scale, unvisited = args
        vectors = Vectors(context, builder, signature.args[0].dtype)
        data, intp = vectors.data(signature.args[0], edges), width.type
        factor, least, scale, unvisited = map(vectors.splat, (factor, least, scale, unvisited))
        zero, one = (ir.Constant(vectors.kind, [value] * LANES) for value in (0.0, 1.0))
        best = cgutils.alloca_once_value(builder, ir.Constant(vectors.kind, [-np.inf] * LANES))
        place = cgutils.alloca_once_value(builder, whole([0] * LANES))
        rows = {row: vectors.place(start, builder.mul(width, intp(row))) for row in (PRIOR, Q, VISITS)}
        with cgutils.for_range_slice(builder, intp(0), width, intp(LANES), intp) as (a, _):
            prior, q, visits = (vectors.load(data, vectors.place(rows[row], a)) for row in (PRIOR, Q, VISITS))
            q = builder.select(builder.fcmp_ordered(">", visits, zero), q, unvisited)
            exploring = builder.fdiv(builder.fmul(factor, prior), builder.fadd(visits, one))
            score = builder.fadd(builder.fmul(builder.fsub(q, least), scale), exploring)
            better = builder.fcmp_ordered(">", score, builder.load(best))
            better = builder.and_(better, builder.fcmp_ordered(">", prior, zero))
            actions = builder.add(vectors.splat(builder.trunc(a, ir.IntType(32))), whole(range(LANES)))
            builder.store(builder.select(better, score, builder.load(best)), best)
            builder.store(builder.select(better, actions, builder.load(place)), place)
        largest = vectors.splat(vectors.reduced("fmax", builder.load(best)))
        among = builder.fcmp_ordered("==", builder.load(best), largest)
        first = builder.select(among, builder.load(place), whole([2**31 - 1] * LANES))
        return builder.zext(vectors.reduced("umin", first), intp)

    return signature, code


@intrinsic
def range_of(_typing: Any, edges: Any, start: Any, width: Any, mean: Any) -> Any:
    """The least and the largest of a node's value `mean` and the q of its visited actions. edges, start, width: as
    above.
    """
    signature = types.UniTuple(edges.dtype, 2)(edges, start, width, mean)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        edges, start, width, mean = args
        vectors = Vectors(context, builder, signature.args[0].dtype)
        data, intp = vectors.data(signature.args[0], edges), width.type
        mean, zero = vectors.splat(mean), ir.Constant(vectors.kind, [0.0] * LANES)
        least, most = cgutils.alloca_once_value(builder, mean), cgutils.alloca_once_value(builder, mean)
        rows = {row: vectors.place(start, builder.mul(width, intp(row))) for row in (Q, VISITS)}
        with cgutils.for_range_slice(builder, intp(0), width, intp(LANES), intp) as (a, _):
            q, visits = (vectors.load(data, vectors.place(rows[row], a)) for row in (Q, VISITS))
            q = builder.select(builder.fcmp_ordered(">", visits, zero), q, mean)
            for place, sign in ((least, "<"), (most, ">")):
                before = builder.load(place)
                builder.store(builder.select(builder.fcmp_ordered(sign, q, before), q, before), place)
        ends = vectors.reduced("fmin", builder.load(least)), vectors.reduced("fmax", builder.load(most))
        return context.make_tuple(builder, signature.return_type, ends)

    return signature, code
