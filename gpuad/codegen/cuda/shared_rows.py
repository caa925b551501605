"""Rows of a few values, a thread for each row: read and written through shared memory.

Neighbouring threads would read memory at distances of a row, the same cache lines several times,
and write only parts of lines. So a block copies its rows to shared memory as one run, and each
thread takes its own row from there; results go the same way back. In shared memory the length of a
row is odd, so that threads do not access the same bank.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument, kind_of
from gpuad.codegen.cuda.cells import index_text
from gpuad.codegen.cuda.instruction_order import by_first_use
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.source import SECTOR, SIZES
from gpuad.codegen.cuda.writer import Env, KernelWriter, Value
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.graph import Var
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation, Use

SHARED_BYTES = 40 * 1024
"""For the rows of a block, at most; other arrays are read and written directly."""
IN_FLIGHT = 16
"""Loads of a thread before it puts the first of them into shared memory."""


@dataclass(frozen=True)
class Staged:
    """An array whose rows go through shared memory. A row is several `runs` of `run` values each,
    which start `stride` values apart."""

    kind: str
    run: int
    runs: int
    stride: int

    @property
    def width(self) -> int:
        """The length of a row in shared memory: odd."""
        return self.run * self.runs | 1


class SampleWriter(KernelWriter):
    """Writes a sweep of the sample family.

    Attributes
    ----------
    staged : dict
        By name, the arrays whose rows go through shared memory.
    """

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        self.staged: dict[str, Staged] = {}
        self._direct: set[str] = set()

    def _operand(self, x: Any, use: Use, env: Env) -> Value:
        value = super()._operand(x, use, env)
        if isinstance(value, View) and use.kind == "rows" and use.axis == 0:
            self._stage(self.reads[x])
        return value

    def _stage(self, a: Argument) -> bool:
        """Whether the rows of an array go through shared memory; decided when it is first met."""
        if a.name in self.staged or a.name in self._direct:
            return a.name in self.staged
        shape, axis = a.var.aval.shape, a.axis or 0
        run = size_of(shape[axis + 1 :])
        staged = Staged(kind_of(a.var), run, size_of(shape[:axis]), run * shape[axis])
        if (
            run == 1
            or staged.kind not in SIZES
            or self._staged_bytes + self._bytes(staged) > SHARED_BYTES
        ):
            self._direct.add(a.name)
            return False
        self.staged[a.name] = staged
        return True

    @property
    def _staged_bytes(self) -> int:
        return sum(map(self._bytes, self.staged.values()))

    @property
    def shared_bytes(self) -> int:
        return super().shared_bytes + self._staged_bytes

    def _bytes(self, s: Staged) -> int:
        return self.layout.threads * s.width * SIZES[s.kind]

    def _load(self, view: View, i: Any, long: int | None, lane: str, u: int, scope: Scope) -> str:
        staged = self.staged.get(view.base)
        if staged is None or view.row != staged.run:
            return super()._load(view, i, long, lane, u, scope)
        place = index_text(_in_shared(view), "group", i, lane, long)
        return self.row.loaded(f"s_{view.base}[{place}]")

    def _store(self, v: Var, axis: int, x: Value, u: int, scope: Scope) -> None:
        a = self.writes.get(v) or Argument(f"o{len(self.writes)}", v, "rows", axis)
        if not self._stage(a):
            super()._store(v, axis, x, u, scope)
            return
        self.writes[v] = a
        shape = inner(v.aval.shape, axis)
        view = _in_shared(View(a.name, shape, contiguous(shape), size_of(shape)))
        names = self._cells(x, u, scope).names
        for i in np.ndindex(*names.shape):
            self.stores.append(f"s_{a.name}[{index_text(view, 'group', i, '', None)}] = {names[i]}")

    # A round: rows into shared memory, work, results out of it

    def _shared_lines(self) -> list[str]:
        own = [
            f"s_{name} = cuda.shared.array({self.layout.threads * s.width}, {s.kind})"
            for name, s in self.staged.items()
        ]
        return [*super()._shared_lines(), *own]

    def _body(self) -> list[str]:
        read = {a.name for a in self.reads.values()}
        into = [x for name in self.staged if name in read for x in self._copied_in(name)]
        out = [x for name in self.staged if name not in read for x in self._copied_out(name)]
        barrier = ["cuda.syncthreads()"]
        work = [*self.row.loads, *by_first_use(self.row.lines, self.stores)]
        body = [*into, *(barrier if into else []), *work]
        body += [*barrier, *out] if out else []
        # With copies in and out, the barrier of one also keeps the rounds of the other apart; and
        # those of a table of sums lie between the loads of a round and its stores.
        apart = bool(into) == bool(out) or self.sums.tables.tables
        return body if apart else [*body, *barrier]

    def _copied_in(self, name: str) -> list[str]:
        """Lines that copy the rows of a block from an array to shared memory."""
        s = self.staged[name]
        lines: list[str] = []
        stores: list[str] = []
        steps = range(0, self.layout.threads * s.run, self.layout.threads)
        for r, k in itertools.product(range(s.runs), steps):
            if len(stores) == IN_FLIGHT:
                lines, stores = [*lines, *stores], []
            index = f"min(first * {s.run} + t + {k}, n * {s.run} - 1) + {r * s.stride}"
            value = self._fresh()
            lines.append(f"{value} = {name}[{index}]")
            stores.append(f"s_{name}[{_place(f'(t + {k})', s, r)}] = {value}")
        return [*lines, *stores]

    def _copied_out(self, name: str) -> list[str]:
        """Lines that copy the rows of a block from shared memory to an array.

        Where the runs of a block begin inside a sector of memory, its threads begin with the
        sector, and those before the run take its end: each other sector is written at once.
        """
        s, threads = self.staged[name], self.layout.threads
        sector = SECTOR // SIZES[s.kind]
        shifts: dict[int, list[int]] = {}
        for r in range(s.runs):
            shifts.setdefault(r * s.stride % sector, []).append(r)
        lines = [f"for k in range(0, {threads * s.run}, {threads}):"]
        for shift, chosen in shifts.items():
            k = "(t + k)"
            if shift:
                k = f"k{shift}"
                lines.append(f"    {k} = t + k - {shift}")
                lines.append(f"    {k} = {k} if {k} >= 0 else {k} + {threads * s.run}")
            lines.append(f"    if first * {s.run} + {k} < n * {s.run}:")
            for r in chosen:
                index = f"first * {s.run} + {k} + {r * s.stride}"
                lines.append(f"        {name}[{index}] = s_{name}[{_place(k, s, r)}]")
        return lines


def _place(k: str, s: Staged, r: int) -> str:
    """Where element k of the r-th runs of all rows lies in shared memory."""
    start, skipped = r * s.run, s.width - s.run
    if skipped:
        shift = s.run.bit_length() - 1
        row = f"({k} >> {shift})" if s.run == 1 << shift else f"{k} // {s.run}"
        k += f" + {row}" if skipped == 1 else f" + {row} * {skipped}"
    return f"{k} + {start}" if start else k


def _in_shared(view: View) -> View:
    """The same view of rows that lie in shared memory."""
    return View(view.base, view.shape, view.strides, view.row | 1, view.offset)
