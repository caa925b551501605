"""What a compiled program does, in numbers and text, without running it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gpuad.executors.sweep import SweepSource
from gpuad.ir.graph import Equation
from gpuad.plan.plan import Plan, Stage


@dataclass(frozen=True)
class Explanation:
    """A plan and what it costs; printed by ``print(jit(f).explain(*args))``.

    Attributes
    ----------
    peak_bytes : int
        Memory at the fullest moment beside the arguments: results, intermediate arrays, scratch.
    bytes_moved, bytes_floor : int
        Bytes read from and written to arrays by all stages; and the least that any program must
        move: each input read once, each output written once.
    flops : int
        Scalar operations, every elementwise function counted as one.
    launches : int
        Sweeps and library calls.
    sources : tuple of str
        The generated source of each sweep.
    """

    text: str
    peak_bytes: int
    bytes_moved: int
    bytes_floor: int
    flops: int
    launches: int
    sources: tuple[str, ...]

    def __str__(self) -> str:
        return self.text


def explain(plan: Plan, sources: list[SweepSource | None], peak: int) -> Explanation:
    """The account of a plan whose sweeps have these sources, and whose peak is known."""
    lines, moved, launches, flops = [], 0, 0, 0
    for k, (stage, source) in enumerate(zip(plan.stages, sources, strict=True)):
        lines.append(f"stage {k}")
        for e in stage.whole:
            operands = [x.aval for x in e.operands]
            lines.append(f"  library call: {e.primitive} {' '.join(map(str, operands))}")
            moved += _moved_by_call(e)
            flops += max(x.aval.size for x in (*e.outputs, *e.operands))
            launches += 1
        if source is not None:
            lines.append(_sweep_line(plan, stage, source))
            moved += _moved_by_sweep(source)
            flops += _sweep_flops(stage)
            launches += 1
    floor = sum(x.aval.nbytes for x in _distinct(plan.graph.inputs))
    floor += sum(x.aval.nbytes for x in plan.graph.outputs)
    lines.append(
        f"{launches} launches, {_amount(moved)}B moved ({moved / max(floor, 1):.2f} x the least "
        f"possible, {_amount(floor)}B), {_amount(flops)}FLOP, peak {_amount(peak)}B beside the "
        "arguments"
    )
    texts = tuple([s.text for s in sources if s is not None])
    return Explanation("\n".join(lines), peak, moved, floor, flops, launches, texts)


def _distinct(values: Iterable[Any]) -> set[Any]:
    return set(values)


def _moved_by_call(e: Equation) -> int:
    return sum(x.aval.nbytes for x in (*_distinct(e.operands), *e.outputs))


def _moved_by_sweep(source: SweepSource) -> int:
    arguments = [*source.reads, *source.writes, *source.sums]
    return sum(a.var.aval.nbytes for a in arguments)


def _sweep_flops(stage: Stage) -> int:
    return sum(
        max(x.aval.size for x in (s.equation.outputs[0], *s.equation.operands))
        for s in stage.sweep
        if s.equation.primitive.kind == "elementwise" or s.axis is None
    )


def _sweep_line(plan: Plan, stage: Stage, source: SweepSource) -> str:
    scratch = sum(n for _, n in source.scratch.values())
    return (
        f"  sweep: {plan.rows} rows, {len(stage.sweep)} operations, reads {len(source.reads)}, "
        f"writes {len(source.writes)}, sums {len(source.sums)} over rows; "
        f"blocks of {source.block} rows, {scratch} values of scratch"
    )


def _amount(n: int) -> str:
    """A number with a decimal prefix: 1.5 M."""
    for prefix in ("", "k", "M", "G"):
        if n < 1000:
            return f"{n:.3g} {prefix}"
        n = n / 1000  # type: ignore[assignment]
    return f"{n:.3g} T"
