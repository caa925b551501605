"""Shared memory of a block that several parts of a kernel have as one array, which can be given at
the launch if it is large; values of rows for which there are no registers wait in it (`parking`).
"""

import itertools
from collections.abc import Sequence

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import Unsuitable
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.parking import FLOATS, parked, waiting
from gpuad.codegen.cuda.product_tiles import ALIGNED
from gpuad.codegen.cuda.source import SIZES
from gpuad.codegen.cuda.streamed_matrices import StreamedMatrixWriter
from gpuad.ir.graph import Var
from gpuad.plan.plan import SweepEquation

SHARED_BYTES = 112 * 1024
"""Shared memory of a block, at most: a multiprocessor of an H100 has enough for two of them."""
DECLARED_BYTES = 47 * 1024
"""Of these, of all arrays but the largest one, at most: what a kernel can declare, and a little for
sums over the rows of a block."""
MANY_LINES = 500
"""Lines of a round, at least, for which it is seen whether values fit in registers before it is
compiled."""
MOST_WAITING = 240
"""Values that wait for later lines, at most: with more of them a kernel needs more registers than a
thread has."""


class PooledWriter(StreamedMatrixWriter):
    """Writes a sweep of the row family, with arrays in a common pool of shared memory."""

    most_shared_bytes = SHARED_BYTES

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        # By dtype, values of each thread that wait in shared memory.
        self._parked_values: dict[str, int] = {}

    def _body(self) -> list[str]:
        lines = super()._body()
        if not self.layout.parked:
            if len(lines) > MANY_LINES and waiting(lines) > MOST_WAITING:
                raise Unsuitable("more values than registers")
            return lines
        kinds = {a.name: kind_of(a.var) for a in self.reads.values()}
        # Arrays in shared memory that values are loaded from: exchanged ones, rows and matrices.
        kinds |= {f"{x}_{k}": k for x in "swxy" for k in FLOATS}

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
        return [("h", of_threads)]

    def _pool_bytes(self) -> dict[str, int]:
        return {k: sum(n for _, n in arrays) * SIZES[k] for k, arrays in self._pools().items()}

    @property
    def shared_bytes(self) -> int:
        return super().shared_bytes + sum(self._pool_bytes().values())
