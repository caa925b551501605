"""The text of a sweep as one CUDA kernel.

A group of threads takes a row at a time, or each thread a row of its own. For a row the text has
first what it loads, then what it computes, then what it stores. Sums over rows are added up in each
thread, and combined when the rows are done.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument, kind_of, number_text
from gpuad.codegen.cuda.cells import (
    Cells,
    Unsuitable,
    held_shape,
    index_text,
    memory_view,
    moved_cells,
)
from gpuad.codegen.cuda.gathers import emit_gather, filled_tables
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.products import multiplied, row_product
from gpuad.codegen.cuda.row_layouts import HOISTED
from gpuad.codegen.cuda.row_sums import RowSums
from gpuad.codegen.cuda.scalar import Scope, extreme
from gpuad.codegen.cuda.source import SIZES, KernelSource, KernelText, types_of
from gpuad.codegen.cuda.table_sums import emit_scatter
from gpuad.codegen.structure import moved_view
from gpuad.codegen.views import View
from gpuad.ir.graph import Literal, Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner, without_axis
from gpuad.kernels import cuda_text
from gpuad.kernels.cuda_text import Rounds
from gpuad.plan.plan import SweepEquation, Use

TWICE = 800
"""Lines of a round, at most, that the text has twice: for rounds of which all rows exist, in which
nothing has to be masked, and for the last round."""
SHARED_BYTES = 48 * 1024
"""Shared memory that a block can have on every GPU."""
NEUTRAL = {"sum": "0", "max": "-inf", "min": "inf"}
"""The value that changes nothing, for each combiner."""

Value = Cells | View
Env = dict[Any, Value]


def combined(combiner: str, x: str, y: str) -> str:
    return f"{x} + {y}" if combiner == "sum" else extreme(combiner, x, y)


class KernelWriter:
    """Writes a sweep whose lanes are held in registers: families flat, sample and row. It has many
    attributes because all that a text consists of is gathered in one pass over the sweep.

    In its methods, `u` numbers the rows that a group works on at the same time, `i` is the place of
    an element along the short axes, `long` the axis of lanes, and a `slot` one of the lanes that a
    thread holds. In the text, r{u} is the number of row u, q{u} the same but at most that of the
    last row, and live{u} says whether there is such a row.

    Attributes
    ----------
    once, row : Scope
        What is computed before all rows, and in each round of rows.
    stores : list of str
        Lines at the end of a round.
    shared : dict
        By dtype, the values in shared memory.
    exchanges : int
        How often the warps of a group exchange values in a round.
    count : int
        Names given so far.
    aligned : set
        The names of the arrays that are accessed in vectors.
    hoists : bool
        Whether what is the same for all rows is held from the start, if it is not too much.
    """

    most_shared_bytes = SHARED_BYTES

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        self.sweep = sweep
        self.stored = stored
        self.layout = layout
        self.reads: dict[Var, Argument] = {}
        self.writes: dict[Var, Argument] = {}
        self.shared: dict[str, int] = {}
        self.exchanges = 0
        self.count = 0
        self.once = Scope(self._fresh)
        self.sums = RowSums(layout, self.once)
        self.row = Scope(self._fresh, self.once)
        self.stores: list[str] = []
        uses: dict[str, set[Var]] = {"rows": set(), "free": set()}
        for s in sweep:
            in_c_order = s.equation.primitive.role is Role.GATHER
            for x, use in zip(s.equation.operands, s.uses, strict=True):
                if type(x) is Var and use.kind != "block":
                    uses["rows" if in_c_order else use.kind].add(x)
        self._free = uses["free"] - uses["rows"]
        self._filled = filled_tables(sweep, layout)
        self.aligned: set[str] = set()
        self.hoists = not layout.parked

    def write(self) -> KernelSource:
        rounds = self._rounds()
        kinds = sorted(self.sums.sizes)
        reads, writes = list(self.reads.values()), list(self.writes.values())
        names = [a.name for a in (*reads, *writes)] + [f"c_{k}" for k in kinds]
        names += ["low", "n", "share"]
        text = KernelText("sweep", self._text(names, rounds), tuple(types_of(reads, writes, kinds)))
        if self.shared_bytes > self.most_shared_bytes:
            raise Unsuitable("more shared memory than a block has")
        sums, sizes = list(self.sums.sums.values()), dict(self.sums.sizes)
        held = self.sums.registers + len(self.once.loads)
        aligned = {a.var for a in (*reads, *writes) if a.name in self.aligned}
        return KernelSource(
            text, self.layout, reads, writes, sums, self.shared_bytes, held, sizes, aligned,
            self.sums.tables.values,
        )  # fmt: skip

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block, once the text is written."""
        tables = self.sums.tables.shared_bytes
        return tables + sum(n * SIZES[k] for k, n in self.shared.items())

    def _text(self, names: Sequence[str], rounds: list[Rounds]) -> str:
        layout = self.layout
        filled = self.sums.filled_up()
        finished = self.sums.finished()
        after = cuda_text.block_sums(finished, layout.group, layout.threads)
        after += [*self.sums.tables.after(self.sums.sizes), *self._last_lines(), *filled]
        for kind, size in cuda_text.shared_sizes(finished, layout.group, layout.threads).items():
            self.shared[kind] = max(size, self.shared.get(kind, 0))
        before = [*self._shared_lines(), *self.sums.tables.before()]
        before += [*self.once.lines, *self.once.loads]
        in_two_levels = self.sums.in_two_levels()
        return cuda_text.frame(names, layout.group, rounds, (before, after), in_two_levels)

    def _shared_lines(self) -> list[str]:
        return [f"s_{k} = cuda.shared.array({n}, {k})" for k, n in sorted(self.shared.items())]

    def _last_lines(self) -> list[str]:
        """Lines after all rows."""
        return []

    def _rounds(self) -> list[Rounds]:
        """The rounds of rows, one kind after the other."""
        self._rows([{} for _ in range(self.layout.rows)])
        lines = [*self._row_names(), *self._body()]
        return [Rounds(lines, self.layout.block_rows, False)]

    def _body(self) -> list[str]:
        """A round of rows."""
        lines = [*self.row.loads, *self.row.lines, *self.stores]
        return [*lines, *self._round_end()]

    def _round_end(self) -> list[str]:
        """A barrier, where the next round might overwrite shared memory that this one still reads.

        Each exchange has a place of its own and a barrier, and at the barrier of the next exchange
        all threads have read its values. So with two exchanges a round needs no other barrier.
        """
        return ["cuda.syncthreads()"] if self.exchanges == 1 else []

    def _row_names(self, some: bool = True) -> list[str]:
        """The names of the rows of a round, of which `some` may be past the last row."""
        groups = self.layout.threads // self.layout.group
        lines = []
        for u in range(self.layout.rows):
            lines.append(f"r{u} = first + group" + (f" + {u * groups}" if u else ""))
            near, live = ("min(r{u}, n - 1)", "r{u} < n") if some else ("r{u}", "True")
            lines += [f"q{u} = {near}".format(u=u), f"live{u} = {live}".format(u=u)]
        return lines

    def _fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def _rows(self, envs: list[Env]) -> None:
        for u, env in enumerate(envs):
            for s in self.sweep:
                self._equation(s, env, u, self.row)

    # Equations

    def _equation(self, s: SweepEquation, env: Env, u: int, scope: Scope) -> None:
        e, v = s.equation, s.equation.outputs[0]
        operands = [self._operand(x, use, env) for x, use in zip(e.operands, s.uses, strict=True)]
        made = EMITTERS[e.primitive.role](self, s, operands, env, u, scope)
        if made is not None:
            env[v] = made
        if v in self.stored and s.axis is not None and v in env:
            self._store(v, s.axis, env[v], u, scope)

    def _operand(self, x: Any, use: Use, env: Env) -> Value:
        if type(x) is Literal:
            return Cells(np.array(number_text(x.value), object), ())
        if use.kind == "block":
            return env[x]
        a = self.reads.get(x) or Argument(
            f"a{len(self.reads)}", x, use.kind, use.axis, self._order_of(x),
            filled=self._filled.get(x),
        )  # fmt: skip
        self.reads[x] = a
        return memory_view(a.name, x.aval.shape, use.axis, a.order)

    def _order_of(self, x: Var) -> tuple[int, ...] | None:
        """The order of axes in which an operand is read that is the same for all rows: with lanes
        last. None for its own."""
        long = self.layout.long_axes(x.aval.shape)
        if x not in self._free or len(long) != 1 or long[0] == x.aval.ndim - 1:
            return None
        return (*[k for k in range(x.aval.ndim) if k != long[0]], long[0])

    @property
    def _booleans(self) -> set[str]:
        """The names of the arrays of booleans that are read: they are bytes in memory."""
        return {a.name for x, a in self.reads.items() if kind_of(x) == "b1"}

    def _structure(self, s: SweepEquation, operands: list[Value], u: int, scope: Scope) -> Value:
        (first, *_) = operands
        if isinstance(first, View):
            moved = moved_view(first, s)
            if moved is not None:
                return moved
        return moved_cells([self._cells(x, u, scope) for x in operands], s, self.layout)

    def _elementwise(self, s: SweepEquation, operands: list[Value], u: int, scope: Scope) -> Cells:
        shape = inner(s.equation.outputs[0].aval.shape, s.axis)
        held = held_shape(shape, self.layout)
        cells = [self._cells(x, u, scope).names for x in operands]
        wide = [np.broadcast_to(x, held) for x in cells]
        out = np.empty(held, object)
        for i in np.ndindex(*held):
            out[i] = self._slotwise(s, [x[i] for x in wide], scope)
        return Cells(out, shape)

    def _slotwise(self, s: SweepEquation, cells: list[Any], scope: Scope) -> Any:
        slots = max([len(c) for c in cells if isinstance(c, tuple)], default=0)
        if not slots:
            return scope.element(s.equation, cells)
        return tuple([scope.element(s.equation, _slot(cells, k)) for k in range(slots)])

    # Memory

    def _cells(self, x: Value, u: int, scope: Scope) -> Cells:
        """The names of a row, loaded if it is in memory."""
        if isinstance(x, Cells):
            return x
        held = held_shape(x.shape, self.layout)
        long = self.layout.long_axes(x.shape)
        if len(long) > 1:
            raise Unsuitable("a value has two axes of lanes")
        names = np.empty(held, object)
        for i in np.ndindex(*held):
            names[i] = self._loads(x, i, long[0] if long else None, u, scope)
        return Cells(names, x.shape)

    def _loads(self, view: View, i: Any, long: int | None, u: int, scope: Scope) -> Any:
        if long is None or not view.strides[long]:
            return self._load(view, i, None, "", u, scope)
        lanes = view.shape[long]
        slots = range(self.layout.slots(lanes))
        return tuple([self._load(view, i, long, self._lane(lanes, k), u, scope) for k in slots])

    def _load(self, view: View, i: Any, long: int | None, lane: str, u: int, scope: Scope) -> str:
        text = f"{view.base}[{index_text(view, f'q{u}', i, lane, long)}]"
        if view.base in self._booleans:
            text = f"({text} != 0)"
        scope = self._scope_of(view, long, scope)
        if scope is self.row and not view.row:
            # The same for all rows, so it is in the cache: loaded where it is used.
            return scope.named(text)
        return scope.loaded(text)

    def _scope_of(self, view: View, long: int | None, scope: Scope) -> Scope:
        if view.row or not self.hoists or len(self.once.loads) >= HOISTED:
            return self.row
        return self.once

    def _lane(self, lanes: int, slot: int) -> str:
        """The lane that a slot of this thread holds; past the last lane, that one again."""
        return self.once.named(self.layout.near_lane(slot, lanes))

    def _inside(self, lanes: int, slot: int) -> str:
        """The condition under which a slot holds a lane; empty if it always does."""
        text = self.layout.inside(slot, lanes)
        return self.once.named(f"({text})") if text else ""

    def _store(self, v: Var, axis: int, x: Value, u: int, scope: Scope) -> None:
        a = self.writes.setdefault(v, Argument(f"o{len(self.writes)}", v, "rows", axis))
        view = memory_view(a.name, v.aval.shape, axis)
        long = self.layout.long_axes(view.shape)
        by_condition: dict[str, list[str]] = {}
        cells = self._cells(x, u, scope)
        for i in np.ndindex(*cells.names.shape):
            for condition, lane, name in self._stored_lanes(view, long, cells.names[i]):
                place = index_text(view, f"r{u}", i, lane, long[0] if long else None)
                value = f"u8({name})" if kind_of(v) == "b1" else name
                by_condition.setdefault(condition, []).append(f"{a.name}[{place}] = {value}")
        for condition, lines in by_condition.items():
            stored = f"live{u} and {condition}" if condition else f"live{u}"
            self._put_stores([f"if {stored}:", *cuda_text.indented(lines)], scope)

    def _put_stores(self, lines: list[str], scope: Scope) -> None:
        self.stores += lines

    def _stored_lanes(self, view: View, long: list[int], cell: Any) -> list[tuple[str, str, str]]:
        """The condition (empty for none), the lane and the name of what each slot stores."""
        if not long:
            return [("lane == 0" if self.layout.group > 1 else "", "", cell)]
        lanes = view.shape[long[0]]
        return [
            (self._inside(lanes, k), self._lane(lanes, k), name)
            for k, name in enumerate(self._spread(cell, lanes))
        ]

    def _spread(self, cell: Any, lanes: int) -> tuple[str, ...]:
        """A name for each slot, the same one where all lanes have the same value."""
        return cell if isinstance(cell, tuple) else (cell,) * self.layout.slots(lanes)

    # Reductions

    def _reduction(self, s: SweepEquation, x: Value, env: Env, u: int, scope: Scope) -> None:
        self._reduced(s, [x], env, u, scope)

    def _reduced(
        self, s: SweepEquation, operands: list[Value], env: Env, u: int, scope: Scope
    ) -> None:
        """Writes a reduction or a contraction."""
        v, combiner = s.equation.outputs[0], s.equation.primitive.combiner or "sum"
        out, lanes = self._uncombined(s, operands, u, scope)
        if s.axis is None:
            kept = self.layout.long_axes(v.aval.shape)
            self._add_to_sums(
                v,
                out,
                lanes or max([v.aval.shape[k] for k in kept], default=0),
                bool(lanes),
                u,
                scope,
            )
            return
        if lanes:
            self._over_lanes(out, lanes, combiner, kind_of(v), scope)
        env[v] = Cells(out, inner(v.aval.shape, s.axis))

    def _uncombined(
        self, s: SweepEquation, operands: list[Value], u: int, scope: Scope
    ) -> tuple[np.ndarray, int]:
        """For each element of a reduction or a contraction what the slots of a thread have of it,
        and how many lanes they still have to be combined over."""
        cells = [self._cells(x, u, scope) for x in operands]
        if s.equation.primitive.role is Role.CONTRACTION:
            return self._products(s, cells, scope)
        (x,) = cells
        over = without_axis(s.equation.params["axes"], s.uses[0].axis)
        columns, _ = _columns(x, over)
        long = self.layout.long_axes(x.shape)
        out = np.empty(columns.shape[:-1], object)
        for i in np.ndindex(*out.shape):
            out[i] = self._combined(list(columns[i]), s.equation.primitive.combiner, scope)
        return out, x.shape[long[0]] if long and long[0] in over else 0

    def _products(
        self, s: SweepEquation, cells: list[Cells], scope: Scope
    ) -> tuple[np.ndarray, int]:
        product, (x, y) = row_product(s), cells
        factors = multiplied(product, x, y, self.layout)
        out = np.empty(factors.shape, object)
        for i in np.ndindex(*out.shape):
            pairs: Any = factors[i]
            slots = max([len(c) for pair in pairs for c in pair if isinstance(c, tuple)], default=0)
            if slots:
                parts = [[_slot(p, k) for p in pairs] for k in range(slots)]
                out[i] = tuple([self._summed(part, scope) for part in parts])
            else:
                out[i] = self._summed(pairs, scope)
        for k, x in enumerate(cells):
            long = self.layout.long_axes(x.shape)
            if product.sums_over(long, k):
                return out, x.shape[long[0]]
        return out, 0

    def _summed(self, pairs: Sequence[Any], scope: Scope) -> str:
        """The sum of the products of pairs of names."""
        total = ""
        for x, y in pairs:
            term = f"{scope.named(x)} * {scope.named(y)}"
            total = scope.named(f"({total} + {term})" if total else f"({term})")
        return total

    def _combined(self, cells: list[Any], combiner: str, scope: Scope) -> Any:
        slots = max([len(c) for c in cells if isinstance(c, tuple)], default=0)
        if not slots:
            return self._chain(cells, combiner, scope)
        return tuple([self._chain(_slot(cells, k), combiner, scope) for k in range(slots)])

    def _chain(self, names: Sequence[str], combiner: str, scope: Scope) -> str:
        result = names[0]
        for name in names[1:]:
            x, y = scope.named(result), scope.named(name)
            result = scope.named(f"({combined(combiner, x, y)})")
        return result

    def _over_lanes(
        self, out: np.ndarray, lanes: int, combiner: str, kind: str, scope: Scope
    ) -> None:
        """Reduces over the lanes of a row; the results take the place of `out`."""
        for i in np.ndindex(*out.shape):
            if isinstance(out[i], str):
                if combiner == "sum":
                    out[i] = scope.named(f"({out[i]} * {kind}({lanes}))")
                continue
            neutral = f"{kind}({NEUTRAL[combiner]})"
            slots = enumerate(tuple(out[i]))
            masked = [self._masked(name, lanes, k, neutral) for k, name in slots]
            name = scope.variable(self._chain(masked, combiner, scope))
            scope.lines += self._over_group(name, kind, combiner)
            out[i] = name

    def _masked(self, name: str, lanes: int, slot: int, neutral: str) -> str:
        inside = self._inside(lanes, slot)
        return f"({name} if {inside} else {neutral})" if inside else name

    def _over_group(self, name: str, kind: str, combiner: str) -> list[str]:
        group, region = self.layout.group, self.shared.get(kind, 0)
        if group > cuda_text.WARP:
            self.exchanges += 1
            self.shared[kind] = region + group // cuda_text.WARP
        return cuda_text.over_group(
            name, kind, group, lambda x, y: combined(combiner, x, y), region
        )

    # Sums over rows

    def _add_to_sums(
        self, v: Var, out: np.ndarray, lanes: int, over_lanes: bool, u: int, scope: Scope
    ) -> None:
        """Adds one row to the accumulators of a sum; `lanes` is 0 if the row has none."""
        kind = kind_of(v)
        for j, i in enumerate(np.ndindex(*out.shape)):
            names: tuple[Any, ...] = self._spread(out[i], lanes) if lanes else (out[i],)
            if over_lanes:
                masked = [self._masked(x, lanes, k, f"{kind}(0)") for k, x in enumerate(names)]
                names = (self._chain(masked, "sum", scope),)
            accumulators = self.sums.accumulators(v, (j, i), len(names), lanes, over_lanes)
            for c, name in zip(accumulators, names, strict=True):
                scope.lines.append(f"{c} += {name} if live{u} else {kind}(0)")


def _emit_structure(
    writer: KernelWriter, s: SweepEquation, operands: list[Value], env: Env, u: int, scope: Scope
) -> Value | None:
    return writer._structure(s, operands, u, scope)


EMITTERS: dict[Role, Callable[..., Value | None]] = {
    Role.CONTRACTION: lambda writer, s, operands, env, u, scope: writer._reduced(
        s, operands, env, u, scope
    ),
    Role.COPY: _emit_structure,
    Role.ELEMENTWISE: lambda writer, s, operands, env, u, scope: writer._elementwise(
        s, operands, u, scope
    ),
    Role.GATHER: lambda writer, s, operands, env, u, scope: emit_gather(
        writer, s, operands, u, scope
    ),
    Role.REDUCTION: lambda writer, s, operands, env, u, scope: writer._reduction(
        s, operands[0], env, u, scope
    ),
    Role.SCATTER: lambda writer, s, operands, env, u, scope: emit_scatter(
        writer, s, operands, u, scope
    ),
    Role.VIEW: _emit_structure,
}
"""What writes an equation of each role: ``emit(writer, s, operands, env, u, scope)`` returns the
value of its result, or None where that is in `env` already."""


def _slot(cells: Sequence[Any], k: int) -> list[str]:
    return [c[k] if isinstance(c, tuple) else str(c) for c in cells]


def _columns(cells: Cells, over: tuple[int, ...]) -> tuple[np.ndarray, list[int]]:
    """The names with all axes that are reduced as the last one; and the axes that are kept."""
    x = cells.names
    kept = [k for k in range(x.ndim) if k not in over]
    moved = x.transpose([*kept, *over]).reshape((*[x.shape[k] for k in kept], -1))
    return moved, kept
