"""Arrays and tuples of arrays without references to their memory, for compiled code inside a function that has some:
counting references costs as much as choosing an action. They may not leave that function.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def whole(_typing: Any, bundle: Any) -> Any:
    """`bundle`, a contiguous array or a NamedTuple of such and of numbers."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _each(context, builder, signature.return_type, args[0], None, None)

    return bundle(bundle), code


@intrinsic
def part(_typing: Any, bundle: Any, first: Any, last: Any) -> Any:
    """The rows from `first` up to `last` of `bundle`, a contiguous array or a NamedTuple of such."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _each(context, builder, signature.return_type, *args)

    return bundle(bundle, first, last), code


def _each(context: Any, builder: Any, kind: Any, value: Any, first: Any, last: Any) -> Any:
    if isinstance(kind, types.Array):
        return _array(context, builder, kind, value, first, last)
    if not isinstance(kind, types.BaseTuple):
        return value
    items = [
        _each(context, builder, of, builder.extract_value(value, i), first, last) for i, of in enumerate(kind.types)
    ]
    return context.make_tuple(builder, kind, items)


def _array(context: Any, builder: Any, kind: Any, value: Any, first: Any, last: Any) -> Any:
    array = context.make_array(kind)(context, builder, value)
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    array.parent = cgutils.get_null_value(array.parent.type)
    if first is not None:
        shape = cgutils.unpack_tuple(builder, array.shape)
        size = first.type(1)
        for length in shape[1:]:
            size = builder.mul(size, length)
        rows = builder.sub(last, first)
        array.data = builder.gep(array.data, [builder.mul(first, size)])
        array.nitems = builder.mul(rows, size)
        array.shape = cgutils.pack_array(builder, [rows, *shape[1:]])
    return array._getvalue()
