"""Library calls by rows on a GPU: products, sorts and the like among the kernels of a pass.

Such a call runs over tiles of rows, whose length depends on the plan alone and not on a limit of
memory. So calls of the library have the same shapes, and results the same bits: cuBLAS chooses the
order of its sums by the number of rows, too. A tile takes much longer than its launch. What has
fewer rows than two tiles is called as a whole.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument
from gpuad.executors.cuda.cublas import Gemm, Product, is_product
from gpuad.executors.cuda.scatter import Scatter, is_scatter, temporary_bytes
from gpuad.executors.row_tiles import acts_on_pieces, equation_of
from gpuad.executors.workspace import layout_of, of_call
from gpuad.ir.graph import Equation, Literal, Var
from gpuad.ir.interpret import evaluate
from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation, Use

TILE_BYTES = 1 << 26
"""Bytes that the widest call reads and writes for a tile: some 20 µs of work."""
LEAST_ROWS = 1 << 6
"""Rows of a tile, at least: each tile begins where memory is aligned."""
PRODUCT_ROWS = 1 << 10
"""The same where rows are multiplied: the other matrix is read for each tile."""
SUMMED = 8
"""How many times as large as its result the tile of a product that sums over rows is, at least."""
SMALL_ARRAYS = 1 << 12
"""Bytes by which the sizes of several arrays of a call may be rounded up, together."""


class RowCalls:
    """Which library calls of a plan act by rows, and on how many at a time."""

    def __init__(self, found: Mapping[Equation, SweepEquation]):
        by_rows = {e: s for e, s in found.items() if _has_rows(s) and acts_on_pieces(s, rows_of(s))}
        rows = [rows_of(s) for s in by_rows.values()]
        self.rows = rows[0] if rows else 0
        self.tile = tile_rows(by_rows.values(), self.rows) if rows else 0
        enough = self.rows >= 2 * self.tile
        self.found = {e: s for e, s in by_rows.items() if enough and _worth_it(s, self.tile)}


def rows_of(s: SweepEquation) -> int:
    return next(
        x.aval.shape[u.axis]
        for x, u in zip(s.equation.operands, s.uses, strict=True)
        if u.axis is not None
    )


def tile_rows(calls: Iterable[SweepEquation], rows: int) -> int:
    """Rows of a tile, a power of two: the same for all calls, so that they can run together."""
    widest = max([row_bytes(s, rows) for s in calls])
    products = any(_joins_rows(s) for s in calls)
    least = PRODUCT_ROWS if products else LEAST_ROWS
    return 1 << (max(least, TILE_BYTES // max(1, widest)).bit_length() - 1)


def row_bytes(s: SweepEquation, rows: int) -> int:
    """Bytes that a call reads and writes for a row, for a sort with its workspace."""
    pairs = zip(s.equation.operands, s.uses, strict=True)
    sizes = [x.aval.nbytes for x, u in pairs if u.axis is not None]
    if s.axis is not None:
        sizes.append(s.equation.outputs[0].aval.nbytes)
    if s.equation.primitive.role is Role.SORT:
        sizes.append(_gpu_workspace(s.equation))
    return sum(sizes) // rows


def _has_rows(s: SweepEquation) -> bool:
    values = (*s.equation.operands, *s.equation.outputs)
    return any(u.axis is not None for u in s.uses) and all(x.aval.size for x in values)


def _joins_rows(s: SweepEquation) -> bool:
    """Whether the call multiplies all rows by one matrix, or is a product that sums over rows."""
    e = s.equation
    if e.primitive.role is not Role.CONTRACTION:
        return False
    return not any(u.axis in b for u, b in zip(s.uses, e.params["batch"], strict=True))


def _worth_it(s: SweepEquation, tile: int) -> bool:
    """Whether tiles pay. Of sums over rows only large products: each tile reads the sum again."""
    if s.axis is not None:
        return True
    (v,) = s.equation.outputs
    read = row_bytes(s, rows_of(s)) * tile
    return is_product(s.equation) and read >= SUMMED * v.aval.nbytes


class RowCall:
    """An equation that a library computes tile by tile, as one of the units of a pass.

    It has many attributes because it also has those of a `Kernel`, the other kind of unit.
    """

    dense = False
    """Whether operands must lie in C order."""
    partial_bytes = 0

    def __init__(self, s: SweepEquation, tile: int, device: Any, gemm: Gemm | None):
        self.equation = s.equation
        (v,) = s.equation.outputs
        self.rows, self.share = rows_of(s), tile
        self._s, self._v, self._device, self._gemm = s, v, device, gemm
        pairs = [
            (x, Use("free" if u.axis is None else "rows", u.axis))
            for x, u in zip(s.equation.operands, s.uses, strict=True)
        ]
        self._operands = pairs
        self.uses: dict[Var, set[Use]] = {}
        for x, use in pairs:
            if type(x) is Var:
                self.uses.setdefault(x, set()).add(use)
        self.reads = [Argument("", x, u.kind, u.axis) for x, us in self.uses.items() for u in us]
        summed = s.axis is None
        self.writes = [] if summed else [Argument("", v, "rows", s.axis)]
        self.sums = [Argument("", v, "sum", None)] if summed else []
        self._works: dict[int, Callable[..., Any]] = {}

    @property
    def tiles(self) -> int:
        return -(-self.rows // self.share)

    @property
    def workspace(self) -> int:
        """Bytes of workspace, if cuBLAS computes the call."""
        work = self._work(min(self.share, self.rows))
        return work.workspace if isinstance(work, Product) else 0

    # Memory

    def temporary(self, env: Mapping[Any, Any], local: Collection[Var]) -> list[int]:
        """Bytes of the arrays that a tile allocates beside its operands and result. Operands in
        `local` are rows in C order; others have the layout that they have in `env`."""
        n = min(self.share, self.rows)
        tile = equation_of(self._s, n)
        operands: list[Any] = []
        for (x, use), y in zip(self._operands, tile.operands, strict=True):
            if type(x) is Literal:
                operands.append(x.value)
            elif x in local:
                operands.append(layout_of(y.aval))
            else:
                whole = env[x] if x in env else layout_of(x.aval)
                operands.append(_rows(whole, use.axis, 0, n))
        (v,) = tile.outputs
        work = self._work(n)
        if isinstance(work, Product):
            direct = work.suits(self._result(layout_of(self._v.aval), local, n))
            return [*work.copies(*operands), *([] if direct else [v.aval.nbytes])]
        return [v.aval.nbytes, *temporaries(tile, operands)]

    def _result(self, whole: Any, local: Collection[Var], n: int) -> Any:
        if self._s.axis is None or self._v in local:
            return layout_of(equation_of(self._s, n).outputs[0].aval)
        return _rows(whole, self._s.axis, 0, n)

    # Running

    def partial_sums(self) -> list[Any]:
        """An array for the sum over rows, if it is one."""
        return [self._device.xp.empty(a.var.aval.shape, a.var.aval.dtype) for a in self.sums]

    def finish(self, partial: Sequence[Any], env: dict[Any, Any]) -> None:
        """Puts the sum over all rows into `env`."""
        env.update(zip([a.var for a in self.sums], partial, strict=True))

    def run(
        self, local: Mapping[Var, Any], whole: Mapping[Var, Any], partial: Sequence[Any],
        low: int, high: int,
    ) -> None:  # fmt: skip
        """Runs it for the rows from `low`, where a tile begins, to `high`. Arrays in `local` begin
        with row `low`, those in `whole` have all rows."""
        for start in range(low, high, self.share):
            stop = min(start + self.share, high)

            def part(x: Var, axis: int | None, start: int = start, stop: int = stop) -> Any:
                if x in local:
                    return _rows(local[x], axis, start - low, stop - low)
                return _rows(whole[x], axis, start, stop)

            operands = [
                part(x, use.axis) if type(x) is Var else x.value for x, use in self._operands
            ]
            out = partial[0] if self._s.axis is None else part(self._v, self._s.axis)
            self._tile(operands, out, stop - start, add=self._s.axis is None and start > 0)

    def _tile(self, operands: Sequence[Any], out: Any, n: int, add: bool) -> None:
        work = self._work(n)
        if isinstance(work, Product) and work.suits(out):
            x, y = operands
            work(x, y, out, add)
            return
        with np.errstate(all="ignore"):
            result = work(*operands)
            if add:
                out += result
            else:
                out[...] = result

    def _work(self, n: int) -> Callable[..., Any]:
        """What computes a tile of so many rows: the last one may have fewer than the others."""
        found = self._works.get(n)
        if found is None:
            found = self._works[n] = self._made(equation_of(self._s, n))
        return found

    def _made(self, tile: Equation) -> Callable[..., Any]:
        xp = self._device.xp
        if self._gemm is not None and is_product(tile):
            return Product(tile, xp, self._gemm)
        if is_scatter(tile):
            return Scatter(tile, self._device)
        return lambda *operands: evaluate(tile, xp, operands)[0]


def temporaries(e: Equation, operands: Sequence[Any]) -> list[int]:
    """Bytes of what a call allocates beside its result, at most, for operands with these
    layouts."""
    if is_scatter(e):
        return temporary_bytes(e, operands)
    stated = _gpu_workspace(e) if e.primitive.role in (Role.SORT, Role.OPAQUE) else 0
    others = of_call(e, operands)
    if others and e.primitive.role is Role.ELEMENTWISE:
        # NumPy reuses the array of one step of an expression for the next step, CuPy never does.
        others += max([x.aval.nbytes for x in (*e.operands, *e.outputs)])
    return [stated + (others + SMALL_ARRAYS if others else 0)]


def _gpu_workspace(e: Equation) -> int:
    operands, outputs = [x.aval for x in e.operands], [v.aval for v in e.outputs]
    return e.primitive.gpu_workspace(operands, outputs, **e.params)


def _rows(x: Any, axis: int | None, start: int, stop: int) -> Any:
    """Some rows of an array; all of it where it has none."""
    if axis is None or (start == 0 and stop == x.shape[axis]):
        return x
    return x[(*[slice(None)] * axis, slice(start, stop))]
