"""Library calls by rows: what NumPy computes row by row, or sums over rows, run among sweeps.

Such a call runs over tiles of rows, whose number of rows depends on the equation alone and not on
the limit of memory or the number of threads. So each call of a library has the same shapes in every
run, and its result has the same bits: BLAS rounds differently for other numbers of rows. Sums over
rows are made tile by tile in order, and kept in float64 for each segment.

Matrices of few rows are multiplied as a whole: a tile has a cost besides its rows (the other matrix
is packed, a sum is added to its total), which must be small in comparison.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument, SweepSource
from gpuad.codegen.views import size_of
from gpuad.executors.native.library_calls import ufunc_of
from gpuad.executors.row_tiles import acts_on_pieces, equation_of
from gpuad.executors.workspace import layout_of, of_call, strided
from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation, Literal, Var
from gpuad.ir.interpret import evaluate
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation

LEAST_BYTES = 1 << 18
"""Calls on fewer bytes than this are made as a whole."""
TILE_BYTES = 1 << 20
"""Bytes of the rows of a tile: large enough for the few µs that a call takes to begin."""
PRODUCT_BYTES = 1 << 18
"""Bytes of the rows of a tile of a product, if these are at least `PRODUCT_ROWS`."""
PRODUCT_ROWS = 1 << 8
"""The least rows of a tile of a product: packing the other matrix then takes 1/256 of the work."""
SUM_ROWS = 1 << 9
"""The least rows of a tile of a product that is summed over rows."""
SEGMENTS_OF_SUMS = 4
"""The most segments of rows where totals, of which each segment has its own, are large."""
MULTIPLICATIONS = 16
"""Multiplications of a product that take as long as reading a value."""
CALL_VALUES = 4
"""How many times as long as reading it other operations take for a value."""


class RowCall:
    """An equation that the library computes tile by tile, in the form of a sweep."""

    def __init__(self, s: SweepEquation, rows: int):
        self.equation = e = s.equation
        (v,) = e.outputs
        reads = {(x, *_kind_and_axis(u)): _read(x, u) for x, u in _variables(s)}
        order = list(reads)
        # The value of a literal, or the position of an operand among the arguments (an int).
        self._operands: list[Any] = [
            x.value if type(x) is Literal else order.index((x, *_kind_and_axis(u)))
            for x, u in zip(e.operands, s.uses, strict=True)
        ]
        self._reads = list(reads.values())
        out = Argument("", v, "sum" if s.axis is None else "rows", s.axis)
        writes, sums = ([], [out]) if s.axis is None else ([out], [])
        block = tile_rows(s, rows)
        self.source = SweepSource("", self._reads, writes, sums, {}, block, True, _work(s, rows))
        self._out = out
        self._matrix = _as_matrix(s)
        self._direct = _function_into(s)
        self.tile_bytes = self._temporaries(s, min(block, rows))

    def _temporaries(self, s: SweepEquation, n: int) -> int:
        """The temporary memory of a tile of `n` rows."""
        tile = equation_of(s, n)
        e = s.equation
        if self._matrix is not None or (
            self._direct is not None and e.primitive.role is not Role.CONTRACTION
        ):
            return 0
        operands = [
            layout_of(x.aval) if not u.axis else _rows_first(x.aval, u.axis)
            for x, u in zip(tile.operands, s.uses, strict=True)
        ]
        return of_call(tile, operands) + tile.outputs[0].aval.nbytes

    def own_scratch(self) -> list[Any]:
        """None: the temporary memory of a tile is NumPy's own."""
        return []

    def function(self, *arguments: Any) -> None:
        """As that of a `Sweep`: of flat arrays and totals, and a range of rows. An operand that is
        the same for all rows is not flat."""
        *arrays, lo, hi = arguments
        with np.errstate(all="ignore"):
            for start in range(lo, hi, self.source.block):
                self._tile(arrays, start, min(start + self.source.block, hi))

    def _tile(self, arrays: Sequence[Any], start: int, stop: int) -> None:
        values = [
            _rows(x, a, start, stop) if a.kind == "rows" else x
            for x, a in zip(arrays, self._reads, strict=False)
        ]
        *_, out = arrays
        if self._out.kind == "sum":
            out += self._evaluated(values, 0).reshape(-1)
        elif self._matrix is not None:
            self._multiplied(values, out, start, stop)
        elif self._direct is not None:
            operands = [values[x] if type(x) is int else x for x in self._operands]
            self._direct(operands, _rows(out, self._out, start, stop))
        else:
            _rows(out, self._out, start, stop)[...] = self._evaluated(values, stop - start)

    def _evaluated(self, values: Sequence[Any], n: int) -> Any:
        e = self.equation
        operands = [values[x] if type(x) is int else x for x in self._operands]
        params = e.primitive.resized(e.params, self._out.axis or 0, n) if n else e.params
        tile = Equation(e.primitive, e.operands, params, e.outputs, e.where)
        return evaluate(tile, np, operands)[0]

    def _multiplied(self, values: Sequence[Any], out: Any, start: int, stop: int) -> None:
        """The product of the rows as one matrix, written where it belongs."""
        assert self._matrix is not None
        side, turned, lanes, columns = self._matrix
        mine, other = self._operands[side], self._operands[1 - side]
        a = self._reads[mine]
        x = values[mine]
        x = np.moveaxis(x, a.axis, 0) if a.axis else x
        y = values[other].T if turned else values[other]
        size = size_of(inner(self._out.var.aval.shape, self._out.axis))
        target = out[size * start : size * stop].reshape(-1, columns)
        np.dot(x.reshape(-1, lanes), y, out=target)


def _variables(s: SweepEquation) -> list[tuple[Var, Any]]:
    pairs = zip(s.equation.operands, s.uses, strict=True)
    return [(x, u) for x, u in pairs if type(x) is Var]


def _kind_and_axis(use: Any) -> tuple[str, int | None]:
    """How a call takes an operand, as `Argument` has it."""
    return ("whole", None) if use.axis is None else ("rows", use.axis)


def _read(x: Var, use: Any) -> Argument:
    return Argument("", x, *_kind_and_axis(use))


def _rows(flat: Any, a: Argument, start: int, stop: int) -> Any:
    """Some rows of a flat array, with the row axis at the place where the value has it."""
    shape = inner(a.var.aval.shape, a.axis)
    size = size_of(shape)
    x = flat[size * start : size * stop].reshape(stop - start, *shape)
    return np.moveaxis(x, 0, a.axis) if a.axis else x


def _rows_first(aval: Any, axis: int) -> np.ndarray:
    shape = (aval.shape[axis], *inner(aval.shape, axis))
    return np.moveaxis(strided(shape, aval.dtype), 0, axis)


# Which calls


def row_call(s: SweepEquation, rows: int) -> RowCall | None:
    """An equation on whole arrays as a call by rows, if that is possible and worth it."""
    if all(u.axis is None for u in s.uses) or not _large(s) or not _is_separable(s, rows):
        return None
    return RowCall(s, rows) if acts_on_pieces(s, rows) else None


def _large(s: SweepEquation) -> bool:
    sizes = [x.aval.nbytes for x, u in _variables(s) if u.axis is not None]
    if s.axis is not None:
        sizes.append(s.equation.outputs[0].aval.nbytes)
    values = (*s.equation.operands, *s.equation.outputs)
    return sum(sizes) >= LEAST_BYTES and all(x.aval.size for x in values)


def _is_separable(s: SweepEquation, rows: int) -> bool:
    """Whether a product has enough rows for tiles, and a sum is small beside what is read."""
    e = s.equation
    if s.axis is not None:
        return not _is_product(s) or rows >= 4 * PRODUCT_ROWS
    (v,) = e.outputs
    read = sum(x.aval.nbytes for x in e.operands)
    totals = 8 * SEGMENTS_OF_SUMS * v.aval.size
    floating = v.aval.dtype in (np.dtype("f4"), np.dtype("f8"))
    return (
        e.primitive.role is Role.CONTRACTION
        and floating
        and rows >= 4 * SUM_ROWS
        and totals <= 2 * read
    )


def _is_product(s: SweepEquation) -> bool:
    """Whether this is a product of all rows with one matrix, or one that is summed over rows."""
    if s.equation.primitive.role is not Role.CONTRACTION or not s.equation.params["contract"][0]:
        return False
    batch = s.equation.params["batch"]
    return not any(u.axis in b for u, b in zip(s.uses, batch, strict=True))


def tile_rows(s: SweepEquation, rows: int) -> int:
    """Rows of a tile: a power of two."""
    row_bytes = sum(x.aval.nbytes // rows for x, u in _variables(s) if u.axis is not None)
    if s.axis is not None:
        row_bytes += s.equation.outputs[0].aval.nbytes // rows
    tile_bytes, least = TILE_BYTES, 1
    if _is_product(s):
        tile_bytes, least = PRODUCT_BYTES, SUM_ROWS if s.axis is None else PRODUCT_ROWS
    n = max(least, tile_bytes // max(1, row_bytes))
    return 1 << (n.bit_length() - 1)


def _work(s: SweepEquation, rows: int) -> int:
    """The work for a row, in values read."""
    e = s.equation
    values = sum(x.aval.size for x in (*e.operands, *e.outputs)) // rows
    if e.primitive.role is not Role.CONTRACTION:
        return CALL_VALUES * values
    return max(values, contraction_of(e).multiplications // (MULTIPLICATIONS * rows))


# Products


def _as_matrix(s: SweepEquation) -> tuple[int, bool, int, int] | None:
    """A product of rows as a product of two matrices, or None.

    Gives which operand has the rows, whether the other one is transposed, and the lengths of a row
    and of a row of the result.
    """
    if not _is_product(s) or s.axis is None:
        return None
    side = 0 if s.uses[0].axis is not None else 1
    x, y = s.equation.operands[side], s.equation.operands[1 - side]
    contract = s.equation.params["contract"]
    if s.equation.params["batch"][0] or len(contract[0]) != 1 or y.aval.ndim != 2:
        return None
    use = s.uses[side]
    lanes = [k for k in range(x.aval.ndim) if k != use.axis]
    straight = x.aval.ndim == 2 or (side == 0 and use.axis == 0)
    if lanes[-1:] != [contract[side][0]] or not straight:
        return None
    turned = contract[1 - side][0] == 1
    shared = y.aval.shape[contract[1 - side][0]]
    return side, turned, shared, y.aval.size // shared


# Results written to given memory


def _function_into(s: SweepEquation) -> Callable[[Sequence[Any], Any], Any] | None:
    """A function of operands and the array for the result, if NumPy can write into an array."""
    e = s.equation
    if s.axis is None:
        return None
    if e.primitive.role is Role.CONTRACTION:
        return _batches(e) if s.axis == 0 and e.params["contract"][0] else None
    ufunc = ufunc_of(e)
    return None if ufunc is None else lambda operands, out: ufunc(*operands, out=out)


def _batches(e: Equation) -> Callable[[Sequence[Any], Any], Any] | None:
    """A batch of matrix products, of which the rows are the first batch axis."""
    c = contraction_of(e)
    if not c.batch[0]:
        return None
    (x_order, x_shape), (y_order, y_shape) = c.forms
    lead = [c.x[i] for i in c.batch[0][1:]]

    def run(operands: Sequence[Any], out: Any) -> None:
        a, b = operands
        n = len(out)
        a = a.transpose(x_order).reshape((n, *lead, *x_shape[1:]))
        b = b.transpose(y_order).reshape((n, *lead, *y_shape[1:]))
        np.matmul(a, b, out=out.reshape((n, *lead, c.n, c.m)))

    return run
