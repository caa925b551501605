"""Matrices that multiply rows, with more elements than the threads of a row can hold, as the
weights of a wide classifier or the small matrices of many clusters: each element is loaded where it
is used, for all rows that a group has.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import Cells, Unsuitable, held_shape
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.matrices import streams_matrix
from gpuad.codegen.cuda.products import multiplied, row_product
from gpuad.codegen.cuda.row_batches import BatchWriter
from gpuad.codegen.cuda.writer import Env
from gpuad.ir.graph import Var
from gpuad.plan.plan import SweepEquation

ACCUMULATORS = 24
"""Sums over lanes that a thread adds up at the same time, at most, while it holds the lanes."""
FEWEST_ROWS = 4
"""Rows of a group, at least, if lanes are summed over: with fewer, cuBLAS loads less."""


class StreamedMatrixWriter(BatchWriter):
    """Writes a sweep of the row family, in which matrices may have any number of elements."""

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        self._few_rows = layout.rows < FEWEST_ROWS

    def _one(self, s: SweepEquation, envs: list[Env]) -> None:
        # What has no lanes is multiplied by owners, who hold a row of it each.
        without = all(map(self._without_lanes, self._operands(s, envs[0])))
        if self._is_streamed(s) and not without:
            self._streamed(s, envs)
        else:
            super()._one(s, envs)

    def _is_streamed(self, s: SweepEquation) -> bool:
        if not streams_matrix(s):
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
        if not self._is_streamed(s):
            return super()._combined_lanes(s, envs, kind, combiner)
        out = np.empty(held_shape(row_product(s).shape, self.layout), object)
        if self._few_rows:
            raise Unsuitable("a matrix is loaded for too few rows")
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
        kind, row = kind_of(s.equation.outputs[0]), self.row
        self.hoists, hoists = False, self.hoists
        cells = [
            [self._cells(x, u, row) for x in self._operands(s, env)] for u, env in enumerate(envs)
        ]
        self.hoists = hoists
        factors = [multiplied(row_product(s), x, y, self.layout) for x, y in cells]
        lanes = self._summed_lanes(s, cells[0])
        slots = max([_slots(c) for i in places for pair in factors[0][i] for c in pair], default=1)
        totals = [np.empty(factors[0].shape, object) for _ in envs]
        for found, i in itertools.product(totals, places):
            names = [row.variable(f"{kind}(0)") for _ in range(1 if lanes else slots)]
            found[i] = names[0] if lanes else tuple(names)
        for slot, i in itertools.product(range(slots), places):
            for k in range(len(factors[0][i])):
                for of_row, found in zip(factors, totals, strict=True):
                    x, y = [row.named(_in_slot(c, slot)) for c in of_row[i][k]]
                    term = f"{x} * {y}"
                    if lanes and self._inside(lanes, slot):
                        term = row.named(self._masked(f"({term})", lanes, slot, f"{kind}(0)"))
                    total = found[i] if lanes else found[i][slot]
                    row.lines.append(f"{total} += {term}")
        return totals

    def _summed_lanes(self, s: SweepEquation, operands: Sequence[Cells]) -> int:
        """The lanes that a product sums over; 0 if it has none."""
        for k, x in enumerate(operands):
            long = self.layout.long_axes(x.shape)
            if row_product(s).sums_over(long, k):
                return x.shape[long[0]]
        return 0


def _slots(cell: Any) -> int:
    return len(cell) if isinstance(cell, tuple) else 1


def _in_slot(cell: Any, slot: int) -> str:
    return str(cell[slot]) if isinstance(cell, tuple) else str(cell)
