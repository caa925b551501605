"""Sums over rows of products that have more elements than the threads of a row can hold: all
threads of a block share them.

x (rows, K) and y (rows, M) give (K, M), Σ x_k y_m, as the gradient by the weights of a layer. When
a round of rows is computed, its x and y go to shared memory, or are read from memory again where
they are arguments. Then each thread adds up a tile of products over these rows in registers
(`product_tiles`), and adds it to its sums, which are in shared memory between the rounds. So sums
go in two levels, and take no registers from what computes rows.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import Unsuitable
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.matrices import adds_to_block
from gpuad.codegen.cuda.product_tiles import ALIGNED, LARGEST, Side, Tiles, best_tiles
from gpuad.codegen.cuda.products import row_product
from gpuad.codegen.cuda.row_batches import OWN
from gpuad.codegen.cuda.shared_pool import PooledWriter
from gpuad.codegen.cuda.shared_vectors import loaded, stored
from gpuad.codegen.cuda.source import SIZES, Sum
from gpuad.codegen.cuda.writer import Env
from gpuad.codegen.views import View, contiguous
from gpuad.ir.graph import Var
from gpuad.kernels.cuda_text import WARP, indented
from gpuad.plan.plan import SweepEquation, Use

UNROLLED = 80
"""Products in a turn of the loop over rows, at most."""
UNROLLED_AGAIN = 320
"""The same with rows that are read from memory again: it waits less often for several of them."""
FEW_REGISTERS = 40
"""Products of a thread, at most, where it holds many values meanwhile."""


@dataclass(frozen=True)
class Factor:
    """One operand of a sum of products: for each element of a row, in the order in which they lie
    in shared memory, where it goes in the result.

    The elements have the axes `axes` of the operand's row, lanes last, of these sizes; `strides`
    are those in the result.
    """

    s: SweepEquation
    which: int
    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.sizes)

    def place(self, element: str) -> str:
        """Where an element of a row goes, as source text."""
        terms, rest = [], self.size
        for n, stride in zip(self.sizes, self.strides, strict=True):
            text = element if rest == self.size else f"({element}) % {rest}"
            rest //= n
            terms.append(f"({text}) // {rest} * {stride}" if rest > 1 else f"({text}) * {stride}")
        return " + ".join(terms)


@dataclass(frozen=True)
class Operand:
    """One side of the products: factors side by side. `view` is what is read from memory again."""

    factors: list[Factor]
    view: View | None

    @property
    def size(self) -> int:
        return sum(f.size for f in self.factors)

    @property
    def staged(self) -> int:
        """Values of a row in shared memory."""
        return 0 if self.view else -(-self.size // ALIGNED) * ALIGNED

    @property
    def starts(self) -> list[int]:
        return [0, *itertools.accumulate([f.size for f in self.factors])]

    def aligned(self, itemsize: int) -> int:
        """Values of a vector, at most, that is loaded at once."""
        most = min(ALIGNED, 16 // itemsize)
        return math.gcd(self.view.row, self.view.offset, most) if self.view else most


@dataclass(frozen=True)
class Rows:
    """Where rows are in shared memory: of all threads of a block or, if `of_warps`, of each warp.
    `pitch` is their distance."""

    of_warps: bool
    pitch: int
    count: int
    kind: str

    @property
    def barrier(self) -> str:
        return "cuda.syncwarp()" if self.of_warps else "cuda.syncthreads()"


class _Loads(NamedTuple):
    """What a thread loads of one side of the products: its tile, of this number; rows have this
    side from `start` on."""

    operand: Operand
    side: Side
    number: str
    start: int


class BlockProductWriter(PooledWriter):
    """Writes a sweep of the row family, whose sums over rows may have any number of elements."""

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        self._by_block = [s for s in sweep if adds_to_block(s)]
        if self._by_block and layout.group > WARP:
            raise Unsuitable("a block has too few rows for its sums of products")
        self._together: list[SweepEquation] = []
        # By dtype, values in shared memory: rows at a time, and sums of all threads of a block.
        self._row_values: dict[str, int] = {}
        self._sum_values: dict[str, int] = {}
        # Where the sums of a thread begin, by the first of the results; and how they are stored at
        # the end: condition, sum, place and value.
        self._sums_begin: dict[Var, int] = {}
        self._after: list[tuple[str, Sum, str, str]] = []

    def _one(self, s: SweepEquation, envs: list[Env]) -> None:
        if not any(s is x for x in self._by_block):
            super()._one(s, envs)
            return
        self._together.append(s)
        if not self._joins_next(s):
            together, self._together = self._together, []
            self._sum_products(together, envs)

    def _joins_next(self, s: SweepEquation) -> bool:
        """Whether the next sum of products has its second operand in common with this one, and sums
        over the same axes of it."""
        numbers = [k for k, x in enumerate(self._by_block) if x is s]
        after = self._by_block[numbers[0] + 1 :][:1]
        return any(_second(s) == _second(x) for x in after)

    # Sums of products

    def _sum_products(self, together: list[SweepEquation], envs: list[Env]) -> None:
        """Lines that add the products of all rows of a round to the sums of a block."""
        env, kind = envs[0], kind_of(together[0].equation.outputs[0])
        operands = [
            Operand([self._factor(s, 0, env) for s in together], self._again(together, 0, env)),
            Operand([self._factor(together[0], 1, env)], self._again(together[:1], 1, env)),
        ]
        streams = self._stream_places(together[0], env)
        if any(x.view for x in operands) and len(streams) > 1:
            raise Unsuitable("several products of what is read from memory again")
        tiles = self._tiles(operands, kind)
        rows = self._place_rows(operands, tiles, kind)
        self.row.lines += [f"{p} = {kind}(0)" for of_x in tiles.products for p in of_x]
        for stream in streams:
            self.row.lines.append(rows.barrier)
            start = 0
            for x in operands:
                if not x.view:
                    for f, first in zip(x.factors, x.starts, strict=False):
                        self._stage(f, stream, envs, start + first, rows)
                start += x.staged
            self.row.lines.append(rows.barrier)
            self._add_tiles(operands, tiles, rows)
        self._add_to_block(operands, tiles, kind)
        self._after_sums(rows)

    def _tiles(self, operands: list[Operand], kind: str) -> Tiles:
        layout, (x, y) = self.layout, operands
        aligned = x.aligned(SIZES[kind]), y.aligned(SIZES[kind])
        most = FEW_REGISTERS if layout.parked else LARGEST
        # Rounds of all kinds have the same tiles.
        sizes, rows = (x.size, y.size), layout.threads // layout.group * self._most_rows
        tiles = best_tiles(sizes, aligned, layout.threads, rows, most)
        if tiles is None:
            raise Unsuitable("more sums than the threads of a block hold")
        return tiles

    def _place_rows(self, operands: list[Operand], tiles: Tiles, kind: str) -> Rows:
        """Makes room for rows in shared memory."""
        pitch = sum(x.staged for x in operands)
        of_warps = tiles.threads < self.layout.threads
        count = self._rows_of_warp if of_warps else self.layout.block_rows
        self._row_values[kind] = max(self.layout.block_rows * pitch, self._row_values.get(kind, 0))
        return Rows(of_warps, pitch, count, kind)

    def _after_sums(self, rows: Rows) -> None:
        """Lines after sums of products."""

    def _shared_lines(self) -> list[str]:
        lines = super()._shared_lines()
        for k, n in self._sum_values.items():
            lines.append(f"for i in range(t, {n}, {self.layout.threads}):")
            lines.append(f"    p_{k}[i] = {k}(0)")
        return [*lines, "cuda.syncthreads()"] if self._sum_values else lines

    def _arrays(self) -> list[tuple[str, dict[str, int]]]:
        return [*super()._arrays(), ("z", self._row_values), ("p", self._sum_values)]

    @property
    def _rows_of_warp(self) -> int:
        return WARP // self.layout.group * self.layout.rows

    def _factor(self, s: SweepEquation, which: int, env: Env) -> Factor:
        product = row_product(s)
        shape = self._operands(s, env)[which].shape
        long = self.layout.long_axes(shape)
        free = product.free[which]
        if any(k not in free for k in long) or len(long) > 1:
            raise Unsuitable("products are summed over lanes")
        before = len(product.free[0]) if which else 0
        strides = dict(zip(free, contiguous(product.shape)[before:], strict=False))
        axes = sorted(free, key=lambda k: (k in long, k))
        return Factor(
            s, which, tuple(axes), tuple([shape[k] for k in axes]),
            tuple([strides[k] for k in axes]),
        )  # fmt: skip

    def _again(self, together: Sequence[SweepEquation], which: int, env: Env) -> View | None:
        """The lanes of an argument, side by side in memory, that are read from there again."""
        if len(together) > 1:
            return None
        view = self._operands(together[0], env)[which]
        if not isinstance(view, View) or not view.row or len(view.shape) > 1:
            return None
        if view.base in self._booleans or view.base in self.moved:
            return None
        return view if self.layout.long_axes(view.shape) and view.strides == (1,) else None

    def _stream_places(self, s: SweepEquation, env: Env) -> list[tuple[int, ...]]:
        """The places along the short axes that are summed over."""
        shape = self._operands(s, env)[0].shape
        return [*np.ndindex(*[shape[k] for k in row_product(s).contract[0]])]

    # Rows in shared memory

    def _stage(
        self, f: Factor, stream: tuple[int, ...], envs: list[Env], start: int, rows: Rows
    ) -> None:
        """Puts the rows of an operand into shared memory: zeros where there is no row."""
        if self.layout.long_axes(f.sizes[-1:]):
            for u, env in enumerate(envs):
                names = self._names_of(f, stream, env, u)
                for k, name in enumerate(names):
                    place = start + u * rows.pitch + k * f.sizes[-1]
                    self._stage_lanes(name, f.sizes[-1], place, u, rows)
            return
        u = OWN if self._several else 0
        base = self._row_start(rows, own=True)
        lines = []
        for k, name in enumerate(self._names_of(f, stream, envs[0], u)):
            value = self.row.named(f"({name} if live{u} else {rows.kind}(0))")
            lines.append(f"z_{rows.kind}[{base} + {start + k}] = {value}")
        condition = self._first_owner() if self._several else "lane == 0"
        self.row.lines += [f"if {condition}:", *indented(lines)]

    def _names_of(self, f: Factor, stream: tuple[int, ...], env: Env, u: Any) -> list[Any]:
        """The names of a row's elements, in their order; those of all lanes as one."""
        cells = self._cells(self._operands(f.s, env)[f.which], u, self.row)
        summed = dict(zip(row_product(f.s).contract[f.which], stream, strict=True))
        long = self.layout.long_axes(f.sizes)
        found = []
        for i in np.ndindex(*[1 if k in long else n for k, n in enumerate(f.sizes)]):
            where = {**summed, **dict(zip(f.axes, i, strict=True))}
            found.append(cells.names[tuple([where[a] for a in range(cells.names.ndim)])])
        return found

    def _stage_lanes(self, name: Any, lanes: int, place: int, u: int, rows: Rows) -> None:
        names, kind, base = self._spread(name, lanes), rows.kind, self._row_start(rows, own=False)
        n = self.layout.vector if place % self.layout.vector == 0 else 1
        for slot in range(0, len(names), n):
            some = [
                self.row.named(f"({x} if live{u} else {kind}(0))") for x in names[slot : slot + n]
            ]
            lines = stored(f"z_{kind}", f"{base} + {self._lane(lanes, slot)} + {place}", some, n)
            inside = self._inside(lanes, slot)
            self.row.lines += [f"if {inside}:", *indented(lines)] if inside else lines

    def _row_start(self, rows: Rows, own: bool) -> str:
        """The name of where the rows of a group begin, or the row that a thread owns."""
        group = f"(group & {WARP // self.layout.group - 1})" if rows.of_warps else "group"
        number = f"{group} * {self.layout.rows}"
        if own and self._several:
            number = f"({number} + {self._owned})"
        return self.once.named(f"({self._rows_begin(rows)} + {number} * {rows.pitch})")

    def _rows_begin(self, rows: Rows) -> str:
        """Where the first row of all threads that share rows is."""
        return f"(t >> 5) * {rows.count * rows.pitch}" if rows.of_warps else "0"

    # Tiles of products

    def _add_tiles(self, operands: list[Operand], tiles: Tiles, rows: Rows) -> None:
        """The loop over rows in which threads add up their products."""
        (first, second), (i, j) = operands, _numbers(tiles)
        sides = _Loads(first, tiles.x, i, 0), _Loads(second, tiles.y, j, first.staged)
        most = UNROLLED_AGAIN if any(x.view for x in operands) else UNROLLED
        some = [n for n in (8, 4, 2, 1) if n * tiles.size <= most or n == 1]
        at_once = math.gcd(some[0], rows.count)
        loads: list[str] = []
        products: list[str] = []
        for r in range(at_once):
            xs, ys = [
                [f"{x}{r}_{k}" for k in range(n)] for x, n in zip("xy", tiles.tile, strict=True)
            ]
            loads += self._values(sides[0], xs, f"r + {r}", rows)
            loads += self._values(sides[1], ys, f"r + {r}", rows)
            for x, of_x in zip(xs, tiles.products, strict=True):
                products += [f"{p} += {x} * {y}" for p, y in zip(of_x, ys, strict=True)]
        body = indented([*loads, *products])
        self.row.lines += [f"for r in range(0, {rows.count}, {at_once}):", *body]

    def _values(self, x: _Loads, names: list[str], row: str, rows: Rows) -> list[str]:
        """Lines that load the values of a thread's tile in a row."""
        side, view, live = x.side, x.operand.view, ""
        begin = self.once.named(f"({self._rows_begin(rows)})")
        array, base = f"z_{rows.kind}", f"{begin} + ({row}) * {rows.pitch} + {x.start}"
        if view:
            array = view.base
            of_warp = f"(t >> 5) * {rows.count} + " if rows.of_warps else ""
            place = f"first + {of_warp}{row}"
            if self.masked:
                live, place = f"{place} < n", f"min({place}, n - 1)"
            base = f"({place}) * {view.row} + {view.offset}"
        lines = []
        first = self.once.named(f"({x.number} * {side.step})") if side.count > 1 else "0"
        for k, n in side.vectors():
            element = f"{first} + {side.offset(k)}"
            if not side.whole:
                element = self.once.named(f"min({element}, {side.size - 1})")
            if view and n > 1:
                self.aligned.add(array)
            lines += loaded(array, f"{base} + {element}", names[k : k + n], n)
        return [*lines, *[f"{y} = {y} if {live} else {rows.kind}(0)" for y in names if live]]

    def _add_to_block(self, operands: list[Operand], tiles: Tiles, kind: str) -> None:
        """Lines that add the products of a round to the sums: warp after warp, if each has some."""
        begin, t = self._sums(operands, tiles, kind), _thread(tiles)
        lines = []
        for k, p in enumerate([p for of_x in tiles.products for p in of_x]):
            place = f"p_{kind}[{t} + {begin + k * tiles.threads}]"
            lines.append(f"{place} = {place} + {p}")
        if tiles.threads == self.layout.threads:
            self.row.lines += lines
            return
        turn = ["if t >> 5 == w:", *indented(lines), "cuda.syncthreads()"]
        self.row.lines += [f"for w in range(0, {self.layout.threads // WARP}):", *indented(turn)]

    def _sums(self, operands: list[Operand], tiles: Tiles, kind: str) -> int:
        """Where the sums of the threads of a block begin in shared memory: value after value of a
        tile, those of all threads side by side."""
        key = operands[0].factors[0].s.equation.outputs[0]
        if key not in self._sums_begin:
            begin = self._sums_begin[key] = self._sum_values.get(kind, 0)
            self._sum_values[kind] = begin + tiles.size * tiles.threads
            self._store_sums(operands, tiles, begin, kind)
        return self._sums_begin[key]

    def _store_sums(self, operands: list[Operand], tiles: Tiles, begin: int, kind: str) -> None:
        """Notes how the sums are stored at the end."""
        (first, second), (a, b) = operands, tiles.tile
        (y,) = second.factors
        numbers = [f"t // {tiles.y.count}", f"t % {tiles.y.count}"]
        for i, j in np.ndindex(a, b):
            row = f"({numbers[0]} * {tiles.x.step} + {tiles.x.offset(i)})"
            column = f"({numbers[1]} * {tiles.y.step} + {tiles.y.offset(j)})"
            value = f"p_{kind}[t + {begin + (i * b + j) * tiles.threads}]"
            for x, low in zip(first.factors, first.starts, strict=False):
                conditions = [f"t < {tiles.x.count * tiles.y.count}"]
                conditions += [f"{low} <= {row}", f"{row} < {low + x.size}", f"{column} < {y.size}"]
                element = f"max({row} - {low}, 0)" if low else row
                place = f"{x.place(element)} + {y.place(column)}"
                total = self.sums.total(x.s.equation.outputs[0])
                self._after.append((" and ".join(conditions), total, place, value))

    def _last_lines(self) -> list[str]:
        lines = []
        for condition, total, place, value in self._after:
            lines += [f"if {condition}:", f"    {self.sums.stored(total, place, value)}"]
        return lines


def _second(s: SweepEquation) -> tuple[Any, Use, Any]:
    return s.equation.operands[1], s.uses[1], row_product(s).contract[1]


def _thread(tiles: Tiles) -> str:
    return f"(t & {WARP - 1})" if tiles.threads == WARP else "t"


def _numbers(tiles: Tiles) -> list[str]:
    """The numbers of a thread's tile along both sides; threads without one have the last one."""
    t, (x, y) = _thread(tiles), (tiles.x, tiles.y)
    number = t if y.count == 1 else f"{t} // {y.count}"
    if x.count * y.count < tiles.threads:
        number = f"min({number}, {x.count - 1})"
    return [number, f"({t} % {y.count})"]
