"""Library calls by rows: what NumPy does for each row apart, or sums over the rows, among sweeps.

Such a call runs over tiles of so many rows as the plan says, whatever the limit of memory and the
number of threads. Each call of a library then has the same shapes in every run, and its result the
same bits: BLAS rounds differently with other numbers of rows. Sums over rows are made tile by tile
in order, and kept in float64 for each segment.

Short matrices are multiplied as a whole, for what a tile costs apart from its rows (the other
matrix is packed, a sum is added to its total) has to be little beside them.
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
"""Calls on less than this are made as a whole."""
TILE_BYTES = 1 << 20
"""What the rows of a tile take: a call takes some µs to begin."""
PRODUCT_BYTES = 1 << 18
"""The same of a product, if they are not too few to multiply."""
PRODUCT_ROWS = 1 << 8
"""Rows of a tile that is multiplied, at least: packing the other matrix takes 1/256 of the work."""
SUM_ROWS = 1 << 9
"""The same where a product is summed over rows."""
SEGMENTS_OF_SUMS = 4
"""Segments of rows, each with its totals, where totals are large."""
MULTIPLICATIONS = 16
"""Multiplications of a product that take as long as reading a value."""
CALL_VALUES = 4
"""How many times as long as reading a value other operations take for each."""


class RowCall:
    """An equation that the library computes tile by tile, in the form of a sweep."""

    def __init__(self, s: SweepEquation, rows: int):
        self.equation = e = s.equation
        (v,) = e.outputs
        reads = {(x, *_way(u)): _read(x, u) for x, u in _variables(s)}
        order = list(reads)
        # A number, or which argument it is.
        self._operands: list[Any] = [
            x.value if type(x) is Literal else order.index((x, *_way(u)))
            for x, u in zip(e.operands, s.uses, strict=True)
        ]
        self._reads = list(reads.values())
        out = Argument("", v, "sum" if s.axis is None else "rows", s.axis)
        writes, sums = ([], [out]) if s.axis is None else ([out], [])
        block = tile_rows(s, rows)
        self.source = SweepSource("", self._reads, writes, sums, {}, block, True, _work(s, rows))
        self._out = out
        self._matrix = _as_matrix(s)
        self._direct = _into(s)
        self.tile_bytes = self._temporaries(s, min(block, rows))

    def _temporaries(self, s: SweepEquation, n: int) -> int:
        """What a tile takes beside its operands and its result."""
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
        """What a tile takes is NumPy's own."""
        return []

    def function(self, *arguments: Any) -> None:
        """As a sweep's: of flat arrays, those that are the same for all rows apart, and totals."""
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


def _way(use: Any) -> tuple[str, int | None]:
    """How a call takes an operand."""
    return ("whole", None) if use.axis is None else ("rows", use.axis)


def _read(x: Var, use: Any) -> Argument:
    return Argument("", x, *_way(use))


def _rows(flat: Any, a: Argument, start: int, stop: int) -> Any:
    """Some rows of an array that lies flat, with its axes where they belong."""
    shape = inner(a.var.aval.shape, a.axis)
    size = size_of(shape)
    x = flat[size * start : size * stop].reshape(stop - start, *shape)
    return np.moveaxis(x, 0, a.axis) if a.axis else x


def _rows_first(aval: Any, axis: int) -> np.ndarray:
    shape = (aval.shape[axis], *inner(aval.shape, axis))
    return np.moveaxis(strided(shape, aval.dtype), 0, axis)


# Which calls


def row_call(s: SweepEquation, rows: int) -> RowCall | None:
    """The call by rows of an equation on whole arrays, if it is worth it."""
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
    """Whether rows are many enough for tiles of a product; and sums small beside what is read."""
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
    """Whether all rows are multiplied by one matrix, or summed over."""
    if s.equation.primitive.role is not Role.CONTRACTION or not s.equation.params["contract"][0]:
        return False
    batch = s.equation.params["batch"]
    return not any(u.axis in b for u, b in zip(s.uses, batch, strict=True))


def tile_rows(s: SweepEquation, rows: int) -> int:
    """Rows of a tile: a power of two."""
    bytes_ = [x.aval.nbytes // rows for x, u in _variables(s) if u.axis is not None]
    if s.axis is not None:
        bytes_.append(s.equation.outputs[0].aval.nbytes // rows)
    wanted = (PRODUCT_BYTES if _is_product(s) else TILE_BYTES) // max(1, sum(bytes_))
    least = 1 if not _is_product(s) else PRODUCT_ROWS if s.axis is not None else SUM_ROWS
    n = max(least, wanted)
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
    """How a product of rows is one of two matrices: which operand has the rows, whether the other
    is transposed, and the lanes that are contracted and made. None if it is not."""
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


# Results made where they belong


def _into(s: SweepEquation) -> Callable[[Sequence[Any], Any], Any] | None:
    """A function of operands and of the array that the result is written to, if NumPy has one."""
    e = s.equation
    if s.axis is None:
        return None
    if e.primitive.role is Role.CONTRACTION:
        return _batches(e) if s.axis == 0 and e.params["contract"][0] else None
    ufunc = ufunc_of(e)
    return None if ufunc is None else lambda operands, out: ufunc(*operands, out=out)


def _batches(e: Equation) -> Callable[[Sequence[Any], Any], Any] | None:
    """Products of many matrices, the rows being the first axis along which they are many."""
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
