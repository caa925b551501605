"""A plan for a GPU: its sweeps as kernels, divided where no family can hold one of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gpuad.executors.cuda.cells import Unsuitable
from gpuad.executors.cuda.layout import layouts
from gpuad.executors.cuda.neighbours import NeighbourWriter
from gpuad.executors.cuda.pairs import PairWriter
from gpuad.executors.cuda.scalar import has_scalar
from gpuad.executors.cuda.settling import settled
from gpuad.executors.cuda.source import KernelSource
from gpuad.executors.cuda.staging import SampleWriter
from gpuad.executors.cuda.turning import turned, without
from gpuad.executors.cuda.writer import KernelWriter
from gpuad.executors.effort import effort
from gpuad.executors.ordering import COPIES, REDUCTIONS
from gpuad.executors.sweep import TYPES
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.plan.divide import parts
from gpuad.plan.plan import Plan, Stage, SweepEquation, Use, make_plan, stored
from gpuad.plan.views import VIEWS

EFFORT = 3000
"""Units in one kernel: beyond that it takes seconds to compile."""
LINES = 1500
"""Of text in one kernel, for the same reason."""
HELD = 48
"""Values that a thread can hold all the time, and still compute."""

WRITERS: dict[str, type[KernelWriter]] = {
    "pair": PairWriter, "sample": SampleWriter, "row": NeighbourWriter
}  # fmt: skip

Accepts = Callable[[KernelSource], bool]


@dataclass
class PlannedStage:
    """Library calls on whole arrays, and a kernel for a sweep over `rows` after them."""

    whole: list[Equation]
    sweep: list[SweepEquation]
    source: KernelSource | None
    rows: int


@dataclass
class CudaPlan:
    """A graph in stages, with the kernels' sources; `by_rows` are the library calls that act along
    the row axis of the whole plan."""

    graph: Graph
    stages: list[PlannedStage]
    by_rows: dict[Equation, SweepEquation] = field(default_factory=dict)


def joins(e: Equation) -> bool:
    """Whether a kernel can compute this equation."""
    values = (*e.operands, *e.outputs)
    if any(x.aval.dtype.str[1:] not in TYPES or 0 in x.aval.shape for x in values):
        return False
    if e.primitive.kind == "elementwise":
        return has_scalar(e)
    name = e.primitive.name
    if name in REDUCTIONS:
        return e.outputs[0].aval.dtype.kind == "f"
    return name in (*VIEWS, *COPIES)


def cuda_plan(graph: Graph, accepts: Accepts = lambda _: True) -> CudaPlan:
    """The plan of a simplified graph; `accepts` says whether a kernel is good on the GPU at hand
    (none of its values spilled)."""
    plan = make_plan(graph, joins)
    return CudaPlan(plan.graph, _stages(plan, accepts), plan.by_rows)


def _stages(plan: Plan, accepts: Accepts) -> list[PlannedStage]:
    stages = settled(plan.stages, plan.graph.outputs)
    done: list[PlannedStage] = []
    k = 0
    while k < len(stages):
        stage = stages[k]
        kept = stored(Plan(plan.graph, plan.rows, stages))[k]
        source = kernel_of(stage.sweep, kept, plan.rows, accepts) if stage.sweep else None
        other = None if source or not stage.sweep else turned(stage.sweep, plan.rows, joins)
        whole_plan = Plan(plan.graph, plan.rows, stages)
        both = _with_previous(whole_plan, k, done, accepts) if source else None
        if both is not None:
            stages[k - 1 : k + 1] = [Stage(both.whole, both.sweep)]
            done[-1] = both
            continue
        if source or not stage.sweep:
            done.append(PlannedStage(stage.whole, stage.sweep, source, plan.rows))
        elif other is not None:
            sums, across = other
            done.append(PlannedStage(stage.whole, [], None, 0))
            done += _stages(across, accepts)
            stages[k] = Stage([], without(stage.sweep, sums, kept))
            continue
        elif len(stage.sweep) == 1:
            done.append(PlannedStage([*stage.whole, stage.sweep[0].equation], [], None, 0))
        else:
            first, *rest = _halves(stage.sweep)
            apart = [Stage(stage.whole, first), *[Stage([], part) for part in rest]]
            after = settled([*apart, *stages[k + 1 :]], plan.graph.outputs)
            # Views alone would all go back to where they came from.
            stages[k:] = after if after[0].sweep else [*apart, *stages[k + 1 :]]
            continue
        k += 1
    return done


def _with_previous(
    plan: Plan, k: int, done: list[PlannedStage], accepts: Accepts
) -> PlannedStage | None:
    """Stage k and the one before it as one kernel, if that can be: a sweep that was too much in all
    is divided by its effort, and there may be more than one part that a kernel can hold."""
    stage, last = plan.stages[k], done[-1] if done else None
    if (
        last is None
        or last.source is None
        or stage.whole
        or last.sweep is not plan.stages[k - 1].sweep
    ):
        return None
    sweep = _joined(last.sweep, stage.sweep)
    if sweep is None:
        return None
    stages = [*plan.stages[: k - 1], Stage(last.whole, sweep), *plan.stages[k + 1 :]]
    kept = stored(Plan(plan.graph, plan.rows, stages))[k - 1]
    source = kernel_of(sweep, kept, plan.rows, accepts)
    return PlannedStage(last.whole, sweep, source, plan.rows) if source else None


def _joined(first: list[SweepEquation], second: list[SweepEquation]) -> list[SweepEquation] | None:
    """Two sweeps over the same rows as one; None if the second one needs a whole array from the
    first."""
    made = {s.equation.outputs[0]: s.axis for s in first}
    found = list(first)
    for s in second:
        uses = []
        for x, use in zip(s.equation.operands, s.uses, strict=True):
            if type(x) is Var and x in made:
                if use.kind != "rows" or use.axis != made[x]:
                    return None
                use = Use("block", use.axis)
            uses.append(use)
        found.append(replace(s, uses=tuple(uses)))
    return found


def kernel_of(
    sweep: Sequence[SweepEquation], kept: set[Var], rows: int, accepts: Accepts
) -> KernelSource | None:
    """The sweep in the first layout that suits it; None if none does."""
    alone = len(sweep) == 1 and sweep[0].equation.primitive.name in VIEWS
    if alone or sum(effort(s) for s in sweep) > EFFORT:
        return None
    for layout in layouts(sweep, rows):
        writer = WRITERS.get(layout.family, KernelWriter)
        try:
            source = writer(sweep, kept, layout).write()
        except Unsuitable:
            continue
        modest = source.kernel.text.count("\n") <= LINES and source.held <= HELD
        if modest and accepts(source):
            return source
    return None


def _halves(sweep: list[SweepEquation]) -> list[list[SweepEquation]]:
    """The sweep in two or three parts of about the same effort."""
    total = sum(effort(s) for s in sweep)
    found = parts(sweep, effort, max(total / 2, 1))
    return found if len(found) > 1 else parts(sweep, lambda s: 1, max(len(sweep) / 2, 1))
