"""Products of rows with small matrices inside a kernel, as the layers of a narrow network have.

A contraction whose operands have different lanes, x (rows, K) by w (K, M) into (rows, M), needs
each lane of a row in every thread of its group. The matrix is in shared memory from the start. A
group of g threads puts its R rows of x beside each other into shared memory, and then goes over k:
a thread loads the R values of x and its own lanes of w, as vectors, and adds up R by M / g products
in registers. All that is multiplied by the same matrix at the same time, values and tangents in
each direction, shares the loop and the loads of w. Only threads of a warp exchange values, so that
no barrier is needed; nothing of a layer goes to memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.block_products import BlockProductWriter, Operand, Rows
from gpuad.codegen.cuda.cells import Cells, Unsuitable, held_shape
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.matrices import multiplies_lanes
from gpuad.codegen.cuda.product_tiles import ALIGNED, Tiles
from gpuad.codegen.cuda.products import row_product
from gpuad.codegen.cuda.shared_vectors import loaded, stored
from gpuad.codegen.cuda.writer import Env
from gpuad.codegen.views import View
from gpuad.ir.graph import Var
from gpuad.kernels.cuda_text import WARP, indented
from gpuad.plan.plan import SweepEquation

UNROLLED = 80
"""Totals of a thread, at most, for which the loop takes a vector of lanes at a time: it needs
registers for their values."""


@dataclass(frozen=True)
class _Stream:
    """One row of an operand with lanes: its names in each of the rows that a group has, and where
    in which result its product with the matrix goes."""

    equation: SweepEquation
    place: tuple[int, ...]
    names: list[tuple[str, ...]]


class TileWriter(BlockProductWriter):
    """Writes a sweep of the tile family."""

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        if layout.group > WARP:
            raise Unsuitable("rows of a tile are shared by more than a warp")
        # Where each matrix begins in shared memory, among those of its dtype.
        self._matrices: dict[View, int] = {}
        self._matrix_values: dict[str, int] = {}
        self._kinds: dict[str, str] = {}
        # By dtype, the values of a warp through which its threads exchange rows.
        self._tile_values: dict[str, int] = {}

    def _waits(self, s: SweepEquation, env: Env) -> bool:
        return self._crosses(s, env) or super()._waits(s, env)

    def _crosses(self, s: SweepEquation, env: Env) -> bool:
        """Whether an equation multiplies lanes by a matrix into other lanes."""
        if s.axis is None or not multiplies_lanes(s.equation):
            return False
        long = [self.layout.long_axes(x.shape) for x in self._operands(s, env)]
        product = row_product(s)
        kinds = [use.kind for use in s.uses]
        if "free" not in kinds or len(set(kinds)) == 1:
            return False
        matrix = kinds.index("free")
        both = len(long[matrix]) == 2 and len(product.free[matrix]) == 1
        return both and product.sums_over(long[1 - matrix], 1 - matrix)

    def _add_up(self, envs: list[Env]) -> None:
        crossing = [s for s in self._waiting if self._crosses(s, envs[0])]
        self._waiting = [s for s in self._waiting if s not in crossing]
        super()._add_up(envs)
        by_matrix: dict[View, list[SweepEquation]] = {}
        for s in crossing:
            by_matrix.setdefault(self._matrix(s, envs[0]), []).append(s)
        for matrix, equations in by_matrix.items():
            self._multiply(matrix, equations, envs)

    def _matrix(self, s: SweepEquation, env: Env) -> View:
        """The matrix of a product, its contracted axis first."""
        which = [use.kind for use in s.uses].index("free")
        view = self._operands(s, env)[which]
        if not isinstance(view, View):
            raise Unsuitable("a matrix that is computed in the kernel")
        self._kinds[view.base] = kind_of(s.equation.operands[which])
        (k,) = row_product(s).contract[which]
        return view if k == 0 else view.transpose((1, 0))

    # The product

    def _multiply(self, matrix: View, equations: list[SweepEquation], envs: list[Env]) -> None:
        """Lines for all products with one matrix."""
        streams = [x for s in equations for x in self._streams(s, envs)]
        kind, (depth, _) = self._kinds[matrix.base], matrix.shape
        self._share(streams, kind, depth)
        totals = self._summed_tiles(streams, matrix, kind)
        self.row.lines.append("cuda.syncwarp()")
        for s in equations:
            (v,) = s.equation.outputs
            shape = row_product(s).shape
            for u, env in enumerate(envs):
                names = np.empty(held_shape(shape, self.layout), object)
                for stream, total in zip(streams, totals, strict=True):
                    if stream.equation is s:
                        names[stream.place] = tuple(total[u])
                env[v] = Cells(names, shape)
                if v in self.stored:
                    self._store(v, s.axis or 0, env[v], u, self.row)

    def _streams(self, s: SweepEquation, envs: list[Env]) -> list[_Stream]:
        which = 1 - [use.kind for use in s.uses].index("free")
        product = row_product(s)
        cells = [
            self._cells(self._operands(s, env)[which], u, self.row) for u, env in enumerate(envs)
        ]
        (k,), free = product.contract[which], product.free[which]
        found = []
        for j in np.ndindex(*[cells[0].names.shape[a] for a in free]):
            where = dict(zip((*free, k), (*j, 0), strict=True))
            i = tuple([where[a] for a in range(cells[0].names.ndim)])
            lanes = cells[0].shape[k]
            names = [self._spread(x.names[i], lanes) for x in cells]
            found.append(_Stream(s, (*j, 0) if which == 0 else (0, *j), names))
        return found

    def _begin(self, kind: str) -> str:
        """The name of where a group's rows begin in shared memory: each warp has a part of its
        own."""
        bits = self.layout.group.bit_length() - 1
        group = f"((t & 31) >> {bits}) * {self.layout.rows}"
        return self.once.named(f"(t >> 5) * y_{kind}_of_warp + {group}")

    def _slot_place(self, slot: int) -> int:
        """Where a lane of a thread is, from where its first one is. After the lanes of each vector
        there is room for another one: threads side by side store to different banks."""
        n = self.layout.vector
        lanes = slot // n * self.layout.group * n + slot % n
        return lanes * self._rows_of_warp + lanes // n * self._pad

    def _stream_values(self, depth: int) -> int:
        """Values of shared memory of a warp for so many lanes of its rows."""
        n = self.layout.vector
        return depth * self._rows_of_warp + -(-depth // n) * self._pad

    @property
    def _pad(self) -> int:
        """Values of a vector of lanes or of rows."""
        return max(self.layout.vector, min(self.layout.rows, 4))

    def _share(self, streams: list[_Stream], kind: str, depth: int) -> None:
        """Puts the rows of a group into shared memory, those of one lane side by side."""
        rows = self.layout.rows
        values = len(streams) * self._stream_values(depth)
        self._tile_values[kind] = max(values, self._tile_values.get(kind, 0))
        of_lane = self.layout.vector * self._rows_of_warp + self._pad
        begin = self.once.named(f"({self._begin(kind)} + lane * {of_lane})")
        for q, stream in enumerate(streams):
            for slot in range(self.layout.slots(depth)):
                names = [self._identifier(x[slot]) for x in stream.names]
                place = f"{begin} + {self._slot_place(slot) + q * self._stream_values(depth)}"
                lines = stored(f"y_{kind}", place, names, rows)
                inside = self._inside(depth, slot)
                self.row.lines += [f"if {inside}:", *indented(lines)] if inside else lines
        self.row.lines.append("cuda.syncwarp()")

    def _identifier(self, name: str) -> str:
        return name if name.isidentifier() else self.row.named(f"({name})")

    def _summed_tiles(
        self, streams: list[_Stream], matrix: View, kind: str
    ) -> list[list[list[str]]]:
        """The loop over lanes of x; the names of the totals by stream, row and slot."""
        (depth, lanes), rows = matrix.shape, self.layout.rows
        slots = self.layout.slots(lanes)
        start = self._matrices.get(matrix)
        if start is None:
            start = self._matrices[matrix] = self._matrix_values.get(kind, 0)
            self._matrix_values[kind] = start + depth * lanes
        begin, row = self._begin(kind), self.row
        totals = [[[row.variable(f"{kind}(0)") for _ in range(slots)] for _ in range(rows)]
                  for _ in streams]  # fmt: skip
        held = len(streams) * rows * slots
        unrolled = depth % self.layout.vector == 0 and held <= UNROLLED and not self.layout.parked
        step = self.layout.vector if unrolled else 1
        n, pad = self.layout.vector, self._pad
        first = f"k * {self._rows_of_warp} + (k >> {n.bit_length() - 1}) * {pad}"
        body = [f"row = {begin} + {first}", f"column = k * {lanes} + {start}"]
        for j in range(step):
            body += self._terms(j, totals, (depth, lanes), kind)
        row.lines += [f"for k in range(0, {depth}, {step}):", *indented(body)]
        return totals

    def _terms(
        self, j: int, totals: list[list[list[str]]], shape: tuple[int, int], kind: str
    ) -> list[str]:
        """Lines that add the products of lane k + j of x to the totals."""
        (depth, lanes), n, rows = shape, self.layout.vector, self.layout.rows
        slots = self.layout.slots(lanes)
        weights = [f"w{slot}" for slot in range(slots)]
        lines = []
        for slot in range(0, slots, n):
            place = f"column + {j * lanes} + {self._lane(lanes, slot)}"
            lines += loaded(
                f"w_{kind}", place, weights[slot : slot + n], n if lanes % n == 0 else 1
            )
        values = [f"y{u}" for u in range(rows)]
        for q, total in enumerate(totals):
            offset = q * self._stream_values(depth) + j * self._rows_of_warp
            lines += loaded(f"y_{kind}", f"row + {offset}", values, rows)
            for y, of_row in zip(values, total, strict=True):
                lines += [f"{x} += {y} * {w}" for x, w in zip(of_row, weights, strict=True)]
        return lines

    # Shared memory

    def _place_rows(self, operands: list[Operand], tiles: Tiles, kind: str) -> Rows:
        # They take the place of those of products with matrices.
        rows = super()._place_rows(operands, tiles, kind)
        if rows.of_warps:
            values = rows.count * rows.pitch
            self._tile_values[kind] = max(values, self._tile_values.get(kind, 0))
        return rows

    def _rows_begin(self, rows: Rows) -> str:
        return f"(t >> 5) * y_{rows.kind}_of_warp" if rows.of_warps else "0"

    def _after_sums(self, rows: Rows) -> None:
        self.row.lines.append(rows.barrier)

    def _shared_lines(self) -> list[str]:
        lines = super()._shared_lines()
        for kind, n in self._values_of_warps.items():
            lines.append(f"y_{kind}_of_warp = {n}")
        lines += [f"z_{kind} = y_{kind}" for kind in self._row_values]
        for view, start in self._matrices.items():
            (depth, lanes), (along, across) = view.shape, view.strides
            kind = self._kinds[view.base]
            place = f"(i // {lanes}) * {along} + (i % {lanes}) * {across} + {view.offset}"
            lines.append(f"for i in range(t, {depth * lanes}, {self.layout.threads}):")
            lines.append(f"    w_{kind}[{start} + i] = {view.base}[{place}]")
        return [*lines, "cuda.syncthreads()"] if self._matrices else lines

    def _arrays(self) -> list[tuple[str, dict[str, int]]]:
        of_block = {k: n * self._warps for k, n in self._values_of_warps.items()}
        for kind, n in self._row_values.items():
            of_block[kind] = max(n, of_block.get(kind, 0))
        others = [x for x in super()._arrays() if x[0] != "z"]
        return [*others, ("y", of_block), ("w", self._matrix_values)]

    @property
    def _values_of_warps(self) -> dict[str, int]:
        return {k: -(-n // ALIGNED) * ALIGNED for k, n in self._tile_values.items()}

    @property
    def _warps(self) -> int:
        return self.layout.threads // WARP
