"""A plan for a GPU: its sweeps as kernels; a sweep that no kernel family can hold is divided."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gpuad.codegen.argument import has_form
from gpuad.codegen.compile_cost import LOOP, PRODUCT, compile_cost
from gpuad.codegen.cuda.block_products import BlockProductWriter
from gpuad.codegen.cuda.cells import Unsuitable
from gpuad.codegen.cuda.gathers import joins_gather
from gpuad.codegen.cuda.layout import WRITTEN_OUT, Layout, layouts
from gpuad.codegen.cuda.looped_lanes import PairWriter
from gpuad.codegen.cuda.matrices import (
    adds_to_block,
    computes_product,
    is_streamed,
    multiplies_lanes,
    sums_by_block,
    written_out,
)
from gpuad.codegen.cuda.row_vectors import FlatWriter
from gpuad.codegen.cuda.scalar import has_scalar
from gpuad.codegen.cuda.shared_rows import SampleWriter
from gpuad.codegen.cuda.source import KernelSource
from gpuad.codegen.cuda.table_sums import joins_scatter
from gpuad.codegen.cuda.tiles import TileWriter
from gpuad.codegen.cuda.writer import EMITTERS, KernelWriter
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.primitive import Role
from gpuad.plan.added_products import join_added_products
from gpuad.plan.axes import RowChoice, RowLimits
from gpuad.plan.fitting import fitted
from gpuad.plan.plan import Stage, SweepEquation
from gpuad.plan.staging import make_plan
from gpuad.plan.target import FittingTarget
from gpuad.plan.views import OuterViews

COST = 3000
"""Units of compile cost in one kernel, at most: with more it takes seconds to compile."""
STREAMED = 5
"""Units of a product of two numbers in a text that is little but products."""
LINES = 6500
"""Lines of text in one kernel, at most, for the same reason."""
HELD = 128
"""Values that a thread holds all the time, at most: it needs registers to compute with too."""

ROWS_APART = RowLimits(64, math.inf)
"""A block for each of them keeps half of a GPU busy."""
ROWS_REDUCED = RowLimits(32, math.inf)
"""All threads of a block can work on a row, and loop over its lanes."""
ROWS_SUMMED = RowLimits(512, 1 << 15)
"""A group holds the sums of all lanes in registers, and each block leaves as many."""

WRITERS: dict[str, type[KernelWriter]] = {
    "flat": FlatWriter, "pair": PairWriter, "sample": SampleWriter, "row": BlockProductWriter,
    "tile": TileWriter,
}  # fmt: skip

Accepts = Callable[[KernelSource], bool]


@dataclass
class PlannedStage:
    """Library calls on whole arrays, and after them a sweep over so many rows, with its kernel."""

    whole: list[Equation]
    sweep: list[SweepEquation]
    source: KernelSource | None
    rows: int


@dataclass
class CudaPlan:
    """A graph in stages, with the sources of kernels. `by_rows` are the library calls that act
    along the row axis of the plan, with how they read their operands."""

    graph: Graph
    stages: list[PlannedStage]
    by_rows: dict[Equation, SweepEquation] = field(default_factory=dict)


class CudaTarget(FittingTarget):
    """Sweeps as kernels; accepts() says whether the GPU at hand runs a kernel well."""

    row_values = WRITTEN_OUT
    row_choice = RowChoice(ROWS_APART, ROWS_REDUCED, ROWS_SUMMED, crossed=False)

    def __init__(self, accepts: Accepts = lambda _: True):
        self._accepts = accepts
        self._kernels: dict[tuple[int, ...], tuple[Sequence[SweepEquation], KernelSource]] = {}
        """The kernels of sweeps, by the `id` of their equations, which are kept for this."""

    def joins(self, e: Equation) -> bool:
        return joins(e)

    def cost(self, s: SweepEquation) -> float:
        return cost(s)

    def limit(self, sweep: Sequence[SweepEquation]) -> float:
        return COST

    def fits(self, sweep: Sequence[SweepEquation], kept: set[Var], rows: int) -> bool:
        source = kernel_of(sweep, kept, rows, self._accepts)
        if source is not None:
            self._kernels[_identity(sweep)] = [*sweep], source
        return source is not None

    def with_kernel(self, stage: Stage) -> PlannedStage:
        """A stage with the kernel that was found to fit."""
        source = self._kernels[_identity(stage.sweep)][1] if stage.sweep else None
        whole = [e for e in stage.whole if isinstance(e, Equation)]
        return PlannedStage(whole, stage.sweep, source, stage.rows)


def _identity(sweep: Sequence[SweepEquation]) -> tuple[int, ...]:
    return tuple(map(id, sweep))


def joins(e: Equation) -> bool:
    """Whether a kernel can compute this equation."""
    if not has_form(e) or any(0 in x.aval.shape for x in (*e.operands, *e.outputs)):
        return False
    role = e.primitive.role
    if role is Role.ELEMENTWISE:
        return has_scalar(e)
    if role in (Role.REDUCTION, Role.CONTRACTION) and e.outputs[0].aval.dtype.kind != "f":
        return False
    if role is Role.CONTRACTION:
        return computes_product(e)
    if role is Role.GATHER:
        return joins_gather(e)
    if role is Role.SCATTER:
        return joins_scatter(e)
    return role in EMITTERS


def cost(s: SweepEquation) -> float:
    """The compile cost of an equation."""
    e = s.equation
    if multiplies_lanes(e) or adds_to_block(s):
        return LOOP
    if is_streamed(e):
        return STREAMED * written_out(e)
    if e.primitive.role is Role.CONTRACTION:
        return PRODUCT * written_out(e)
    return compile_cost(s)


def cuda_plan(graph: Graph, accepts: Accepts = lambda _: True) -> CudaPlan:
    """The plan of a simplified graph; accepts() says whether the GPU at hand runs a kernel well (no
    value is spilled)."""
    joined, side_by_side = join_added_products(graph, sums_by_block)
    plan = _planned(joined, accepts)
    in_memory = {v for s in plan.stages for e in s.whole for v in e.outputs}
    in_memory |= {a.var for s in plan.stages if s.source for a in s.source.writes}
    # Operands side by side are for kernels that have them in registers.
    return _planned(graph, accepts) if side_by_side & in_memory else plan


def _planned(graph: Graph, accepts: Accepts) -> CudaPlan:
    target = CudaTarget(accepts)
    outer = OuterViews(graph)
    plan = make_plan(outer.inside, target)
    stages = [target.with_kernel(stage) for stage in fitted(plan, target)]
    whole, before, after = outer.around(plan.graph)
    stages = [PlannedStage(before, [], None, 0), *stages, PlannedStage(after, [], None, 0)]
    return CudaPlan(whole, [s for s in stages if s.whole or s.sweep], plan.by_rows)


def kernel_of(
    sweep: Sequence[SweepEquation], kept: set[Var], rows: int, accepts: Accepts
) -> KernelSource | None:
    """The sweep in the first layout that suits it; None if none does."""
    only_view = len(sweep) == 1 and sweep[0].equation.primitive.role is Role.VIEW
    if only_view or sum(map(cost, sweep)) > COST:
        return None
    refused: list[Layout] = []
    for layout in layouts(sweep, rows):
        if layout.family == "tile" and any(layout == replace(x, vector=1) for x in refused):
            continue  # What needs too many registers with vectors does so without them.
        writer = WRITERS.get(layout.family, KernelWriter)
        try:
            source = writer(sweep, kept, layout).write()
        except Unsuitable:
            continue
        small = source.kernel.text.count("\n") <= LINES and source.held <= HELD
        if small and accepts(source):
            return source
        refused.append(layout)
    return None
