"""What a program does on a GPU, in numbers and text, without running it."""

from gpuad.executors.cuda.planning import CudaPlan, PlannedStage
from gpuad.executors.cuda.source import KernelSource
from gpuad.executors.explain import Explanation
from gpuad.plan.plan import SweepEquation


def amount(n: float) -> str:
    """A number with a decimal prefix: 1.5 M."""
    for prefix in ("", "k", "M", "G"):
        if n < 1000:
            return f"{n:.3g} {prefix}"
        n /= 1000
    return f"{n:.3g} T"


def explain(plan: CudaPlan, peak: int) -> Explanation:
    """The account of a plan whose peak is known."""
    lines, moved, flops, launches = [], 0, 0, 0
    for k, stage in enumerate(plan.stages):
        lines.append(f"stage {k}")
        for e in stage.whole:
            operands = " ".join([str(x.aval) for x in e.operands])
            lines.append(f"  library call: {e.primitive} {operands}")
            moved += sum(x.aval.nbytes for x in {*e.operands, *e.outputs})
            flops += max(x.aval.size for x in (*e.outputs, *e.operands))
            launches += 1
        if stage.source is not None:
            lines.append(_kernel_line(stage, stage.source))
            moved += moved_bytes(stage.source, stage.rows)
            flops += sum(_flops(s) for s in stage.sweep)
            launches += stage.source.launches(stage.rows)
    floor = sum(x.aval.nbytes for x in {*plan.graph.inputs})
    floor += sum(x.aval.nbytes for x in plan.graph.outputs)
    lines.append(
        f"{launches} launches, {amount(moved)}B moved ({moved / max(floor, 1):.2f} x the least "
        f"possible, {amount(floor)}B), {amount(flops)}FLOP, peak {amount(peak)}B beside the "
        "arguments"
    )
    texts = tuple([s.source.kernel.text for s in plan.stages if s.source is not None])
    return Explanation("\n".join(lines), peak, moved, floor, flops, launches, texts)


def _kernel_line(stage: PlannedStage, source: KernelSource) -> str:
    layout = source.layout
    return (
        f"  {layout.family} kernel: {stage.rows} rows, {len(stage.sweep)} operations, reads "
        f"{len(source.reads)}, writes {len(source.writes)}, sums {len(source.sums)} over rows; "
        f"{source.blocks(stage.rows)} blocks of {layout.threads} threads, {layout.group} to a row"
    )


def _flops(s: SweepEquation) -> int:
    if s.equation.primitive.kind != "elementwise" and s.axis is not None:
        return 0
    return max(x.aval.size for x in (s.equation.outputs[0], *s.equation.operands))


def moved_bytes(source: KernelSource, rows: int) -> int:
    """Bytes that a kernel reads and writes: its arguments, and partial sums twice."""
    arguments = sum(a.var.aval.nbytes for a in (*source.reads, *source.writes))
    return arguments + (2 if source.blocks(rows) > 1 else 1) * source.partial_bytes(rows)
