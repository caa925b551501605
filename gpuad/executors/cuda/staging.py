"""Rows of a few values each, a thread for each row: moved through shared memory.

Neighbouring threads would read memory at distances of a row, in several passes over the same lines,
and write parts of lines. So a block copies its rows as one run of memory, and each thread takes its
own row from there; likewise for results. A row has an odd length in shared memory, so that threads
do not meet in one bank.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.executors.cuda.cells import index_text, memory_view
from gpuad.executors.cuda.layout import Layout
from gpuad.executors.cuda.scalar import Scope
from gpuad.executors.cuda.writer import Env, KernelWriter, Value
from gpuad.executors.sweep import Argument, inner, kind_of
from gpuad.executors.views import View, size_of
from gpuad.ir.graph import Var
from gpuad.kernels import cuda_text
from gpuad.plan.plan import SweepEquation, Use

SHARED_BYTES = 40 * 1024
"""For the rows of a block; what does not fit is read and written as it is."""
IN_FLIGHT = 16
"""Loads of a thread before it puts the first of them into shared memory."""
SIZES = {"f32": 4, "f64": 8, "i32": 4, "i64": 8}


class SampleWriter(KernelWriter):
    """Writes a sweep of the sample family."""

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        self.staged: dict[str, tuple[int, str]] = {}
        self._direct: set[str] = set()

    def _operand(self, x: Any, use: Use, env: Env) -> Value:
        value = super()._operand(x, use, env)
        if isinstance(value, View) and use.kind == "rows" and use.axis == 0:
            self._stage(self.reads[x])
        return value

    def _stage(self, a: Argument) -> bool:
        """Whether the rows of an array go through shared memory."""
        if a.name in self.staged or a.name in self._direct:
            return a.name in self.staged
        lanes, kind = size_of(inner(a.var.aval.shape, 0)), kind_of(a.var)
        used = sum(self._bytes(*s) for s in self.staged.values())
        if lanes == 1 or kind not in SIZES or used + self._bytes(lanes, kind) > SHARED_BYTES:
            self._direct.add(a.name)
            return False
        self.staged[a.name] = (lanes, kind)
        return True

    def _bytes(self, lanes: int, kind: str) -> int:
        return self.layout.threads * (lanes | 1) * SIZES[kind]

    def _load(self, view: View, i: Any, long: int | None, lane: str, u: int, scope: Scope) -> str:
        lanes, _ = self.staged.get(view.base, (0, ""))
        if not lanes or view.row != lanes:
            return super()._load(view, i, long, lane, u, scope)
        place = index_text(_in_shared(view), "group", i, lane, long)
        return self.row.loaded(f"s_{view.base}[{place}]")

    def _store(self, v: Var, axis: int, x: Value, u: int, scope: Scope) -> None:
        a = self.writes.get(v) or Argument(f"o{len(self.writes)}", v, "rows", axis)
        if axis != 0 or not self._stage(a):
            super()._store(v, axis, x, u, scope)
            return
        self.writes[v] = a
        view = _in_shared(memory_view(a.name, v.aval.shape, axis))
        names = self._cells(x, u, scope).names
        for i in np.ndindex(*names.shape):
            self.stores.append(f"s_{a.name}[{index_text(view, 'group', i, '', None)}] = {names[i]}")

    # The body of a round: rows in, work, rows out.

    def _shared_lines(self) -> list[str]:
        own = [
            f"s_{name} = cuda.shared.array({self.layout.threads * (lanes | 1)}, {kind})"
            for name, (lanes, kind) in self.staged.items()
        ]
        return [*super()._shared_lines(), *own]

    def _body(self) -> list[str]:
        read = {a.name for a in self.reads.values()}
        into = [x for name in self.staged if name in read for x in self._moved(name, into=True)]
        out = [x for name in self.staged if name not in read for x in self._moved(name, into=False)]
        barrier = ["cuda.syncthreads()"]
        body = [*into, *(barrier if into else []), *super()._body()]
        body += [*barrier, *out] if out else []
        return [*body, *barrier] if self.staged else body

    def _moved(self, name: str, into: bool) -> list[str]:
        """Lines that copy the rows of a block between an array and shared memory."""
        lanes, _ = self.staged[name]
        lines: list[str] = []
        stores: list[str] = []
        for k in range(0, self.layout.threads * lanes, self.layout.threads):
            if len(stores) == IN_FLIGHT:
                lines, stores = [*lines, *stores], []
            place, index = _odd_place(f"(t + {k})", lanes), f"first * {lanes} + t + {k}"
            if into:
                value = self._fresh()
                lines.append(f"{value} = {name}[min({index}, n * {lanes} - 1)]")
                stores.append(f"s_{name}[{place}] = {value}")
            else:
                lines += [f"if {index} < n * {lanes}:"]
                lines += cuda_text.indented([f"{name}[{index}] = s_{name}[{place}]"])
        return [*lines, *stores]


def _odd_place(k: str, lanes: int) -> str:
    """Where element k of a run of rows lies in shared memory."""
    if lanes % 2:
        return k
    shift = lanes.bit_length() - 1
    return f"{k} + ({k} >> {shift})" if lanes == 1 << shift else f"{k} + {k} // {lanes}"


def _in_shared(view: View) -> View:
    """The view of a row as it lies in shared memory."""
    return View(view.base, view.shape, view.strides, view.row | 1, view.offset)
