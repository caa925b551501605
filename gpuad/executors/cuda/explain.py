"""What a program does on a GPU, in text and numbers, without running it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gpuad.codegen.cuda.planning import CudaPlan, PlannedStage
from gpuad.codegen.cuda.source import KernelSource
from gpuad.executors.cuda.cublas import Product
from gpuad.executors.cuda.row_calls import RowCall
from gpuad.executors.cuda.scatter import Scatter, Shared
from gpuad.executors.explain import Account, amount, call_line, flops_of_sweep, held_line
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

    @property
    def scatters(self) -> Mapping[Var, Scatter]:
        """The scatter-adds with kernels of their own, by their results."""
        ...

    @property
    def shared_orders(self) -> Mapping[Var, Shared]:
        """Those of them that share an order with others, by their results."""
        ...


def explain(program: Explained, dry_run: DryRun, peak: int) -> Explanation:
    """The explanation of a program, from its dry run and the peak that this gave."""
    account = Account()
    _add_program(account, program, dry_run)
    return account.explanation(program.plan.graph, peak)


def _add_program(account: Account, program: Explained, dry_run: DryRun, indent: str = "") -> None:
    for k, stage in enumerate(program.plan.stages):
        account.lines.append(f"{indent}stage {k}")
        for e in stage.whole:
            if e in program.parts:
                account.lines.append(f"{indent}  {held_line(e)}")
                for held, part in zip(program.parts[e], dry_run.parts[e], strict=True):
                    _add_program(account, held, part, indent + "    ")
            elif e in dry_run.views:
                account.lines.append(f"{indent}  {call_line(e)}, a view")
            else:
                _add_call(account, e, program, indent)
        if stage.source is not None:
            _add_kernel(account, stage, stage.source, indent)


def _add_call(account: Account, e: Equation, program: Explained, indent: str) -> None:
    unit = program.row_calls.get(e)
    workspace = _workspace(unit, program.products.get(e.outputs[0]))
    account.lines.append(f"{indent}  {call_line(e)}{_tiles(unit)}{workspace}")
    account.add_call(e, _launches(e, program) if unit is None else unit.tiles)


def _launches(e: Equation, program: Explained) -> int:
    """Of a call on whole arrays."""
    scatter = program.scatters.get(e.outputs[0])
    if scatter is None:
        return 1
    shared = program.shared_orders.get(e.outputs[0])
    return scatter.launches if shared is None or shared.first else 1


def _add_kernel(account: Account, stage: PlannedStage, source: KernelSource, indent: str) -> None:
    account.lines.append(indent + _kernel_line(stage, source))
    moved, flops = moved_bytes(source, stage.rows), flops_of_sweep(stage.sweep)
    account.add(moved, flops, source.launches(stage.rows))
    account.sources[id(stage)] = source.kernel.text


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
