"""The source of a sweep: one Numba function that works through a range of rows, block by block.

Inside a block the equations are grouped into loops: all elementwise work over one shape of lanes
is one loop, values that no other loop needs stay in registers, the others in scratch that is used
again for the next block. Row sums are added up per block, then in float64 per segment of rows.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gpuad.executors.loops import (
    Assign,
    At,
    Reduce,
    bound_checks,
    copy_lines,
    expression_text,
    loop_lines,
)
from gpuad.executors.ordering import COPIES, GEMM, REDUCTIONS, Loop, Ordering
from gpuad.executors.views import View, contiguous, loop_order, ordered, size_of
from gpuad.ir.graph import Equation, Literal, Var
from gpuad.plan.plan import SweepEquation, Use
from gpuad.plan.views import VIEWS

BLOCK_BYTES = 256 * 1024
"""Scratch of a block: what stays in a core's L2 cache beside the rows being read."""
PLANAR_LANES = 16
"""Up to so many lanes, scratch is laid out lane by lane, so that loops over rows vectorise."""

GEMM_VALUES = 1 << 15
"""A matrix of at most so many values is multiplied block by block; a larger one, by the library."""
TYPES = {"f4": "f32", "f8": "f64", "i4": "i32", "i8": "i64", "b1": "b1"}


@dataclass(frozen=True)
class Argument:
    """An array that a sweep reads or writes: `kind` is "rows", "free" or "sum"."""

    name: str
    var: Var
    kind: str
    axis: int | None
    order: tuple[int, ...] | None = None
    """For a "free" array: the order of its axes in which the sweep reads it, if not its own."""


@dataclass
class SweepSource:
    """A generated sweep: its text, its arguments in order, and its scratch sizes by type."""

    text: str
    reads: list[Argument]
    writes: list[Argument]
    sums: list[Argument]
    scratch: dict[str, tuple[str, int]]
    block: int
    products: bool
    width: int
    """Values that a row takes through the longest loop: a measure of its work."""

    @property
    def types(self) -> list[str]:
        """The types of all arguments in order, as source text."""
        kinds = [f"read({kind_of(a.var)})" for a in self.reads]
        kinds += [f"write({kind_of(a.var)})" for a in self.writes]
        kinds += ["write(f64)"] * len(self.sums)
        return [*kinds, *[f"write({k})" for k, _ in self.scratch.values()], "int64", "int64"]


def inner(shape: Sequence[Any], axis: int | None) -> tuple[Any, ...]:
    """The shape (or anything per axis) of one row: all axes but the row axis."""
    return tuple(shape) if axis is None else (*shape[:axis], *shape[axis + 1 :])


def without_axis(axes: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """Axis numbers after the row axis is taken out."""
    return tuple([a if axis is None else a - (a > axis) for a in axes if a != axis])


def kind_of(x: Any) -> str:
    return TYPES[x.aval.dtype.str[1:]]


def main_kind(sweep: Sequence[SweepEquation]) -> str:
    """The floating-point type that the functions of a sweep have, unless a suffix says another."""
    kinds = [kind_of(s.equation.outputs[0]) for s in sweep]
    return next((k for k in kinds if k in ("f32", "f64")), "f64")


def typed_as(e: Equation, main: str) -> tuple[str, str, str]:
    """The type of numbers in the text of an equation, that of its result, and the suffix of its
    functions."""
    kind = kind_of(e.operands[e.primitive.scalars_like])
    suffix = f"_{kind}" if kind in ("f32", "f64") and kind != main else ""
    return kind, kind_of(e.outputs[0]), suffix


def number_text(value: Any) -> str:
    """A literal as typed source text."""
    kind = TYPES[value.dtype.str[1:]]
    return f"{kind}({value.item()!r})"


class SweepWriter:
    """Writes the source of one sweep.

    `axis` and `views` say where each value lies; `lines` is the work of one block,
    `scratch` has the type and size of the arrays for values of a block.
    """

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var]):
        self.sweep = sweep
        self.stored = stored
        self.main = main_kind(sweep)
        self.reads: dict[Any, Argument] = {}
        self.writes: dict[Var, Argument] = {}
        self.sums: dict[Var, Argument] = {}
        self.views: dict[Any, View] = {}
        self.names: dict[Any, str] = {}
        self.scratch: dict[str, tuple[str, int]] = {}
        self.lines: list[str] = []
        lanes = [size_of(self._made_shape(s)) for s in sweep if s.axis is not None]
        self.products = any(s.equation.primitive.name == GEMM for s in sweep)
        self.planar = 1 < max(lanes, default=1) <= PLANAR_LANES and not self.products
        self.order = self._order()
        self.kept = self._kept()
        self.block = self._block_rows()

    def write(self) -> SweepSource:
        for item in self.order:
            if isinstance(item, Loop):
                self._loop(item)
            elif item.equation.primitive.name == GEMM:
                self._product(item)
            elif item.equation.primitive.name in COPIES:
                self._copies(item)
            else:
                self._view(item)
        return SweepSource(
            self._function(),
            list(self.reads.values()),
            list(self.writes.values()),
            list(self.sums.values()),
            dict(self.scratch),
            self.block,
            self.products,
            max([size_of(self._space(s)) for s in self.sweep]),
        )

    # Grouping into loops

    @staticmethod
    def _made_shape(s: SweepEquation) -> tuple[int, ...]:
        return inner(s.equation.outputs[0].aval.shape, s.axis)

    def _space(self, s: SweepEquation) -> tuple[int, ...]:
        """The lanes that an equation runs over: of its result, or of what it reduces."""
        if s.equation.primitive.name in REDUCTIONS:
            return inner(s.equation.operands[0].aval.shape, s.uses[0].axis)
        return self._made_shape(s)

    def _order(self) -> list[Any]:
        """Loops and structure equations in the order in which they run."""
        return Ordering(self.sweep, self._space, self._block_operands).order

    @staticmethod
    def _block_operands(s: SweepEquation) -> set[Any]:
        pairs = zip(s.equation.operands, s.uses, strict=True)
        return {x for x, use in pairs if use.kind == "block"}

    def _kept(self) -> set[Any]:
        """Values that a later loop or view reads: they need scratch."""
        kept: set[Any] = set()
        for item in self.order:
            equations = item.equations if isinstance(item, Loop) else [item]
            mine = {
                s.equation.outputs[0]
                for s in equations
                if isinstance(item, Loop) and s.equation.primitive.name not in REDUCTIONS
            }
            for s in equations:
                kept |= self._block_operands(s) - mine
        return kept

    def _block_rows(self) -> int:
        """A power of two: as many rows as have their scratch in the cache."""
        width = 64
        for s in self.sweep:
            v = s.equation.outputs[0]
            if s.axis is not None and v in self.kept and s.equation.primitive.name not in VIEWS:
                width += size_of(self._made_shape(s)) * v.aval.dtype.itemsize
        rows_read = {
            (x, use.axis): size_of(inner(x.aval.shape, use.axis)) * x.aval.dtype.itemsize
            for s in self.sweep
            for x, use in zip(s.equation.operands, s.uses, strict=True)
            if use.kind == "rows"
        }
        width += sum(rows_read.values())
        rows = max(1, BLOCK_BYTES // width)
        return max(16, min(2048, 1 << rows.bit_length() - 1))

    # Places

    def _name(self, x: Any) -> str:
        return self.names.setdefault(x, f"v{len(self.names)}")

    def _slot(self, name: str, kind: str, size: int) -> None:
        self.scratch[name] = kind, size

    def _new_block(self, v: Var, shape: tuple[int, ...], matrix: bool = False) -> View:
        """Scratch for a value; for a `matrix`, with its last axis innermost."""
        name = f"w{self._name(v)[1:]}"
        self._slot(name, kind_of(v), size_of(shape) * self.block)
        if self.planar:
            return View(name, shape, tuple([s * self.block for s in contiguous(shape)]), 1)
        strides = contiguous(shape) if matrix else ordered(shape, loop_order(shape))
        return View(name, shape, strides, size_of(shape))

    def _read(self, x: Var, use: Use) -> View:
        if use.kind == "block":
            return self.views[x]
        key = (x, use.kind, use.axis)
        if key not in self.views:
            shape = inner(x.aval.shape, use.axis)
            name = f"a{len(self.reads)}"
            self.reads[key] = Argument(name, x, use.kind, use.axis)
            rows = use.kind == "rows"
            base = f"{name}b" if rows else name
            order = loop_order(shape)
            if not rows and order != sorted(order):
                # What is the same for all rows is laid out as the loops run.
                self.reads[key] = replace(self.reads[key], order=tuple(order))
                self.views[key] = View(base, shape, ordered(shape, order), 0)
            else:
                strides = contiguous(shape)
                self.views[key] = View(base, shape, strides, size_of(shape) if rows else 0)
        return self.views[key]

    def _output(self, v: Var, axis: int) -> View:
        shape = inner(v.aval.shape, axis)
        name = f"o{len(self.writes)}"
        self.writes[v] = Argument(name, v, "rows", axis)
        return View(f"{name}b", shape, contiguous(shape), size_of(shape))

    # Structure

    def _view(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        source = self._read(e.operands[0], s.uses[0])  # type: ignore[arg-type]
        moved = self._moved(source, s)
        if moved is None:
            dense = self._new_block(v, source.shape, matrix=True)
            self.lines += copy_lines(dense, source, self.planar)
            moved = dense.reshape(self._made_shape(s))
            assert moved is not None
        self.views[v] = moved
        self._copy_out(s)

    def _moved(self, source: View, s: SweepEquation) -> View | None:
        e, axis, from_axis = s.equation, s.axis, s.uses[0].axis
        p, name = e.params, e.primitive.name
        if name == "broadcast":
            dims = inner(p["dims"], from_axis)
            along = [k for k, d in enumerate(dims) if d != axis]
            # An axis of size 1 may be what is repeated along the rows.
            source = source.keep(along)
            return source.broadcast(inner(p["shape"], axis), without_axis(dims, axis))
        if name == "reshape":
            return source.reshape(self._made_shape(s))
        if name == "transpose":
            perm = [q for q in p["perm"] if q != from_axis]
            return source.transpose(without_axis(perm, from_axis))
        if name == "flip":
            return source.flip(without_axis(p["axes"], axis))
        return source.slice(*[inner(p[k], axis) for k in ("starts", "stops", "steps")])

    def _copies(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        target = self._new_block(v, self._made_shape(s))
        self.views[v] = target
        if e.primitive.name == "pad":
            self._pad(s, target)
        else:
            self._concatenate(s, target)
        self._copy_out(s)

    def _pad(self, s: SweepEquation, target: View) -> None:
        e = s.equation
        self.lines += copy_lines(target, None, self.planar, f"{kind_of(e.outputs[0])}(0)")
        source = self._read(e.operands[0], s.uses[0])  # type: ignore[arg-type]
        low, step = inner(e.params["low"], s.axis), inner(e.params["step"], s.axis)
        stops = [a + (n - 1) * c + 1 for a, n, c in zip(low, source.shape, step, strict=True)]
        self.lines += copy_lines(target.slice(low, stops, step), source, self.planar)

    def _concatenate(self, s: SweepEquation, target: View) -> None:
        (axis,) = without_axis((s.equation.params["axis"],), s.axis)
        start = 0
        for x, use in zip(s.equation.operands, s.uses, strict=True):
            source = self._read(x, use)  # type: ignore[arg-type]
            starts = [start if k == axis else 0 for k in range(len(source.shape))]
            stops = [a + n for a, n in zip(starts, source.shape, strict=True)]
            part = target.slice(starts, stops, [1] * len(starts))
            self.lines += copy_lines(part, source, self.planar)
            start += source.shape[axis]

    def _copy_out(self, s: SweepEquation) -> None:
        v = s.equation.outputs[0]
        if v in self.stored and s.axis is not None:
            self.lines += copy_lines(self._output(v, s.axis), self.views[v], self.planar)

    # Matrix products, on the block

    def _product(self, s: SweepEquation) -> None:
        contract = s.equation.params["contract"]
        if s.axis is None:
            self._row_product(s, contract)
            return
        side = 0 if s.uses[0].axis is not None else 1
        x, use = s.equation.operands[side], s.uses[side]
        y = s.equation.operands[1 - side]
        mine, other = contract[side], contract[1 - side]
        source = self._read(x, use)  # type: ignore[arg-type]
        lanes = without_axis(mine, use.axis)
        free = [k for k in range(len(source.shape)) if k not in lanes]
        left = self._matrix(x, source.transpose([*free, *lanes]))
        free_y = [k for k in range(y.aval.ndim) if k not in other]
        right = self._free_matrix(y, (*other, *free_y))
        rows_shape = [source.shape[k] for k in free]
        y_shape = [y.aval.shape[k] for k in free_y]
        k, m = size_of([y.aval.shape[i] for i in other]), size_of(y_shape)
        n = f"{size_of(rows_shape)} * n"
        v = s.equation.outputs[0]
        out = self._new_block(v, (*rows_shape, *y_shape), matrix=True)
        self.lines.append(f"product({left}, {right}, {out.base}, {n}, {k}, {m})")
        if side == 1:
            # The result has the free axes of the first operand in front.
            order = range(len(rows_shape), len(rows_shape) + len(y_shape))
            out = out.transpose([*order, *range(len(rows_shape))])
        self.views[v] = out
        self._copy_out(s)

    def _row_product(self, s: SweepEquation, contract: Any) -> None:
        """A sum over rows of outer products: two blocks multiplied, added to the total."""
        sides, shapes = [], []
        shared = 1
        for x, use, axes in zip(s.equation.operands, s.uses, contract, strict=True):
            source = self._read(x, use)  # type: ignore[arg-type]
            lanes = without_axis([a for a in axes if a != use.axis], use.axis)
            free = [k for k in range(len(source.shape)) if k not in lanes]
            sides.append(self._matrix(x, source.transpose([*lanes, *free])))
            shapes.append(size_of([source.shape[k] for k in free]))
            shared = size_of([source.shape[k] for k in lanes])
        v = s.equation.outputs[0]
        total = f"c{len(self.sums)}"
        self.sums[v] = Argument(total, v, "sum", None)
        a, b = shapes
        self._slot(f"{total}b", kind_of(v), a * b)
        n = f"{shared} * n"
        x2, y2 = sides
        self.lines.append(f"row_product({x2}, {y2}, {total}b, {n}, {a}, {b})")
        self.lines += [f"for i in range({a * b}):", f"    {total}[i] += {total}b[i]"]

    def _matrix(self, x: Any, view: View) -> str:
        """The name of a block that holds this view densely, row after row."""
        if view.flat and not view.offset:
            return view.base
        dense = self._new_block(Var(x.aval), view.shape, matrix=True)
        self.lines += copy_lines(dense, view, False)
        return dense.base

    def _free_matrix(self, y: Any, axes: tuple[int, ...]) -> str:
        key = (y, "matrix", axes)
        if key not in self.reads:
            self.reads[key] = Argument(f"a{len(self.reads)}", y, "free", None, axes)
        return self.reads[key].name

    # Loops

    def _loop(self, loop: Loop) -> None:
        local: dict[Any, str] = {}
        reads: list[View] = []
        statements: list[Assign | Reduce] = []
        for s in loop.equations:
            operands = [
                self._operand(x, use, local, reads)
                for x, use in zip(s.equation.operands, s.uses, strict=True)
            ]
            if s.equation.primitive.name in REDUCTIONS:
                statements.append(self._reduce(s, operands[0], loop.shape))
            else:
                statements.append(self._assign(s, operands, local, loop.shape))
        flat = not self.planar and self._is_flat(statements, reads)
        self.lines += loop_lines(loop.shape, statements, self.planar, flat)

    @staticmethod
    def _is_flat(statements: Sequence[Any], reads: Sequence[View]) -> bool:
        scalar_sums = all(
            s.total and size_of(s.target.shape) == 1 for s in statements if isinstance(s, Reduce)
        )
        stores = [view for s in statements if isinstance(s, Assign) for view in s.stores]
        return scalar_sums and all(
            view.flat if view.row else not any(view.strides) or size_of(view.shape) == 1
            for view in (*reads, *stores)
        )

    def _operand(self, x: Any, use: Use, local: dict[Any, str], reads: list[View]) -> Any:
        if type(x) is Literal:
            text = number_text(x.value)
            return lambda at: text
        if x in local:
            name = local[x]
            return lambda at: name
        view = self._read(x, use)
        reads.append(view)
        return lambda at: at(view)

    def _assign(
        self, s: SweepEquation, operands: list[Any], local: dict[Any, str], shape: tuple[int, ...]
    ) -> Assign:
        e, v = s.equation, s.equation.outputs[0]
        kind, result, suffix = typed_as(e, self.main)
        text = e.primitive.scalar_text(e.params) if e.primitive.kind == "elementwise" else "x"
        stores = []
        if v in self.kept:
            self.views[v] = self._new_block(v, shape)
            stores.append(self.views[v])
        if v in self.stored and s.axis is not None:
            stores.append(self._output(v, s.axis))
        local[v] = self._name(v)

        def expression(at: At, speed: str) -> str:
            names = [f(at) for f in operands]
            return expression_text(text, names, kind, result, speed == "slow", suffix)

        def check(condition: str) -> Callable[[At], str]:
            return lambda at: expression_text(
                condition, [f(at) for f in operands], kind, result, False, suffix
            )

        checks = tuple([check(condition) for condition in bound_checks(text)])
        return Assign(local[v], expression, tuple(stores), checks)

    def _reduce(self, s: SweepEquation, value: Any, lanes: tuple[int, ...]) -> Reduce:
        e, v = s.equation, s.equation.outputs[0]
        over = without_axis(e.params["axes"], s.uses[0].axis)
        kept = tuple([k for k in range(len(lanes)) if k not in over])
        shape = tuple([lanes[k] for k in kept])
        name = self._name(v)
        combiner = REDUCTIONS[e.primitive.name]
        if s.axis is not None:
            self.views[v] = target = self._new_block(v, shape)
            stored = self._output(v, s.axis) if v in self.stored else None
            return Reduce(name, kind_of(v), value, kept, target, stored, None, combiner)
        total = f"c{len(self.sums)}"
        self.sums[v] = Argument(total, v, "sum", None)
        if size_of(shape) > 1:
            self._slot(f"{total}b", kind_of(v), size_of(shape))
        target = View(f"{total}b", shape, contiguous(shape), 0)
        return Reduce(name, kind_of(v), value, kept, target, None, total)

    # The function around it

    def _function(self) -> str:
        arguments = [*self.reads.values(), *self.writes.values(), *self.sums.values()]
        names = [a.name for a in arguments] + list(self.scratch)
        lines = [f"def sweep({', '.join([*names, 'lo', 'hi'])}):"]
        lines += [f"    for b0 in range(lo, hi, {self.block}):"]
        lines += [f"        n = min({self.block}, hi - b0)"]
        for a in arguments:
            if a.kind == "rows":
                size = size_of(inner(a.var.aval.shape, a.axis))
                lines.append(f"        {a.name}b = {a.name}[{size} * b0:{size} * (b0 + n)]")
        lines += [f"        {x}" for x in self.lines]
        return "\n".join(lines) + "\n"


def words(text: str) -> list[str]:
    """The names in a text."""
    return re.findall(r"(?<![\w.])[A-Za-z_]\w*", text)


def joins(e: Equation, functions: frozenset[str]) -> bool:
    """Whether a CPU sweep, with these functions at hand, can compute this equation."""
    values = (*e.operands, *e.outputs)
    if any(x.aval.dtype.str[1:] not in TYPES or 0 in x.aval.shape for x in values):
        return False
    name = e.primitive.name
    if e.primitive.kind == "elementwise":
        floats = all(x.aval.dtype.kind in "fb" for x in values)
        known = set(words(e.primitive.scalar_text(e.params))) <= functions
        return known and floats
    if name == GEMM:
        return _joins_product(e)
    if name in REDUCTIONS:
        return e.outputs[0].aval.dtype.kind == "f"
    return name in (*VIEWS, *COPIES)


def _joins_product(e: Equation) -> bool:
    contract = e.params["contract"]
    if e.params["batch"][0] or not contract[0] or any(x.aval.dtype.kind != "f" for x in e.operands):
        return False
    sizes = sorted(x.aval.size for x in (*e.operands, *e.outputs))
    return sizes[0] <= GEMM_VALUES
