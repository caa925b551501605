"""Elements that lie together in memory, loaded and stored as vectors of up to 16 bytes.

If these are lanes, a thread holds them together as well: with vectors of 4 it has lanes 4t to
4t + 3, and so on. Arrays that are accessed in this way have to be aligned.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument, kind_of
from gpuad.codegen.cuda.cells import Cells, Unsuitable, held_shape, index_text, memory_view
from gpuad.codegen.cuda.layout import MOST_VECTOR, VECTOR_BYTES, Layout
from gpuad.codegen.cuda.row_layouts import HOISTED
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.stencil_loads import Run, StencilWriter
from gpuad.codegen.cuda.writer import Value
from gpuad.codegen.views import View
from gpuad.ir.graph import Var
from gpuad.ir.rows import inner
from gpuad.kernels.cuda_text import indented
from gpuad.plan.plan import SweepEquation


class VectorWriter(StencilWriter):
    """Writes a sweep of the row family with vectors, where the layout has any."""

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        self._hoisted = 0
        for s in sweep:
            pairs = [*zip(s.equation.operands, s.uses, strict=True), (s.equation.outputs[0], None)]
            for x, use in pairs:
                shape = inner(x.aval.shape, s.axis if use is None else use.axis)
                if any(shape[k] % layout.vector for k in layout.long_axes(shape)):
                    raise Unsuitable("lanes that are no whole vectors")

    def _is_vector(self, view: View, long: int | None) -> bool:
        """Whether the lanes of each vector lie together, and aligned."""
        n = self.layout.vector
        if n == 1 or long is None or view.strides[long] != 1 or view.base in self.moved:
            return False
        steps = [view.row, view.offset, view.shape[long]]
        steps += [s for k, s in enumerate(view.strides) if k != long]
        return all(s % n == 0 for s in steps)

    def _vectors(self, lanes: int) -> range:
        """The first slots of the vectors that a thread holds of so many lanes."""
        return range(0, self.layout.slots(lanes), self.layout.vector)

    def _in_shared(self, x: Value, v: Any, u: int, scope: Scope) -> View:
        if not isinstance(x, View) and (self.layout.vector > 1 or self.layout.rows > 1):
            raise Unsuitable("elements move between lanes")
        return super()._in_shared(x, v, u, scope)

    # Short axes

    def _side_by_side(self, view: View, long: Sequence[int]) -> int:
        """How many elements along the last axis lie together and aligned, where this axis is short:
        what one thread has of a lane. 1 if they are not accessed in vectors."""
        itemsize = next(a.var.aval.dtype.itemsize for a in self._arguments if a.name == view.base)
        n = min(VECTOR_BYTES // itemsize, MOST_VECTOR)
        last = len(view.shape) - 1
        apart = len(long) == 1 and long[0] != last and view.strides[long[0]] > 1 and view.row
        if not apart or view.strides[last] != 1 or view.shape[last] % n:
            return 1
        steps = [view.row, view.offset, *view.strides[:last]]
        return n if all(s % n == 0 for s in steps) else 1

    @property
    def _arguments(self) -> list[Argument]:
        return [*self.reads.values(), *self.writes.values()]

    def _cells(self, x: Value, u: Any, scope: Scope) -> Cells:
        if not isinstance(x, View) or x.base in self.moved or x.base in self._booleans:
            return super()._cells(x, u, scope)
        long = self.layout.long_axes(x.shape)
        n = self._side_by_side(x, long)
        if n == 1:
            return super()._cells(x, u, scope)
        self.aligned.add(x.base)
        lanes = x.shape[long[0]]
        names = np.empty(held_shape(x.shape, self.layout), object)
        for i in np.ndindex(*names.shape[:-1], names.shape[-1] // n):
            first = (*i[:-1], i[-1] * n)
            slots = []
            for k in range(self.layout.slots(lanes)):
                place = index_text(x, f"q{u}", first, self._lane(lanes, k), long[0])
                slots.append(scope.several(f"load{n}({x.base}, {place})", n, early=True))
            for j, of_slots in enumerate(zip(*slots, strict=True)):
                names[(*i[:-1], i[-1] * n + j)] = of_slots
        return Cells(names, x.shape)

    # Loads

    def _read(self, runs: list[Run]) -> None:
        if len(runs) > 1 and self.layout.vector > 1:
            raise Unsuitable("lanes are read at several offsets")
        super()._read(runs)

    def _load_run(self, run: Run) -> None:
        view = View(run.base, (run.lanes,), (run.step,), run.row, run.start)
        if not self._is_vector(view, 0):
            super()._load_run(run)
            return
        n = self.layout.vector
        self._lengthen(run, self.layout.slots(run.lanes))
        self.aligned.add(run.base)
        for k in self._vectors(run.lanes):
            place = index_text(view, f"q{run.u}", (0,), self._lane(run.lanes, k), 0)
            names = ", ".join(run.names[k : k + n])
            self.row.loads.append(f"{names} = load{n}({run.base}, {place})")

    def _loads(self, view: View, i: Any, long: int | None, u: int, scope: Scope) -> Any:
        if view.row or not self._is_vector(view, long) or view.base in self._booleans:
            return super()._loads(view, i, long, u, scope)
        assert long is not None
        n, names = self.layout.vector, []
        self.aligned.add(view.base)
        for k in self._vectors(view.shape[long]):
            place = index_text(view, "", i, self._lane(view.shape[long], k), long)
            names += self._same_for_all_rows(f"load{n}({view.base}, {place})", n)
        return tuple(names)

    def _same_for_all_rows(self, load: str, n: int) -> list[str]:
        """A vector that is the same for all rows: held from the start, or loaded where it is used,
        since it is in the cache."""
        known = self.once.several(load, n, made=False)
        if known:
            return known
        if self.hoists and self._hoisted + n <= HOISTED:
            self._hoisted += n
            return self.once.several(load, n)
        return self.row.several(load, n)

    # Stores

    def _store(self, v: Var, axis: int, x: Value, u: int, scope: Scope) -> None:
        a = self.writes.get(v) or Argument(f"o{len(self.writes)}", v, "rows", axis)
        view = memory_view(a.name, v.aval.shape, axis)
        long = self.layout.long_axes(view.shape)
        self.writes[v] = a
        if self._side_by_side(view, long) > 1 and kind_of(v) != "b1":
            self._store_side_by_side(v, view, x, u, scope)
            return
        if not long or not self._is_vector(view, long[0]):
            super()._store(v, axis, x, u, scope)
            return
        self.aligned.add(a.name)
        n, lanes = self.layout.vector, view.shape[long[0]]
        cells = self._cells(x, u, scope)
        for i in np.ndindex(*cells.names.shape):
            spread = self._spread(cells.names[i], lanes)
            for k in self._vectors(lanes):
                place = index_text(view, f"r{u}", i, self._lane(lanes, k), long[0])
                values = [self._stored(v, name) for name in spread[k : k + n]]
                inside = self._inside(lanes, k)
                condition = f"live{u} and {inside}" if inside else f"live{u}"
                line = f"store{n}({a.name}, {place}, {', '.join(values)})"
                self._put_stores([f"if {condition}:", *indented([line])], scope)

    def _store_side_by_side(self, v: Var, view: View, x: Value, u: int, scope: Scope) -> None:
        """Stores what a thread has of a lane along a short axis as vectors."""
        (long,) = self.layout.long_axes(view.shape)
        n, names = self._side_by_side(view, [long]), self._cells(x, u, scope).names
        lanes = view.shape[long]
        self.aligned.add(view.base)
        for i in np.ndindex(*names.shape[:-1], names.shape[-1] // n):
            first = (*i[:-1], i[-1] * n)
            some = [self._spread(names[(*i[:-1], first[-1] + j)], lanes) for j in range(n)]
            for k in range(self.layout.slots(lanes)):
                place = index_text(view, f"r{u}", first, self._lane(lanes, k), long)
                values = [self._stored(v, of_slots[k]) for of_slots in some]
                inside = self._inside(lanes, k)
                condition = f"live{u} and {inside}" if inside else f"live{u}"
                line = f"store{n}({view.base}, {place}, {', '.join(values)})"
                self._put_stores([f"if {condition}:", *indented([line])], scope)

    def _stored(self, v: Var, name: str) -> str:
        """The name of a value as it lies in memory."""
        value = f"u8({name})" if kind_of(v) == "b1" else name
        return value if value.isidentifier() else self.row.variable(value)
