"""Rows of one value, several for each thread: those that lie together are loaded and stored as
vectors of up to 16 bytes.

First come rounds in which all rows exist, so that nothing is masked; then the last rows.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gpuad.codegen.argument import Argument, kind_of
from gpuad.codegen.cuda.cells import Unsuitable, index_text, memory_view
from gpuad.codegen.cuda.gathers import VECTORS
from gpuad.codegen.cuda.layout import VECTOR_BYTES, Layout
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.writer import TWICE, KernelWriter, Value
from gpuad.codegen.views import View
from gpuad.ir.graph import Var
from gpuad.kernels.cuda_text import Rounds
from gpuad.plan.plan import SweepEquation


class FlatWriter(KernelWriter):
    """Writes a sweep of the flat family."""

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        self._together: dict[Var, list[str]] = {}

    def _rounds(self) -> list[Rounds]:
        given = self.layout
        rounds = self._written(given)
        if given.vector == 1:
            masked = rounds._replace(lines=self._row_names(some=True) + rounds.lines, whole=False)
            if len(rounds.lines) > TWICE:
                return [masked]
        else:
            # The last rows one at a time, where the text of several is long.
            rows = given.rows if 2 * len(rounds.lines) <= TWICE else 1
            self.layout = replace(given, rows=rows, vector=1)
            masked = self._written(self.layout)
            masked = masked._replace(lines=self._row_names(some=True) + masked.lines, whole=False)
        self.layout = given
        return [rounds._replace(lines=self._row_names(some=False) + rounds.lines), masked]

    def _written(self, layout: Layout) -> Rounds:
        """Rounds with so many rows at a time, without the names of rows."""
        self.row, self.stores = Scope(self._fresh, self.once), []
        self._rows([{} for _ in range(layout.rows)])
        return Rounds(self._body(), layout.block_rows, True)

    def _row_names(self, some: bool = True) -> list[str]:
        n = self.layout.vector
        if n == 1:
            return super()._row_names(some)
        lines = []
        for u in range(n):
            lines.append(f"r{u} = first + group * {n}" + (f" + {u}" if u else ""))
            lines += [f"q{u} = r{u}", f"live{u} = True"]
        return lines

    def _together_in(self, view: View, v: Any, i: Sequence[int]) -> int:
        """How many rows are one vector of the elements of an array at this place of a row."""
        if view.row != 1:
            raise Unsuitable("rows lie apart")
        n = min(self.layout.vector, VECTOR_BYTES // v.aval.dtype.itemsize)
        offset = view.offset + sum([a * b for a, b in zip(i, view.strides, strict=True)])
        return n if kind_of(v) in VECTORS and offset % n == 0 else 1

    def _load(self, view: View, i: Any, long: int | None, lane: str, u: int, scope: Scope) -> str:
        if self.layout.vector == 1 or not view.row:
            return super()._load(view, i, long, lane, u, scope)
        read = next(x for x, a in self.reads.items() if a.name == view.base)
        n = self._together_in(view, read, i)
        if n == 1:
            return super()._load(view, i, long, lane, u, scope)
        self.aligned.add(view.base)
        text = f"load{n}({view.base}, {index_text(view, f'q{u // n * n}', i, lane, long)})"
        return self.row.several(text, n, early=True)[u % n]

    def _store(self, v: Var, axis: int, x: Value, u: int, scope: Scope) -> None:
        view = memory_view("", v.aval.shape, axis)
        names = self._cells(x, u, scope).names
        if self.layout.vector > 1 and names.size > 1:
            raise Unsuitable("a row has several values")
        n = self._together_in(view, v, (0,) * names.ndim) if self.layout.vector > 1 else 1
        if n == 1:
            super()._store(v, axis, x, u, scope)
            return
        a = self.writes.setdefault(v, Argument(f"o{len(self.writes)}", v, "rows", axis))
        self.aligned.add(a.name)
        (name,) = names.flat
        values = self._together.setdefault(v, [])
        values.append(name if name.isidentifier() else self.row.variable(name))
        if len(values) == n:
            self.stores.append(f"store{n}({a.name}, r{u // n * n}, {', '.join(values)})")
            values.clear()
