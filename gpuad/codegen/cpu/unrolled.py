"""Sweeps whose rows are a few numbers: every lane is a scalar of its own.

One loop over rows with straight-line code. A value is an array of names, one for each lane, so that
structure primitives are NumPy's own functions on these arrays and cost nothing at run time; LLVM
vectorises the loop across rows. Arrays of more lanes than LLVM takes apart are read and written
through scratch laid out lane by lane, transposed in registers.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument, SweepSource, kind_of, main_kind, number_text, typed_as
from gpuad.codegen.compile_cost import LIMIT, STRAIGHT, effort
from gpuad.codegen.cpu.gather_scatter import outside_lines
from gpuad.codegen.cpu.lane_major import Tiles, is_tiled, tile_bytes
from gpuad.codegen.cpu.loops import END_OUTSIDE, bound_checks, expression_text
from gpuad.codegen.cpu.nontemporal import block_lines
from gpuad.codegen.cpu.unrolled_gather import Names, UnrolledPlaces, scatter_bytes
from gpuad.codegen.structure import moved_names, row_params
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Equation, Literal, Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner, without_axis
from gpuad.plan.plan import SweepEquation, Use
from gpuad.plan.roles import is_indexed

LANES = 16
"""A row of at most so many lanes is written out."""
BLOCK = 4096
"""Rows of a block, at most."""
SUM_BLOCK = 256
"""The same where sums over rows in float32 go to float64 after each block: up to 64 rows for each
number of a vector, whose sum loses up to 1e-6 (of 4,096 rows it was 1e-5)."""
TILE_BYTES = 16 * 1024
"""Lane-major scratch of a block: half of a core's L1 cache."""


def can_unroll(sweep: Sequence[SweepEquation]) -> bool:
    """Whether the rows of a sweep are small enough to be written out."""
    most, units = 1, 0
    for s in sweep:
        e = s.equation
        if e.primitive.role is Role.CONTRACTION:
            return False
        values = [*zip(e.operands, s.uses, strict=True), (e.outputs[0], Use("", s.axis))]
        if is_indexed(e) and not e.params["batch"]:
            # Tables have no lanes.
            values = values[1:-1] if s.axis is None else values[1:]
        for x, use in values:
            lanes = size_of(inner(x.aval.shape, use.axis))
            most = max(most, lanes)
            units += lanes if use.kind == "rows" else 0
        if e.primitive.role in (Role.REDUCTION, Role.CUMULATIVE):
            units += 2 * size_of(inner(e.operands[0].aval.shape, s.uses[0].axis))
        elif e.primitive.role is Role.ELEMENTWISE:
            units += effort(s) * size_of(inner(e.outputs[0].aval.shape, s.axis))
    return 1 < most <= LANES and units <= LIMIT * STRAIGHT


class UnrolledWriter(UnrolledPlaces):
    """Writes the source of one sweep of few lanes."""

    def __init__(
        self,
        sweep: Sequence[SweepEquation],
        stored: set[Var],
        streams: Collection[Var] = (),
        speed: str = "fast",
    ):
        self.speed = speed
        self.sweep = sweep
        self.stored = stored
        self.streams = streams
        self.main = main_kind(sweep)
        self.reads: dict[Any, Argument] = {}
        self.writes: dict[Var, Argument] = {}
        self.sums: dict[Var, Argument] = {}
        self.names: dict[Any, Names] = {}
        self.once: list[str] = []
        self.lines: list[str] = []
        self.totals: list[tuple[str, str, str]] = []
        self.count = 0
        self.checked = False
        self.tables: dict[tuple[int, ...], str] = {}
        self.after: dict[str, str] = {}
        self.block = self._block_rows()
        self.tiles = Tiles(self.block, {})

    def write(self) -> SweepSource:
        slow = None
        lines = self._loop(self._body())
        if self.checked and self.speed == "fast":
            slow = UnrolledWriter(self.sweep, self.stored, self.streams, "slow").write().text
            lines = ["inside = True", *lines, *END_OUTSIDE]
        for sizes, found in self.tables.items():
            lines = [f"{found} = True", *lines, *outside_lines(sizes, found)]
        lines += [f"{place} += {name}" for name, place, _ in self.totals]
        lines += self.after.values()
        made = [s for s in self.sweep if s.axis is not None]
        width = max([size_of(inner(s.equation.outputs[0].aval.shape, s.axis)) for s in made] or [1])
        return SweepSource(
            self._function(lines),
            list(self.reads.values()),
            list(self.writes.values()),
            list(self.sums.values()),
            self.tiles.scratch,
            self.block,
            False,
            width,
            slow,
        )

    def _block_rows(self) -> int:
        """A power of two: fewer rows where the tiles of their arrays must stay in the cache."""
        arrays: set[Any] = set()
        for s in self.sweep:
            v = s.equation.outputs[0]
            if v in self.stored and s.axis is not None:
                arrays.add((v, s.axis))
            pairs = zip(s.equation.operands, s.uses, strict=True)
            arrays |= {(x, use.axis) for x, use in pairs if use.kind == "rows"}
        streamed = {v: size_of(inner(v.aval.shape, k)) for v, k in arrays if v in self.streams}
        short = any(s.axis is None and kind_of(s.equation.outputs[0]) == "f32" for s in self.sweep)
        most = SUM_BLOCK if short else BLOCK
        width = tile_bytes(arrays) + sum(map(scatter_bytes, self.sweep))
        width += sum(n * v.aval.dtype.itemsize for v, n in streamed.items())
        rows = max(64, min(512, TILE_BYTES // width)) if width else most
        return min(most, 1 << rows.bit_length() - 1)

    def _loop(self, body: list[str]) -> list[str]:
        start = [f"{name} = {kind}(0)" for name, _, kind in self.totals]
        return [*start, "for r in range(n):", *[f"    {x}" for x in body]]

    def _function(self, lines: list[str]) -> str:
        arguments = [*self.reads.values(), *self.writes.values(), *self.sums.values()]
        rows, streams = block_lines(arguments, self.streams, self.block, self.tiles.scratch)
        names = [*[a.name for a in arguments], *self.tiles.scratch]
        text = [f"def sweep({', '.join([*names, 'lo', 'hi'])}):"]
        text += [f"    {x}" for x in self.once]
        block = self.block
        text += [f"    for b0 in range(lo, hi, {block}):", f"        n = min({block}, hi - b0)"]
        lines = [*rows, *self.tiles.copies(False), *lines, *self.tiles.copies(True), *streams]
        text += [f"        {x}" for x in lines]
        text += ["    fence()"] if streams else []
        return "\n".join(text) + "\n"

    # The straight-line code of one row

    def _body(self) -> list[str]:
        for s in self.sweep:
            v = s.equation.outputs[0]
            self.names[v] = self._equation(s)
            if v in self.stored and s.axis is not None:
                self._write(v, s.axis)
        return self.lines

    def _fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def _equation(self, s: SweepEquation) -> Names:
        e = s.equation
        emit = EMITTERS.get(e.primitive.role)
        if emit is not None:
            return emit(self, s)
        operands = self._operands(s)
        shape = inner(e.outputs[0].aval.shape, s.axis)
        out = np.empty(shape, object)
        wide = [np.broadcast_to(x, shape) for x in operands]
        for i in np.ndindex(*shape):
            out[i] = self._scalar(e, [str(x[i]) for x in wide])
        return out

    def _operands(self, s: SweepEquation) -> list[Names]:
        return [self._operand(x, use) for x, use in zip(s.equation.operands, s.uses, strict=True)]

    def _structure(self, s: SweepEquation) -> Names:
        shape = inner(s.equation.outputs[0].aval.shape, s.axis)
        return restructured(s, self._operands(s), shape, f"{kind_of(s.equation.outputs[0])}(0)")

    def _running(self, s: SweepEquation) -> Names:
        """Each element along an axis from the one before it."""
        e, operands = s.equation, self._operands(s)
        kind, result, suffix = typed_as(e, self.main)
        (axis,) = without_axis((e.params["axis"],), s.axis)
        xs = [np.moveaxis(x, axis, 0) for x in operands]
        out = xs[-1].copy()
        for k, *i in np.ndindex(*out.shape):
            if k:
                names = [out[(k - 1, *i)], *[x[(k, *i)] for x in xs]]
                text = e.primitive.step
                value = expression_text(text, list(map(str, names)), kind, result, False, suffix)
                out[(k, *i)] = self._line(value)
        return np.moveaxis(out, 0, axis)

    def _scalar(self, e: Equation, operands: list[str]) -> str:
        text = e.primitive.scalar_text(e.params)
        kind, result, suffix = typed_as(e, self.main)
        for check in bound_checks(text):
            self.checked = True
            if self.speed == "fast":
                condition = expression_text(check, operands, kind, result, False, suffix)
                self.lines.append(f"inside &= {condition}")
        name = self._fresh()
        value = expression_text(text, operands, kind, result, self.speed == "slow", suffix)
        self.lines.append(f"{name} = {value}")
        return name

    def _operand(self, x: Any, use: Use) -> Names:
        if type(x) is Literal:
            return np.array(number_text(x.value), object)
        if use.kind == "block":
            return self.names[x]
        key = (x, use.kind, use.axis)
        if key not in self.reads:
            self.reads[key] = Argument(f"a{len(self.reads)}", x, use.kind, use.axis)
        if key not in self.names:
            self.names[key] = self._loaded(self.reads[key])
        return self.names[key]

    def _loaded(self, a: Argument) -> Names:
        shape = inner(a.var.aval.shape, a.axis)
        names = np.empty(shape, object)
        for j, i in enumerate(np.ndindex(*shape)):
            names[i] = self._fresh()
            if a.kind == "free":
                self.once.append(f"{names[i]} = {a.name}[{j}]")
            else:
                self.lines.append(f"{names[i]} = {self._element(a, shape, j)}")
        return names

    def _line(self, text: str) -> str:
        name = self._fresh()
        self.lines.append(f"{name} = {text}")
        return name

    def _write(self, v: Var, axis: int) -> None:
        shape = inner(v.aval.shape, axis)
        a = self.writes.setdefault(v, Argument(f"o{len(self.writes)}", v, "rows", axis))
        for j, i in enumerate(np.ndindex(*shape)):
            element = self._element(a, shape, j, written=True)
            self.lines.append(f"{element} = {self.names[v][i]}")

    def _element(self, a: Argument, shape: Sequence[int], j: int, written: bool = False) -> str:
        """Where lane `j` of the present row of an array is."""
        lanes = size_of(shape)
        if is_tiled(a.var, lanes):
            return self.tiles.tile(a.name, a.var, lanes, written).element(j)
        return f"{a.name}b[{_place(lanes, j)}]"

    def _reduction(self, s: SweepEquation) -> Names:
        e, v = s.equation, s.equation.outputs[0]
        (x,) = self._operands(s)
        over = without_axis(e.params["axes"], s.uses[0].axis)
        kept = [k for k in range(x.ndim) if k not in over]
        columns = x.transpose([*kept, *over]).reshape((*[x.shape[k] for k in kept], -1))
        combine = self._combiner(e.primitive.combiner)
        out = np.empty(columns.shape[:-1], object)
        for i in np.ndindex(*out.shape):
            out[i] = combine([str(name) for name in columns[i]])
        if s.axis is None:
            self._add_to_total(v, out)
        return out

    def _combiner(self, kind: str) -> Callable[[list[str]], str]:
        def combine(names: list[str]) -> str:
            result = names[0]
            for name in names[1:]:
                before, result = result, self._fresh()
                operation = (
                    f"{before} + {name}" if kind == "sum" else f"{kind}imum({before}, {name})"
                )
                self.lines.append(f"{result} = {operation}")
            return result

        return combine

    def _add_to_total(self, v: Var, values: Names) -> None:
        a = self.sums.setdefault(v, Argument(f"c{len(self.sums)}", v, "sum", None))
        for j, i in enumerate(np.ndindex(*values.shape)):
            name = f"{a.name}_{j}"
            self.totals.append((name, f"{a.name}[{j}]", kind_of(v)))
            self.lines.append(f"{name} = radd({name}, {values[i]})")


def _place(size: int, j: int) -> str:
    return "r" if size == 1 else f"{size} * r + {j}" if j else f"{size} * r"


EMITTERS: dict[Role, Callable[[UnrolledWriter, SweepEquation], Names]] = {
    Role.COPY: UnrolledWriter._structure,
    Role.CUMULATIVE: UnrolledWriter._running,
    Role.GATHER: UnrolledWriter._gather,
    Role.REDUCTION: UnrolledWriter._reduction,
    Role.SCATTER: UnrolledWriter._scatter,
    Role.VIEW: UnrolledWriter._structure,
}
"""What writes an equation that is not elementwise."""


def restructured(
    s: SweepEquation, operands: Sequence[Names], shape: tuple[int, ...], zero: Any
) -> Names:
    """The names, of a row of this shape, after a structure operation."""
    kept, params = row_params(s)
    first, *others = operands
    if kept is not None:
        first = first.reshape([first.shape[k] for k in kept])
    return moved_names([first, *others], s.equation.primitive, params, shape, zero)
