"""Sums over rows of products that have more elements than the threads of a row can hold: all threads
of a block share them.

x (rows, K) and y (rows, M) give (K, M), Σ x_k y_m, as the gradient by the weights of a layer. When
a round of rows is computed, its x and y go to shared memory, or are read from memory again where
they are arguments. Then each thread adds up a tile of a by b products over all of these rows in
registers, for which it loads a + b values of a row, and adds it to its sums, which are in shared
memory between the rounds. So sums go in two levels, and take no registers from what computes rows.

A matrix that multiplies rows may have more elements than registers too, as the weights of a wide
classifier: each element is then loaded where it is used, for all rows that a group has.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import Cells, Unsuitable, held_shape
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.matrices import is_streamed, sums_by_block
from gpuad.codegen.cuda.parking import FLOATS, parked
from gpuad.codegen.cuda.products import multiplied, row_product
from gpuad.codegen.cuda.row_batches import OWN, BatchWriter
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.shared_vectors import loaded, stored
from gpuad.codegen.cuda.source import SIZES
from gpuad.codegen.cuda.writer import Env
from gpuad.codegen.views import View, contiguous
from gpuad.ir.graph import Var
from gpuad.ir.rows import inner
from gpuad.kernels.cuda_text import WARP, indented
from gpuad.plan.plan import SweepEquation, Use

SHARED_BYTES = 112 * 1024
"""Shared memory of a block, at most: a multiprocessor of an H100 has enough for two of them."""
DECLARED_BYTES = 47 * 1024
"""Of these, of all arrays but the largest one, at most: what a kernel can declare, and a little for
sums over the rows of a block."""
LARGEST_TILE = 80
"""Products of a thread for a row, at most."""
UNROLLED = 160
"""Products in a turn of the loop over rows, at most."""
ACCUMULATORS = 40
"""Sums over lanes that a thread adds up at the same time, at most, while it holds the lanes."""
ALIGNED = 4
"""Rows in shared memory begin at multiples of so many values."""


@dataclass(frozen=True)
class _Factor:
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
class _Side:
    """One side of the products: factors side by side. `view` is what is read from memory again."""

    factors: list[_Factor]
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


class BlockProductWriter(BatchWriter):
    """Writes a sweep of the row family, whose sums over rows may have any number of elements."""

    most_shared_bytes = SHARED_BYTES

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        self._by_block = [s for s in sweep if s.axis is None and sums_by_block(s.equation)]
        self._together: list[SweepEquation] = []
        # By dtype, values in shared memory: rows at a time, sums of all threads of a block, and those
        # of each thread that wait there.
        self._row_values: dict[str, int] = {}
        self._sum_values: dict[str, int] = {}
        self._parked_values: dict[str, int] = {}
        # Where the sums of a thread begin, by the first of the results; and lines that store them.
        self._sums_begin: dict[Var, int] = {}
        self._after: list[tuple[str, Any, str, str]] = []

    def _one(self, s: SweepEquation, envs: list[Env]) -> None:
        if s in self._by_block:
            self._together.append(s)
            if not self._joins_next(s):
                together, self._together = self._together, []
                self._sum_products(together, envs)
        elif self._is_streamed(s, envs[0]):
            self._streamed(s, envs)
        else:
            super()._one(s, envs)

    def _joins_next(self, s: SweepEquation) -> bool:
        """Whether the next sum of products has its second operand in common with this one."""
        after = self._by_block[self._by_block.index(s) + 1 :][:1]
        return any(_second(s) == _second(x) for x in after)

    # Sums of products

    def _sum_products(self, together: list[SweepEquation], envs: list[Env]) -> None:
        """Lines that add the products of all rows of a round to the sums of a block."""
        layout, kind = self.layout, kind_of(together[0].equation.outputs[0])
        env = envs[0]
        sides = [
            _Side([self._factor(s, 0, env) for s in together], self._again(together, 0, env)),
            _Side([self._factor(together[0], 1, env)], self._again(together[:1], 1, env)),
        ]
        pitch, streams = sum(side.staged for side in sides), self._stream_places(together[0], env)
        if any(side.view for side in sides) and len(streams) > 1:
            raise Unsuitable("several products of what is read from memory again")
        values = layout.block_rows * pitch
        self._row_values[kind] = max(values, self._row_values.get(kind, 0))
        tile = _tile(sides[0].size, sides[1].size, layout.threads)
        self.row.lines += [f"{p} = {kind}(0)" for of_x in _products(tile) for p in of_x]
        for stream in streams:
            self.row.lines.append("cuda.syncthreads()")
            start = 0
            for side in sides:
                if not side.view:
                    for f, first in zip(side.factors, side.starts, strict=False):
                        self._stage(f, stream, envs, start + first, pitch)
                start += side.staged
            self.row.lines.append("cuda.syncthreads()")
            self._add_tiles(sides, tile, pitch, kind)
        begin = self._sums(sides, tile, kind)
        for k, p in enumerate([p for of_x in _products(tile) for p in of_x]):
            place = f"p_{kind}[t + {begin + k * self.layout.threads}]"
            self.row.lines.append(f"{place} = {place} + {p}")
        self._after_sums()

    def _after_sums(self) -> None:
        """Lines after sums of products."""

    def _factor(self, s: SweepEquation, which: int, env: Env) -> _Factor:
        product = row_product(s)
        shape = self._operands(s, env)[which].shape
        long = self.layout.long_axes(shape)
        free = product.free[which]
        if any(k not in free for k in long) or len(long) > 1:
            raise Unsuitable("products are summed over lanes")
        before = len(product.free[0]) if which else 0
        strides = dict(zip(free, contiguous(product.shape)[before:], strict=False))
        axes = sorted(free, key=lambda k: (k in long, k))
        return _Factor(
            s, which, tuple(axes), tuple([shape[k] for k in axes]),
            tuple([strides[k] for k in axes]),
        )  # fmt: skip

    def _again(self, together: Sequence[SweepEquation], which: int, env: Env) -> View | None:
        """The lanes of an argument, side by side in memory, that are read from there again."""
        if len(together) > 1:
            return None
        view = self._operands(together[0], env)[which]
        again = isinstance(view, View) and view.row and view.base not in self._booleans
        if not again or view.base in self.moved or len(view.shape) > 1:
            return None
        return view if self.layout.long_axes(view.shape) and view.strides == (1,) else None

    def _stream_places(self, s: SweepEquation, env: Env) -> list[tuple[int, ...]]:
        """The places along the short axes that are summed over."""
        shape = self._operands(s, env)[0].shape
        return [*np.ndindex(*[shape[k] for k in row_product(s).contract[0]])]

    def _stage(
        self, f: _Factor, stream: tuple[int, ...], envs: list[Env], start: int, pitch: int
    ) -> None:
        """Puts the rows of an operand into shared memory: zeros where there is no row."""
        layout, kind = self.layout, kind_of(f.s.equation.outputs[0])
        summed = row_product(f.s).contract[f.which]
        of_lanes = bool(layout.long_axes(f.sizes[-1:]))
        rows: list[tuple[Any, Env]] = [*enumerate(envs)]
        if not of_lanes:
            rows = [(OWN if self._several else 0, envs[0])]
        base = self._row_start(pitch, own=not of_lanes)
        lines: dict[str, list[str]] = {}
        for u, env in rows:
            cells = self._cells(self._operands(f.s, env)[f.which], u, self.row)
            first = start + (0 if u == OWN else u) * pitch
            short = f.sizes[:-1] if of_lanes else f.sizes
            for k, i in enumerate(np.ndindex(*short)):
                where = {**dict(zip(summed, stream, strict=True)), **dict(zip(f.axes, i, strict=False))}
                name = cells.names[tuple([where.get(a, 0) for a in range(cells.names.ndim)])]
                if of_lanes:
                    self._stage_lanes(name, f.sizes[-1], base, first + k * f.sizes[-1], u, kind)
                    continue
                value = self.row.named(f"({name} if live{u} else {kind}(0))")
                condition = self._first_owner() if self._several else "lane == 0"
                lines.setdefault(condition, []).append(f"z_{kind}[{base} + {first + k}] = {value}")
        for condition, block in lines.items():
            self.row.lines += [f"if {condition}:", *indented(block)]

    def _stage_lanes(self, name: Any, lanes: int, base: str, place: int, u: int, kind: str) -> None:
        names = self._spread(name, lanes)
        n = self.layout.vector if place % self.layout.vector == 0 else 1
        for slot in range(0, len(names), n):
            some = [self.row.named(f"({x} if live{u} else {kind}(0))") for x in names[slot : slot + n]]
            lines = stored(f"z_{kind}", f"{base} + {self._lane(lanes, slot)} + {place}", some, n)
            inside = self._inside(lanes, slot)
            self.row.lines += [f"if {inside}:", *indented(lines)] if inside else lines

    def _row_start(self, pitch: int, own: bool) -> str:
        """The name of where the rows of a group begin in shared memory, or the row that a thread
        owns."""
        if own and self._several:
            return self.once.named(f"((group * {self.layout.rows} + {self._owned}) * {pitch})")
        return self.once.named(f"(group * {self.layout.rows * pitch})")

    # Tiles of products

    def _add_tiles(self, sides: list[_Side], tile: tuple[int, int], pitch: int, kind: str) -> None:
        """The loop over rows in shared memory, in which threads add up their products."""
        across = -(-sides[1].size // tile[1])
        first = [
            self.once.named(f"(min(t // {across}, {-(-sides[0].size // tile[0]) - 1}) * {tile[0]})"),
            self.once.named(f"(t % {across} * {tile[1]})") if across > 1 else "0",
        ]
        names = [[f"{x}{k}" for k in range(n)] for x, n in zip("xy", tile, strict=True)]
        products, rows = _products(tile), self.layout.block_rows
        at_once = max(n for n in (4, 2, 1) if n * tile[0] * tile[1] <= UNROLLED or n == 1)
        at_once = math.gcd(at_once, rows)
        body: list[str] = []
        for r in range(at_once):
            start = 0
            for side, place, own in zip(sides, first, names, strict=True):
                body += self._values(side, own, place, f"r + {r}", (start, pitch), kind)
                start += side.staged
            for x, of_x in zip(names[0], products, strict=True):
                body += [f"{p} += {x} * {y}" for p, y in zip(of_x, names[1], strict=True)]
        self.row.lines += [f"for r in range(0, {rows}, {at_once}):", *indented(body)]

    def _values(
        self, side: _Side, names: list[str], first: str, row: str, at: tuple[int, int], kind: str
    ) -> list[str]:
        """Lines that load the values of a thread's tile in a row."""
        start, pitch = at
        array, base, live = f"z_{kind}", f"({row}) * {pitch} + {start}", ""
        aligned = ALIGNED
        if side.view:
            array, aligned = side.view.base, math.gcd(side.view.row, side.view.offset, ALIGNED)
            number, offset = f"first + {row}", side.view.offset
            if self._masks:
                live, number = f"{number} < n", f"min({number}, n - 1)"
            base = f"({number}) * {side.view.row} + {offset}"
        count, lines = len(names), []
        if side.size % count:
            places = [self.once.named(f"min({first} + {k}, {side.size - 1})") for k in range(count)]
            lines = [f"{x} = {array}[{base} + {k}]" for x, k in zip(names, places, strict=True)]
        else:
            unit = math.gcd(ALIGNED if count == side.size else count, aligned)
            unit = min(unit, 16 // SIZES[kind])
            for k, n in _vectors(count, unit):
                if side.view and n > 1:
                    self.aligned.add(array)
                lines += loaded(array, f"{base} + {first} + {k}", names[k : k + n], n)
        if live:
            lines += [f"{x} = {x} if {live} else {kind}(0)" for x in names]
        return lines

    @property
    def _masks(self) -> bool:
        """Whether rows of this round may be past the last one."""
        return not self._several

    def _sums(self, sides: list[_Side], tile: tuple[int, int], kind: str) -> int:
        """Where the sums of the threads of a block begin in shared memory: value after value of a
        tile, those of all threads side by side."""
        key = sides[0].factors[0].s.equation.outputs[0]
        if key not in self._sums_begin:
            begin = self._sums_begin[key] = self._sum_values.get(kind, 0)
            self._sum_values[kind] = begin + tile[0] * tile[1] * self.layout.threads
            self._store_sums(sides, tile, begin, kind)
        return self._sums_begin[key]

    def _store_sums(
        self, sides: list[_Side], tile: tuple[int, int], begin: int, kind: str
    ) -> None:
        """Notes how the sums are stored at the end: condition, sum, place and value."""
        (first, second), (a, b) = sides, tile
        across = -(-second.size // b)
        (y,) = second.factors
        for i, j in np.ndindex(a, b):
            row, column = f"(t // {across} * {a} + {i})", f"(t % {across} * {b} + {j})"
            value = f"p_{kind}[t + {begin + (i * b + j) * self.layout.threads}]"
            for x, low in zip(first.factors, first.starts, strict=False):
                v = x.s.equation.outputs[0]
                conditions = [f"{low} <= {row}", f"{row} < {low + x.size}", f"{column} < {y.size}"]
                element = f"max({row} - {low}, 0)" if low else row
                place = f"{x.place(element)} + {y.place(column)}"
                self._after.append((" and ".join(conditions), self.sums.total(v), place, value))

    # Matrices that are loaded where they are used

    def _is_streamed(self, s: SweepEquation, env: Env) -> bool:
        """Whether each element of a matrix is loaded for all rows of a group where it is used."""
        if s.axis is None or not is_streamed(s.equation):
            return False
        return sorted(use.kind == "free" for use in s.uses) == [False, True]

    def _streamed(self, s: SweepEquation, envs: list[Env]) -> None:
        """Lines of a product in which each lane has sums of its own."""
        (v,) = s.equation.outputs
        places = [*np.ndindex(*held_shape(row_product(s).shape, self.layout))]
        totals = self._products_of_rows(s, envs, places)
        for u, env in enumerate(envs):
            env[v] = Cells(totals[u], row_product(s).shape)
            if v in self.stored:
                self._store(v, s.axis or 0, env[v], u, self.row)

    def _combined_lanes(
        self, s: SweepEquation, envs: list[Env], kind: str, combiner: str
    ) -> np.ndarray:
        if not self._is_streamed(s, envs[0]):
            return super()._combined_lanes(s, envs, kind, combiner)
        out = np.empty(held_shape(row_product(s).shape, self.layout), object)
        places = [*np.ndindex(*out.shape)]
        some = max(1, ACCUMULATORS // len(envs))
        for k in range(0, len(places), some):
            totals = self._products_of_rows(s, envs, places[k : k + some])
            for i in places[k : k + some]:
                out[i] = self._over_warp([x[i] for x in totals], kind, combiner, self.row)
                # Before the next sums are begun, so that they take the registers of these.
                self.early.add(out[i])
        return out

    def _products_of_rows(
        self, s: SweepEquation, envs: list[Env], places: Sequence[tuple[int, ...]]
    ) -> list[np.ndarray]:
        """The names of these elements of a product, or of a thread's part of them, in each row of a
        group; all rows are multiplied by an element of the matrix at the same time."""
        product, kind, row = row_product(s), kind_of(s.equation.outputs[0]), self.row
        factors = []
        lanes = 0
        for u, env in enumerate(envs):
            x, y = [self._cells(x, u, row) for x in self._operands(s, env)]
            factors.append(multiplied(product, x, y, self.layout))
            for k, cells in enumerate((x, y)):
                long = self.layout.long_axes(cells.shape)
                if product.sums_over(long, k):
                    lanes = cells.shape[long[0]]
        slots = self.layout.slots(lanes) if lanes else max(
            [len(c) for i in places for pair in factors[0][i] for c in pair if type(c) is tuple],
            default=1,
        )  # fmt: skip
        of_slots = 1 if lanes else slots
        totals = [np.empty(factors[0].shape, object) for _ in envs]
        for found, i in itertools.product(totals, places):
            names = tuple([row.variable(f"{kind}(0)") for _ in range(of_slots)])
            found[i] = names if of_slots > 1 or not lanes else names[0]
        for slot in range(slots):
            for i in places:
                for k in range(len(factors[0][i])):
                    for of_row, found in zip(factors, totals, strict=True):
                        x, y = [row.named(_in_slot(c, slot)) for c in of_row[i][k]]
                        total = found[i] if lanes else found[i][slot]
                        term = f"{x} * {y}"
                        if lanes and self._inside(lanes, slot):
                            term = row.named(self._masked(f"({term})", lanes, slot, f"{kind}(0)"))
                        row.lines.append(f"{total} += {term}")
        return totals

    # Shared memory

    def _body(self) -> list[str]:
        lines = super()._body()
        if not self.layout.parked:
            return lines
        kinds = {a.name: kind_of(a.var) for a in self.reads.values()}
        kinds |= {f"{x}_{k}": k for x in "hpswxyz" for k in FLOATS}

        def element(kind: str, place: int) -> str:
            return f"h_{kind}[t + {place * self.layout.threads}]"

        lines, sizes = parked(lines, self.layout.parked, kinds, element, self._fresh)
        for kind, n in sizes.items():
            self._parked_values[kind] = max(n, self._parked_values.get(kind, 0))
        return lines

    def _shared_lines(self) -> list[str]:
        lines = super()._shared_lines()
        pools = self._pools()
        largest = max(self._pool_bytes().values(), default=0)
        if self.shared_bytes - largest > DECLARED_BYTES:
            raise Unsuitable("more shared memory than a kernel can declare")
        for kind, arrays in pools.items():
            starts = [0, *itertools.accumulate([n for _, n in arrays])]
            lines.append(f"m_{kind} = cuda.shared.array({starts[-1]}, {kind})")
            for (name, _), start in zip(arrays, starts, strict=False):
                lines.append(f"{name}_{kind} = m_{kind}[{start}:]")
        for k, n in self._sum_values.items():
            lines.append(f"for i in range(t, {n}, {self.layout.threads}):")
            lines.append(f"    p_{k}[i] = {k}(0)")
        return lines

    def _pools(self) -> dict[str, list[tuple[str, int]]]:
        """By dtype, the arrays that lie in one array in shared memory, which is given at the launch
        if need be: their names and sizes, which are whole vectors."""
        pools: dict[str, list[tuple[str, int]]] = {}
        for name, sizes in self._arrays():
            for kind, n in sizes.items():
                pools.setdefault(kind, []).append((name, -(-n // ALIGNED) * ALIGNED))
        return pools

    def _arrays(self) -> list[tuple[str, dict[str, int]]]:
        """The names of arrays in shared memory, and their sizes by dtype."""
        of_threads = {k: n * self.layout.threads for k, n in self._parked_values.items()}
        return [("z", self._row_values), ("p", self._sum_values), ("h", of_threads)]

    def _pool_bytes(self) -> dict[str, int]:
        return {k: sum(n for _, n in arrays) * SIZES[k] for k, arrays in self._pools().items()}

    @property
    def shared_bytes(self) -> int:
        return super().shared_bytes + sum(self._pool_bytes().values())

    def _last_lines(self) -> list[str]:
        lines = []
        for condition, total, place, value in self._after:
            lines += [f"if {condition}:", f"    {self.sums.stored(total, place, value)}"]
        return lines


def _second(s: SweepEquation) -> tuple[Any, Use]:
    return s.equation.operands[1], s.uses[1]


def _products(tile: tuple[int, int]) -> list[list[str]]:
    """The names of a thread's products."""
    return [[f"p{i}_{j}" for j in range(tile[1])] for i in range(tile[0])]


def _in_slot(cell: Any, slot: int) -> str:
    return str(cell[slot]) if isinstance(cell, tuple) else str(cell)


def _vectors(count: int, unit: int) -> Iterator[tuple[int, int]]:
    """So many values as vectors of at most `unit`: where each begins, and its length."""
    k = 0
    while k < count:
        n = next(n for n in (4, 2, 1) if n <= unit and k % n == 0 and k + n <= count)
        yield k, n
        k += n


def _tile(rows: int, columns: int, threads: int) -> tuple[int, int]:
    """The rows and columns of each thread's tile of a matrix: those of the fewest instructions.

    Raises
    ------
    Unsuitable
        If the threads of a block would have more than `LARGEST_TILE` products each.
    """
    found = []
    for a, b in itertools.product(range(1, rows + 1), range(1, columns + 1)):
        if a * b > LARGEST_TILE:
            continue
        if -(-rows // a) * -(-columns // b) <= threads:
            found.append((a * b + _loads(a, rows) + _loads(b, columns), a, b))
    if not found:
        raise Unsuitable("more sums than the threads of a block hold")
    _, a, b = min(found)
    return a, b


def _loads(tile: int, size: int) -> int:
    """Loads of so many values of a row for each thread."""
    if size % tile:
        return tile
    return len([*_vectors(tile, math.gcd(ALIGNED if tile == size else tile, ALIGNED))])
