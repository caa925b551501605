"""The source of a sweep whose rows are a few numbers: every lane is a scalar of its own.

One loop over rows with straight-line code. A value is an array of names, one for each lane, so that
structure primitives are NumPy's own functions on these arrays and cost nothing at run time; LLVM
vectorises the loop across rows. Arrays of more lanes than LLVM takes apart are read and written
through scratch laid out lane by lane, transposed in registers.
"""

from collections.abc import Collection, Sequence
from typing import Any

from gpuad.codegen.argument import SweepSource, kind_of
from gpuad.codegen.compile_cost import LIMIT, STRAIGHT
from gpuad.codegen.cpu.lane_major import tile_bytes
from gpuad.codegen.cpu.loops import END_OUTSIDE, out_of_bounds_lines
from gpuad.codegen.cpu.operations import emitter_of
from gpuad.codegen.cpu.unrolled_sweep import UnrolledSweep
from gpuad.codegen.structure import row_shape
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Var
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation, Use
from gpuad.plan.roles import is_indexed

LANES = 16
"""A row of at most so many lanes is written out."""
BLOCK = 4096
"""Rows of a block, at most."""
SUM_BLOCK = 256
"""The same where sums over rows in float32 go to float64 after each block: up to 64 rows for each
number of a vector, whose sum loses up to 1e-6 (in blocks of 4,096 rows, 1e-5)."""
TILE_BYTES = 16 * 1024
"""Lane-major scratch of a block: half of a core's L1 cache."""


def can_unroll(equations: Sequence[SweepEquation]) -> bool:
    """Whether the rows of a sweep are small enough to be written out."""
    most, units = 1, 0
    for s in equations:
        if emitter_of(s).emit_unrolled is None:
            return False
        for x, use in _values_of(s):
            lanes = size_of(inner(x.aval.shape, use.axis))
            most = max(most, lanes)
            units += lanes if use.kind == "rows" else 0
        units += emitter_of(s).unrolled_cost(s)
    return 1 < most <= LANES and units <= LIMIT * STRAIGHT


def _values_of(s: SweepEquation) -> list[tuple[Any, Use]]:
    """The operands and the result of an equation whose lanes are scalars."""
    e = s.equation
    values = [*zip(e.operands, s.uses, strict=True), (e.outputs[0], Use("", s.axis))]
    if is_indexed(e) and not e.params["batch"]:
        # Tables have no lanes.
        return values[1:-1] if s.axis is None else values[1:]
    return values


def unrolled_source(
    equations: Sequence[SweepEquation],
    stored: set[Var],
    streams: Collection[Var] = (),
    speed: str = "fast",
) -> SweepSource:
    """The source of a sweep of few lanes that leaves the results `stored`, of which those in
    `streams` go past the cache."""
    block = _block_rows(equations, stored, streams)
    sweep = UnrolledSweep(equations, stored, block, speed)
    for s in equations:
        emit = emitter_of(s).emit_unrolled
        assert emit is not None
        sweep.names[s.equation.outputs[0]] = emit(sweep, s)
        sweep.store(s)
    slow = None
    if sweep.checked and speed == "fast":
        slow = unrolled_source(equations, stored, streams, "slow").text
    width = max([size_of(row_shape(s)) for s in equations if s.axis is not None] or [1])
    return sweep.source(_block_lines(sweep), streams, width, slow)


def _block_rows(
    equations: Sequence[SweepEquation], stored: set[Var], streams: Collection[Var]
) -> int:
    """A power of two: fewer rows where the tiles of their arrays must stay in the cache."""
    arrays: set[Any] = set()
    for s in equations:
        v = s.equation.outputs[0]
        if v in stored and s.axis is not None:
            arrays.add((v, s.axis))
        pairs = zip(s.equation.operands, s.uses, strict=True)
        arrays |= {(x, use.axis) for x, use in pairs if use.kind == "rows"}
    streamed = {v: size_of(inner(v.aval.shape, k)) for v, k in arrays if v in streams}
    short = any(s.axis is None and kind_of(s.equation.outputs[0]) == "f32" for s in equations)
    most = SUM_BLOCK if short else BLOCK
    width = tile_bytes(arrays) + sum(emitter_of(s).unrolled_bytes(s) for s in equations)
    width += sum(n * v.aval.dtype.itemsize for v, n in streamed.items())
    rows = max(64, min(512, TILE_BYTES // width)) if width else most
    return min(most, 1 << rows.bit_length() - 1)


def _block_lines(sweep: UnrolledSweep) -> list[str]:
    """The loop over the rows of a block, what it starts from and what follows."""
    lines = [f"{name} = {kind}(0)" for name, _, kind in sweep.totals]
    lines += ["for r in range(n):", *[f"    {x}" for x in sweep.lines]]
    if sweep.checked and sweep.speed == "fast":
        lines = ["inside = True", *lines, *END_OUTSIDE]
    for sizes, found in sweep.in_bounds.items():
        lines = [f"{found} = True", *lines, *out_of_bounds_lines(sizes, found)]
    lines += [f"{element} += {name}" for name, element, _ in sweep.totals]
    return [*lines, *sweep.after.values()]
