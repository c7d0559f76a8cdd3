"""Vector instructions for compiled code, as its LLVM builder writes them: what LLVM's own vectoriser leaves scalar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

LANES = 8  # numbers of a vector


class Vectors:
    """Writes instructions with vectors of LANES numbers of one type, float32 or float64.

    context, builder: numba's code generation. number: a numba type. Places in arrays are counted in numbers.
    """

    def __init__(self, context: Any, builder: Any, number: Any) -> None:
        self._context, self._builder = context, builder
        self._number = context.get_value_type(number)
        self.kind = ir.VectorType(self._number, LANES)
        self._bytes = context.get_abi_sizeof(self._number)

    def data(self, array_type: Any, array: Any) -> Any:
        """The pointer to the numbers of a contiguous array."""
        return self._context.make_array(array_type)(self._context, self._builder, array).data

    def place(self, *parts: Any) -> Any:
        """The sum of places and distances."""
        found = parts[0]
        for part in parts[1:]:
            found = self._builder.add(found, part)
        return found

    def number(self, data: Any, place: Any) -> Any:
        """One number of `data`."""
        return self._builder.load(self._builder.gep(data, [place]))

    def load(self, data: Any, place: Any) -> Any:
        """LANES numbers of `data`."""
        return self._builder.load(self._pointer(data, place), align=self._bytes)

    def store(self, vector: Any, data: Any, place: Any) -> None:
        """Writes LANES numbers to `data`."""
        self._builder.store(vector, self._pointer(data, place), align=self._bytes)

    def splat(self, value: Any) -> Any:
        """A vector of equal numbers."""
        lone = self._builder.insert_element(ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined), value, _INT(0))
        return self._builder.shuffle_vector(lone, lone, whole([0] * LANES))

    def reduced(self, operation: str, vector: Any) -> Any:
        """One value of all lanes. operation: fmax or fmin (there must be no NaN), umin."""
        name = "i32" if isinstance(vector.type.element, ir.IntType) else {4: "f32", 8: "f64"}[self._bytes]
        kind = ir.FunctionType(vector.type.element, [vector.type])
        function = cgutils.get_or_insert_function(
            self._builder.module, kind, f"llvm.vector.reduce.{operation}.v{LANES}{name}"
        )
        return self._builder.call(function, [vector], fastmath=() if name == "i32" else ("nnan", "nsz"))

    def _pointer(self, data: Any, place: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(data, [place]), self.kind.as_pointer())


_INT = ir.IntType(32)


def whole(values: Sequence[int]) -> Any:
    """A constant vector of whole numbers."""
    return ir.Constant(ir.VectorType(_INT, LANES), list(values))
