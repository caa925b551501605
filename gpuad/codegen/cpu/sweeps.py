"""The source of a sweep for the CPU: the form that suits it, and how wide its vectors are."""

from collections.abc import Collection, Sequence

from gpuad.codegen.argument import SweepSource
from gpuad.codegen.cpu.block_source import block_source, flat_source
from gpuad.codegen.cpu.nontemporal import streamed
from gpuad.codegen.cpu.unrolled_source import can_unroll, unrolled_source
from gpuad.codegen.cpu.vector_width import vector_bits
from gpuad.ir.graph import Var
from gpuad.plan.plan import SweepEquation


def source_of(
    equations: Sequence[SweepEquation], stored: set[Var], final: Collection[Var] = ()
) -> tuple[SweepSource, int | None]:
    """The source of a sweep that leaves the results `stored`, of which nothing reads those in
    `final` again; and the bits of its vectors (None: as LLVM chooses)."""
    streams = streamed(equations, final)
    flat = flat_source(equations, stored, streams)
    unrolled = flat is None and can_unroll(equations)
    write = unrolled_source if unrolled else block_source
    source = flat or write(equations, stored, streams)
    return source, vector_bits(equations, stored, unrolled)
