"""The source of a sweep: one Numba function that works through a range of rows, block by block.

Inside a block the equations are grouped into loops: all elementwise work over one shape of lanes
is one loop, values that no other loop needs stay in registers, the others in scratch that is used
again for the next block. Row sums are added up per block, then in float64 per segment of rows.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from gpuad.codegen.argument import SweepSource
from gpuad.codegen.cpu.block_sweep import AS_SUITS, BlockForm, BlockSweep
from gpuad.codegen.cpu.loop_body import LoopBody
from gpuad.codegen.cpu.loops import Assign, Reduce, bound_checks, loop_lines
from gpuad.codegen.cpu.operations import emitter_of
from gpuad.codegen.cpu.ordering import Loop, Ordering
from gpuad.codegen.cpu.placed_copies import placed_copies
from gpuad.codegen.views import View, size_of
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation
from gpuad.plan.roles import is_view

GAPS = 1.25
"""A flat loop over lanes and gaps computes at most so many times what is needed."""


def block_source(
    equations: Sequence[SweepEquation],
    stored: set[Var],
    streams: Collection[Var] = (),
    form: BlockForm = AS_SUITS,
) -> SweepSource:
    """The source of a sweep that leaves the results `stored`, of which those in `streams` go past
    the cache."""
    return _finished(_written(equations, stored, form), streams, form)


def flat_source(
    equations: Sequence[SweepEquation], stored: set[Var], streams: Collection[Var]
) -> SweepSource | None:
    """The source of a sweep if all its loops are flat: then that is fastest for few lanes too."""
    form = BlockForm(lane_major=False)
    sweep = _written(equations, stored, form)
    return None if sweep.nested else _finished(sweep, streams, form)


def _written(equations: Sequence[SweepEquation], stored: set[Var], form: BlockForm) -> BlockSweep:
    placed = placed_copies(equations, stored, _computes_in_loop)
    order = Ordering(placed.equations, _is_in_loop, _lanes).order
    calls_blas = any(emitter_of(s).calls_blas for s in equations)
    sweep = BlockSweep(equations, stored, order, form, calls_blas)
    sweep.places = placed.places
    for item in order:
        if isinstance(item, Loop):
            _emit_loop(sweep, item)
        else:
            emit = emitter_of(item).emit
            assert emit is not None
            emit(sweep, item)
    return sweep


def _is_in_loop(s: SweepEquation) -> bool:
    return emitter_of(s).statement is not None and not is_view(s.equation)


def _computes_in_loop(s: SweepEquation) -> bool:
    return _is_in_loop(s) and s.equation.primitive.role is not Role.REDUCTION


def _lanes(s: SweepEquation) -> tuple[int, ...]:
    return emitter_of(s).lanes(s)


def _finished(sweep: BlockSweep, streams: Collection[Var], form: BlockForm) -> SweepSource:
    slow = None
    if sweep.checked and form.speed == "fast":
        slowly = replace(form, speed="slow")
        slow = block_source(sweep.equations, sweep.stored, streams, slowly).text
    width = max([size_of(_lanes(s)) for s in sweep.equations])
    return sweep.source(sweep.lines, streams, width, slow)


# Loops


def _emit_loop(sweep: BlockSweep, loop: Loop) -> None:
    body = LoopBody(sweep, loop.shape, _width(sweep, loop))
    statements = [_statement(body, s) for s in loop.equations]
    flat = body.width
    if not flat and not sweep.lane_major and _is_flat(statements, body.reads):
        flat = size_of(loop.shape)
    sweep.nested |= not flat
    sweep.lines += loop_lines(
        loop.shape, statements, sweep.lane_major, flat, sweep.speed, sweep.block
    )


def _statement(body: LoopBody, s: SweepEquation) -> Assign | Reduce:
    statement = emitter_of(s).statement
    assert statement is not None
    return statement(body, s)


def _width(sweep: BlockSweep, loop: Loop) -> int:
    """The distance between rows, if it is the same for all operands of a loop, a little more than
    the lanes of a row, and the loop may run over the gaps as well; else 0."""
    lanes = size_of(loop.shape)
    if sweep.lane_major or max(loop.shape, default=1) != lanes:
        return 0
    widths = set()
    made = {s.equation.outputs[0] for s in loop.equations}
    for s in loop.equations:
        e = s.equation
        if e.primitive.role is not Role.ELEMENTWISE or e.outputs[0] in sweep.stored:
            return 0
        if e.outputs[0] in sweep.places:
            return 0
        if bound_checks(e.primitive.scalar_text(e.params)):
            return 0
        for x, use in zip(e.operands, s.uses, strict=True):
            if type(x) is Var and x not in made:
                view = sweep.read(x, use)
                if view.row:
                    widths.add(view.row if view.dense else 0)
                elif any(view.strides) and size_of(view.shape) > 1:
                    return 0
    width = widths.pop() if len(widths) == 1 else 0
    return width if lanes < width <= lanes * GAPS else 0


def _is_flat(statements: Sequence[Assign | Reduce], reads: Sequence[View]) -> bool:
    scalar_sums = all(
        s.total and size_of(s.target.shape) == 1 for s in statements if isinstance(s, Reduce)
    )
    stores = [view for s in statements if isinstance(s, Assign) for view in s.stores]
    return scalar_sums and all(
        view.flat if view.row else not any(view.strides) or size_of(view.shape) == 1
        for view in (*reads, *stores)
    )
