"""What a program does on a GPU, in text and numbers, without running it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gpuad.codegen.cuda.planning import CudaPlan, PlannedStage
from gpuad.codegen.cuda.source import KernelSource
from gpuad.executors.cuda.cublas import Product
from gpuad.executors.cuda.row_calls import RowCall
from gpuad.executors.explain import (
    amount,
    call_line,
    flops_of_call,
    flops_of_sweep,
    held_line,
    least_bytes,
    moved_by_call,
    totals_line,
)
from gpuad.executors.memory import DryRun
from gpuad.executors.protocols import Explanation
from gpuad.ir.graph import Equation, Var


class Explained(Protocol):
    """What is needed of a program to explain it."""

    @property
    def plan(self) -> CudaPlan: ...

    @property
    def parts(self) -> Mapping[Equation, Sequence["Explained"]]:
        """The programs of the graphs that equations hold."""
        ...

    @property
    def row_calls(self) -> Mapping[Equation, RowCall]:
        """The library calls that are made by rows."""
        ...

    @property
    def products(self) -> Mapping[Var, Product]:
        """The products that cuBLAS computes, by their results."""
        ...


def explain(program: Explained, dry_run: DryRun, peak: int) -> Explanation:
    """The explanation of a program, from its dry run and the peak that this gave."""
    account = _Account()
    account.program(program, dry_run)
    floor = least_bytes(program.plan.graph)
    moved, flops, launches = account.moved, account.flops, account.launches
    text = "\n".join([*account.lines, totals_line(launches, moved, floor, flops, peak)])
    return Explanation(text, peak, moved, floor, flops, launches, tuple(account.sources.values()))


class _Account:
    """What is added up over the stages of a program, and over those of the graphs that it holds."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.sources: dict[int, str] = {}
        """The text of each kernel, once for a program that runs in several places."""
        self.moved = self.flops = self.launches = 0

    def program(self, program: Explained, dry_run: DryRun, indent: str = "") -> None:
        for k, stage in enumerate(program.plan.stages):
            self.lines.append(f"{indent}stage {k}")
            for e in stage.whole:
                if e in program.parts:
                    self.lines.append(f"{indent}  {held_line(e)}")
                    for held, part in zip(program.parts[e], dry_run.parts[e], strict=True):
                        self.program(held, part, indent + "    ")
                elif e in dry_run.views:
                    self.lines.append(f"{indent}  {call_line(e)}, a view")
                else:
                    self._call(e, program, indent)
            if stage.source is not None:
                self._kernel(stage, stage.source, indent)

    def _call(self, e: Equation, program: Explained, indent: str) -> None:
        unit = program.row_calls.get(e)
        workspace = _workspace(unit, program.products.get(e.outputs[0]))
        self.lines.append(f"{indent}  {call_line(e)}{_tiles(unit)}{workspace}")
        self.moved += moved_by_call(e)
        self.flops += flops_of_call(e)
        self.launches += unit.tiles if unit is not None else 1

    def _kernel(self, stage: PlannedStage, source: KernelSource, indent: str) -> None:
        self.lines.append(indent + _kernel_line(stage, source))
        self.moved += moved_bytes(source, stage.rows)
        self.flops += flops_of_sweep(stage.sweep)
        self.launches += source.launches(stage.rows)
        self.sources[id(stage)] = source.kernel.text


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
    """Bytes that a kernel reads and writes: its arguments, and its partial sums, which the kernel
    that adds them up reads again."""
    arguments = sum(a.var.aval.nbytes for a in (*source.reads, *source.writes))
    return arguments + (2 if source.blocks(rows) > 1 else 1) * source.partial_bytes(rows)
