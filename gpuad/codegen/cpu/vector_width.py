"""How wide the vectors of a sweep are, where the processor has AVX-512.

LLVM decides by the processor: 256 bits on Intel's, 512 on AMD Zen 4. What decides for a sweep is
what it waits for. Arithmetic gains from all 512 bits (on Zen 4, one thread: a chain of functions
1.6 times as fast, pairs of particles 1.4, Black-Scholes 1.3; lanes in loops 1.0 to 1.3). Where a
row is a few lanes and they are unrolled, a vector is one lane of many rows, and most of the time
goes into taking rows apart: that is slower in 512 bits (Rosenbrock products of 4 lanes 0.85, sums
of squares of 8 lanes 0.45), unless functions are computed of them. So it is where far more is
written than read (Hessians of 8 numbers 0.92). ``python -m benchmarks.widths`` compares.

The choice depends on the shape of a row, not on how many rows or threads there are: sums along
lanes are rounded in an order that the width decides.
"""

from collections.abc import Collection, Sequence

from gpuad.codegen.cpu.nontemporal import LIGHT, arithmetic, traffic
from gpuad.codegen.cpu.processor import has_avx512
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Var
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation

WIDE, NARROW = 512, 256
"""Bits."""
FEW = 4
"""Taking rows of so many lanes apart takes time; pairs and triples are hardly slower."""
UNITS = 7.1
"""Units of arithmetic (`compile_cost`) for a value that is read or written, up to which taking rows
apart takes longer than arithmetic. A function is more than that."""


def vector_bits(
    sweep: Sequence[SweepEquation], stored: Collection[Var], unrolled: bool
) -> int | None:
    """The width for a sweep that leaves `stored`; None where the processor has but one."""
    return _chosen(sweep, stored, unrolled) if has_avx512() else None


def _chosen(sweep: Sequence[SweepEquation], stored: Collection[Var], unrolled: bool) -> int:
    """The width where there is a choice."""
    reads, writes = traffic(sweep, stored)
    values = sum(v.aval.size for v in (*reads, *writes))
    read, written = (sum(v.aval.nbytes for v in x) for x in (reads, writes))
    units = arithmetic(sweep)
    if unrolled:
        return NARROW if _lanes(sweep) >= FEW and units <= UNITS * values else WIDE
    return NARROW if written > 2 * read and units <= LIGHT * (read + written) else WIDE


def _lanes(sweep: Sequence[SweepEquation]) -> int:
    """The most lanes of a row that is read or made."""
    rows = [
        size_of(inner(x.aval.shape, use.axis))
        for s in sweep
        for x, use in zip(s.equation.operands, s.uses, strict=True)
        if use.kind == "rows"
    ]
    return max(rows, default=0)
