"""What a program does on a GPU, in numbers and text, without running it."""

from collections.abc import Collection, Mapping

from gpuad.codegen.cuda.planning import CudaPlan, PlannedStage
from gpuad.codegen.cuda.source import KernelSource
from gpuad.executors.cuda.cublas import Product
from gpuad.executors.cuda.row_calls import RowCall
from gpuad.executors.explain import (
    amount,
    call_line,
    flops_of_call,
    flops_of_sweep,
    least_bytes,
    moved_by_call,
    totals_line,
)
from gpuad.executors.protocols import Explanation
from gpuad.ir.graph import Equation, Var


def explain(
    plan: CudaPlan,
    peak: int,
    views: Collection[Equation],
    row_calls: Mapping[Equation, RowCall],
    products: Mapping[Var, Product],
) -> Explanation:
    """The account of a plan whose peak is known, and which calls only make views, which are made by
    rows, and which are products of cuBLAS, by their results."""
    lines, moved, flops, launches = [], 0, 0, 0
    for k, stage in enumerate(plan.stages):
        lines.append(f"stage {k}")
        for e in stage.whole:
            if e in views:
                lines.append(f"  {call_line(e)}, a view")
                continue
            unit = row_calls.get(e)
            workspace = _workspace(unit, products.get(e.outputs[0]))
            lines.append(f"  {call_line(e)}{_tiles(unit)}{workspace}")
            moved += moved_by_call(e)
            flops += flops_of_call(e)
            launches += unit.tiles if unit is not None else 1
        if stage.source is not None:
            lines.append(_kernel_line(stage, stage.source))
            moved += moved_bytes(stage.source, stage.rows)
            flops += flops_of_sweep(stage.sweep)
            launches += stage.source.launches(stage.rows)
    floor = least_bytes(plan.graph)
    lines.append(totals_line(launches, moved, floor, flops, peak))
    texts = tuple([s.source.kernel.text for s in plan.stages if s.source is not None])
    return Explanation("\n".join(lines), peak, moved, floor, flops, launches, texts)


def _kernel_line(stage: PlannedStage, source: KernelSource) -> str:
    layout = source.layout
    return (
        f"  {layout.family} kernel: {stage.rows} rows, {len(stage.sweep)} operations, reads "
        f"{len(source.reads)}, writes {len(source.writes)}, sums {len(source.sums)} over rows; "
        f"{source.blocks(stage.rows)} blocks of {layout.threads} threads, {layout.group} to a row"
    )


def _tiles(unit: RowCall | None) -> str:
    return "" if unit is None else f", {unit.share} rows at a time"


def _workspace(unit: RowCall | None, product: Product | None) -> str:
    size = product.workspace if product is not None else unit.workspace if unit is not None else 0
    return f", {amount(size)}B for cuBLAS to work in" if size else ""


def moved_bytes(source: KernelSource, rows: int) -> int:
    """Bytes that a kernel reads and writes: its arguments, and partial sums twice."""
    arguments = sum(a.var.aval.nbytes for a in (*source.reads, *source.writes))
    return arguments + (2 if source.blocks(rows) > 1 else 1) * source.partial_bytes(rows)
