"""Rows of a few values, a thread for each row: read and written through shared memory.

Neighbouring threads would read memory at distances of a row, the same cache lines several times,
and write only parts of lines. So a block copies its rows to shared memory as one run, and each
thread takes its own row from there; results go the same way back. All of this in vectors of up to
16 bytes, where rows consist of such. A row that is one vector needs no detour.

Threads that access shared memory at the same time are not to meet in a bank. The vectors of a row
are therefore permuted, in another way for each of the rows that begin at the same bank: vector c is
at c ^ f, where f counts these rows.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpuad.codegen.argument import Argument, kind_of
from gpuad.codegen.cuda.cells import Unsuitable
from gpuad.codegen.cuda.instruction_order import by_first_use
from gpuad.codegen.cuda.layout import MOST_VECTOR, VECTOR_BYTES, Layout
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.source import SECTOR, SIZES
from gpuad.codegen.cuda.writer import Env, KernelWriter, Value
from gpuad.codegen.views import View, size_of
from gpuad.ir.graph import Var
from gpuad.kernels.cuda_text import WARP
from gpuad.plan.plan import SweepEquation, Use

SHARED_BYTES = 40 * 1024
"""For the rows of a block, at most; other arrays are read and written directly."""
IN_FLIGHT = 32
"""Values that a thread loads before it puts the first of them into shared memory."""


BANKS = 128
"""Bytes that shared memory gives at a time, to as many threads as this takes."""


@dataclass(frozen=True)
class Staged:
    """An array whose rows are read and written in vectors. A row is several `runs` of `run` values
    each, which start `stride` values apart; in shared memory, those of the `threads` rows of a
    block lie together for each run."""

    kind: str
    run: int
    runs: int
    stride: int
    threads: int

    @property
    def vector(self) -> int:
        """Values of a vector."""
        size = SIZES[self.kind]
        return next(
            n for n in (MOST_VECTOR, 2, 1) if self.run % n == 0 and n * size <= VECTOR_BYTES
        )

    @property
    def width(self) -> int:
        """Vectors of a run."""
        return self.run // self.vector

    @property
    def bytes(self) -> int:
        """Of shared memory, for the rows of a block; none where a run is one vector."""
        return self.threads * self.run * self.runs * SIZES[self.kind] if self.width > 1 else 0

    def place(self, row: str, c: str, r: int) -> str:
        """Where vector `c` of the r-th run of a row is in shared memory."""
        found = f"{row} * {self.width} + {self._permuted(c, row)}"
        return self._in_values(f"({found})", r)

    def place_of(self, k: str, r: int) -> str:
        """Where vector `k` of the r-th runs of all rows is."""
        bits = self.width.bit_length() - 1
        row = f"({k} >> {bits})" if self.width == 1 << bits else f"({k} // {self.width})"
        return self._in_values(self._permuted(k, row), r)

    def _in_values(self, place: str, r: int) -> str:
        start = r * self.threads * self.run
        place = f"{place} * {self.vector}" if self.vector > 1 else place
        return f"{place} + {start}" if start else place

    def _permuted(self, c: str, row: str) -> str:
        """The place of vector `c` among those of its row, or of all rows."""
        at_once = min(BANKS // (self.vector * SIZES[self.kind]), WARP)
        same = min(self.width & -self.width, at_once)  # rows that begin at the same bank
        if same == 1:
            return c
        bits = (at_once // same).bit_length() - 1
        number = f"({row} >> {bits})" if bits else row
        return f"({c} ^ ({number} & {same - 1}))"


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
        """Whether the rows of an array are accessed in this way; decided when it is first met."""
        if a.name in self.staged or a.name in self._direct:
            return a.name in self.staged
        shape, axis = a.var.aval.shape, a.axis or 0
        run, kind = size_of(shape[axis + 1 :]), kind_of(a.var)
        if run > 1 and kind in SIZES:
            runs, stride = size_of(shape[:axis]), run * shape[axis]
            staged = Staged(kind, run, runs, stride, self.layout.threads)
            if self._staged_bytes + staged.bytes <= SHARED_BYTES:
                self.staged[a.name] = staged
                if staged.vector > 1:
                    self.aligned.add(a.name)
                return True
            if self.layout.threads > WARP and not self.layout.table_bytes:
                raise Unsuitable("no room for the rows of so many threads")
        self._direct.add(a.name)
        return False

    @property
    def _staged_bytes(self) -> int:
        return sum([s.bytes for s in self.staged.values()])

    @property
    def shared_bytes(self) -> int:
        return super().shared_bytes + self._staged_bytes

    def _load(self, view: View, i: Any, long: int | None, lane: str, u: int, scope: Scope) -> str:
        staged = self.staged.get(view.base)
        place = view.offset + sum([k * n for k, n in zip(i, view.strides, strict=True)])
        if not view.row and self._scope_of(view, long, scope) is self.row:
            return self._same_for_all_rows(view.base, place, scope)
        if staged is None or view.row != staged.run:
            return super()._load(view, i, long, lane, u, scope)
        c, element = divmod(place, staged.vector)
        key = f"row {view.base} {c}"
        names = self.row.recalled(key)
        if names is None:
            names = [self._fresh() for _ in range(staged.vector)]
            self.row.remember(key, names)
            place_text, array = self._vector(view.base, staged, c, 0, f"q{u}")
            self.row.loads.append(_loaded(names, array, place_text))
        return str(names[element])

    def _same_for_all_rows(self, name: str, place: int, scope: Scope) -> str:
        """An element that is in the cache, loaded where it is used, with those beside it."""
        x = next(v for v, a in self.reads.items() if a.name == name)
        n = VECTOR_BYTES // SIZES.get(kind_of(x), VECTOR_BYTES)
        n = min(n, MOST_VECTOR)
        first = place // n * n
        if n == 1 or first + n > x.aval.size:
            text = f"{name}[{place}]"
            return scope.named(f"({text} != 0)" if name in self._booleans else text)
        self.aligned.add(name)
        return scope.several(f"load{n}({name}, {first})", n)[place - first]

    def _vector(self, name: str, s: Staged, c: int, r: int, row: str) -> tuple[str, str]:
        """Where the thread's own row has its c-th vector of the r-th run, and in which array."""
        if s.width > 1:
            return self.once.named(f"({s.place('group', str(c), r)})"), f"s_{name}"
        start = f" + {r * s.stride}" if r else ""
        return f"{row} * {s.run}{start}", name

    def _store(self, v: Var, axis: int, x: Value, u: int, scope: Scope) -> None:
        a = self.writes.get(v) or Argument(f"o{len(self.writes)}", v, "rows", axis)
        if not self._stage(a):
            super()._store(v, axis, x, u, scope)
            return
        self.writes[v] = a
        s, names = self.staged[a.name], self._cells(x, u, scope).names.reshape(-1)
        for k in range(0, names.size, s.vector):
            r, place = divmod(k, s.run)
            values = [_named(name, scope) for name in names[k : k + s.vector]]
            text, array = self._vector(a.name, s, place // s.vector, r, f"r{u}")
            line = _stored(values, array, text)
            self.stores += [line] if s.width > 1 else [f"if live{u}:", f"    {line}"]

    # A round: rows into shared memory, work, results out of it

    def _shared_lines(self) -> list[str]:
        own = [
            f"s_{name} = cuda.shared.array({s.bytes // SIZES[s.kind]}, {s.kind})"
            for name, s in self.staged.items()
            if s.bytes
        ]
        return [*super()._shared_lines(), *own]

    def _body(self) -> list[str]:
        read = {a.name for a in self.reads.values()}
        copied = [name for name, s in self.staged.items() if s.bytes]
        into = [x for name in copied if name in read for x in self._copied_in(name)]
        out = [x for name in copied if name not in read for x in self._copied_out(name)]
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
        s, n = self.staged[name], self.staged[name].vector
        lines: list[str] = []
        stores: list[str] = []
        steps = range(0, s.threads * s.width, s.threads)
        for r, k in itertools.product(range(s.runs), steps):
            if len(stores) * n >= IN_FLIGHT:
                lines, stores = [*lines, *stores], []
            at = f"(t + {k})" if k else "t"
            near = f"first * {s.run} + {at} * {n}" if n > 1 else f"first * {s.run} + {at}"
            index = f"min({near}, n * {s.run} - {n})" + (f" + {r * s.stride}" if r else "")
            values = [self._fresh() for _ in range(n)]
            lines.append(_loaded(values, name, index))
            stores.append(_stored(values, f"s_{name}", s.place_of(at, r)))
        return [*lines, *stores]

    def _copied_out(self, name: str) -> list[str]:
        """Lines that copy the rows of a block from shared memory to an array.

        Where the runs of a block begin inside a sector of memory, its threads begin with the
        sector, and those before the run take its end: each other sector is written at once.
        """
        s, n = self.staged[name], self.staged[name].vector
        sector, all_runs = SECTOR // SIZES[s.kind], s.threads * s.width
        shifts: dict[int, list[int]] = {}
        for r in range(s.runs):
            shifts.setdefault(r * s.stride % sector // n, []).append(r)
        lines = [f"for k in range(0, {all_runs}, {s.threads}):"]
        for shift, chosen in shifts.items():
            k = "(t + k)"
            if shift:
                k = f"k{shift}"
                lines.append(f"    {k} = t + k - {shift}")
                lines.append(f"    {k} = {k} if {k} >= 0 else {k} + {all_runs}")
            start = f"first * {s.run} + {k}" + (f" * {n}" if n > 1 else "")
            lines.append(f"    if {start} < n * {s.run}:")
            for r in chosen:
                values = [self._fresh() for _ in range(n)]
                lines.append(f"        {_loaded(values, f's_{name}', s.place_of(k, r))}")
                index = f"{start} + {r * s.stride}" if r else start
                lines.append(f"        {_stored(values, name, index)}")
        return lines


def _loaded(names: Sequence[str], array: str, index: str) -> str:
    """The line that loads as many values."""
    if len(names) == 1:
        return f"{names[0]} = {array}[{index}]"
    return f"{', '.join(names)} = load{len(names)}({array}, {index})"


def _stored(values: Sequence[str], array: str, index: str) -> str:
    """The line that stores them."""
    if len(values) == 1:
        return f"{array}[{index}] = {values[0]}"
    return f"store{len(values)}({array}, {index}, {', '.join(values)})"


def _named(name: str, scope: Scope) -> str:
    """A name for a value, if it is an expression."""
    return name if name.isidentifier() else scope.named(name)
