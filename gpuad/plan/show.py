"""The text form of a plan."""

from collections.abc import Iterator

from gpuad.ir.graph import Literal
from gpuad.ir.show import Names
from gpuad.plan.plan import Call, FusedCall, Plan, Stage, SweepEquation


def show(plan: Plan) -> str:
    """`plan` as text: its stages, each with its calls on whole arrays and its sweep.

    Behind an equation of a sweep stands how it reads each operand: "block" is made in the sweep,
    "rows k" is read from memory along axis k, "free" is the same for all rows; and the row axis of
    its result, or that it is a sum over rows.

    ::

        plan(a: f64[1000,3], b: f64[3])
        stage 0
          sweep over 1000 rows
            c: f64[1000,3] = sin a  (rows 0 -> 0)
            d: f64[3] = reduce_sum[axes=(0,)] c  (block 0 -> sum)
        stage 1
          call e: f64[3] = mul d b
        return e
    """
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    names = Names()
    yield f"plan({', '.join(map(names.with_aval, plan.graph.inputs))})"
    for k, stage in enumerate(plan.stages):
        yield f"stage {k}"
        for call in stage.whole:
            yield f"  call {_call(call, names)}"
        if stage.sweep:
            yield from _sweep(stage, stage.rows or plan.rows, names)
    yield f"return {', '.join(map(names, plan.graph.outputs))}"


def _call(call: Call, names: Names) -> str:
    if not isinstance(call, FusedCall):
        return names.equation(call)
    operands = " ".join(map(names, call.operands))
    outputs = ", ".join(map(names.with_aval, call.outputs))
    how = "interpreted" if call.interpreted else "compiled"
    return f"{outputs} = {len(call.equations)} operations, {how}, of {operands}"


def _sweep(stage: Stage, rows: int, names: Names) -> Iterator[str]:
    yield f"  sweep over {rows} rows"
    for s in stage.sweep:
        yield f"    {names.equation(s.equation)}  ({_reads(s)})"


def _reads(s: SweepEquation) -> str:
    pairs = zip(s.equation.operands, s.uses, strict=True)
    uses = [
        use.kind if use.axis is None else f"{use.kind} {use.axis}"
        for x, use in pairs
        if type(x) is not Literal
    ]
    return f"{', '.join(uses) or 'nothing'} -> {'sum' if s.axis is None else s.axis}"
