"""The source of a sweep for the CPU: the form that suits it, and how wide its vectors are."""

from collections.abc import Collection, Sequence

from gpuad.codegen.argument import SweepSource
from gpuad.codegen.cpu.nontemporal import streamed
from gpuad.codegen.cpu.source import SweepWriter, flat_source
from gpuad.codegen.cpu.unrolled import UnrolledWriter, can_unroll
from gpuad.codegen.cpu.vector_width import vector_bits
from gpuad.ir.graph import Var
from gpuad.plan.plan import SweepEquation


def source_of(
    equations: Sequence[SweepEquation], whole: set[Var], final: Collection[Var] = ()
) -> tuple[SweepSource, int | None]:
    """The source of a sweep that stores the results `whole`, of which nothing reads those in
    `final` again; and the bits of its vectors (None: as LLVM likes)."""
    streams = streamed(equations, final)
    flat = flat_source(equations, whole, streams)
    unrolled = flat is None and can_unroll(equations)
    writer = UnrolledWriter if unrolled else SweepWriter
    source = flat or writer(equations, whole, streams).write()
    return source, vector_bits(equations, whole, unrolled)
