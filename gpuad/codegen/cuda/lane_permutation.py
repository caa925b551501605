"""Rows whose elements move from lane to lane, where a group of threads has a row.

An element that is in memory is read at another index. One that a thread has computed goes through
shared memory, where the whole group can read it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import (
    Cells,
    Unsuitable,
    held_shape,
    index_text,
    keeps_lanes,
)
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.source import SIZES
from gpuad.codegen.cuda.writer import KernelWriter, Value
from gpuad.codegen.structure import moved_view, parts_of
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.kernels import cuda_text
from gpuad.plan.plan import SweepEquation

SHARED_BYTES = 16 * 1024
"""Of a block, at most, for the rows whose elements move."""


class RowWriter(KernelWriter):
    """Writes a sweep of the row family.

    Attributes
    ----------
    moved : dict
        The arrays in shared memory through which elements move: by name, size and dtype.
    """

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        self.moved: dict[str, tuple[int, str]] = {}
        self._views: dict[Any, View] = {}

    def _structure(self, s: SweepEquation, operands: list[Value], u: int, scope: Scope) -> Value:
        if s.equation.primitive.role is Role.VIEW:
            (x,) = operands
            view = moved_view(x, s) if isinstance(x, View) else None
            if view is None and not keeps_lanes([x], s, self.layout):
                view = moved_view(self._in_shared(x, s.equation.operands[0], u, scope), s)
            return view if view is not None else super()._structure(s, operands, u, scope)
        if keeps_lanes(operands, s, self.layout):
            return super()._structure(s, operands, u, scope)
        out = s.equation.outputs[0]
        if not self.layout.long_axes(inner(out.aval.shape, s.axis)):
            raise Unsuitable("lanes become short axes")
        (long,) = self.layout.long_axes(inner(out.aval.shape, s.axis))
        starts = _starts(s, long)
        parts = [
            x if start == 0 and self.layout.long_axes(x.shape) else self._in_shared(x, v, u, scope)
            for x, v, start in zip(operands, s.equation.operands, starts, strict=True)
        ]
        return self._joined(s, parts, (long, starts), u, scope)

    def _joined(
        self, s: SweepEquation, parts: list[Value], where: tuple[int, list[int]], u: int,
        scope: Scope,
    ) -> Cells:  # fmt: skip
        """A padded or concatenated row: each lane from the operand that lies there. `where` is the
        axis of lanes, and the lane at which each operand starts; that of one that is computed and
        starts where the row does is in the same thread already."""
        out, (long, starts) = s.equation.outputs[0], where
        shape = inner(out.aval.shape, s.axis)
        lanes = shape[long]
        names = np.empty(held_shape(shape, self.layout), object)
        for i in np.ndindex(*names.shape):
            cell = []
            for k in range(self.layout.slots(lanes)):
                lane, value = self._lane(lanes, k), f"{kind_of(out)}(0)"
                for start, x in zip(starts, parts, strict=True):
                    end = start + x.shape[long]
                    if isinstance(x, Cells):
                        own = self._spread(x.names[i], end)
                        if k < len(own):
                            inside = scope.named(f"({lane} < {end})")
                            value = scope.named(f"({own[k]} if {inside} else {value})")
                        continue
                    at = f"min(max({lane} - {start}, 0), {end - start - 1})"
                    inside = scope.named(f"(({lane} >= {start}) & ({lane} < {end}))")
                    loaded = self._load(x, i, long, at, u, scope)
                    value = scope.named(f"({loaded} if {inside} else {value})")
                cell.append(value)
            names[i] = tuple(cell)
        return Cells(names, shape)

    def _in_shared(self, x: Value, v: Any, u: int, scope: Scope) -> View:
        """The value `v` in memory that the whole group can read.

        Each group writes its own place: one that is past the last row computes the last row again.
        """
        if isinstance(x, View):
            return x
        if v in self._views:
            return self._views[v]
        kind, name = kind_of(v), f"m{len(self.moved)}"
        if kind not in SIZES:
            raise Unsuitable("elements move between lanes")
        size = _apart(size_of(x.shape), self.layout.group, SIZES[kind])
        values = self.layout.threads // self.layout.group * size
        if self._moved_bytes + values * SIZES[kind] > SHARED_BYTES:
            raise Unsuitable("elements move between lanes")
        self.moved[name] = values, kind
        view = self._views[v] = View(name, x.shape, contiguous(x.shape), size)
        long = self.layout.long_axes(x.shape)
        for i in np.ndindex(*x.names.shape):
            for condition, lane, element in self._stored_lanes(view, long, x.names[i]):
                place = index_text(view, "group", i, lane, long[0] if long else None)
                store = f"{name}[{place}] = {element}"
                scope.lines += [f"if {condition}:", f"    {store}"] if condition else [store]
        scope.lines.append(self._barrier)
        return view

    @property
    def _moved_bytes(self) -> int:
        return sum(n * SIZES[kind] for n, kind in self.moved.values())

    @property
    def shared_bytes(self) -> int:
        return super().shared_bytes + self._moved_bytes

    @property
    def _barrier(self) -> str:
        """A line at which the threads of a group wait for each other."""
        within_warp = self.layout.group <= cuda_text.WARP
        return "cuda.syncwarp()" if within_warp else "cuda.syncthreads()"

    def _load(self, view: View, i: Any, long: int | None, lane: str, u: int, scope: Scope) -> str:
        if view.base in self.moved:
            return scope.named(f"{view.base}[{index_text(view, 'group', i, lane, long)}]")
        return super()._load(view, i, long, lane, u, scope)

    def _shared_lines(self) -> list[str]:
        own = [f"{m} = cuda.shared.array({n}, {kind})" for m, (n, kind) in self.moved.items()]
        return [*super()._shared_lines(), *own]

    def _round_end(self) -> list[str]:
        # Elements that moved may still be read after the last barrier.
        return [self._barrier] if self.moved else super()._round_end()


def _apart(size: int, group: int, itemsize: int) -> int:
    """The distance of the rows of neighbouring groups in shared memory, at least `size`: so that
    the groups of a warp, which access the same lanes, are not in the same banks."""
    banks = cuda_text.WARP * 4 // max(itemsize, 4)
    return size if group >= banks else size + (group - size) % banks


def _starts(s: SweepEquation, long: int) -> list[int]:
    """The lane of the result at which each operand starts."""
    shape = inner(s.equation.outputs[0].aval.shape, s.axis)
    starts = []
    for part in parts_of(s):
        if any((p.step or 1) != 1 or p.start < 0 for p in part):
            raise Unsuitable("elements move apart")
        if any((p.start, p.stop) != (0, shape[k]) for k, p in enumerate(part) if k != long):
            raise Unsuitable("lanes of several rows side by side")
        starts.append(part[long].start)
    return starts
