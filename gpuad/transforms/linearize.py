"""Splitting a graph: what can be computed early, and what waits for inputs that come late."""

from typing import Any

from gpuad.ir.build import Builder, building, live_equations
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.transforms.drop import dropping_by_seeds
from gpuad.transforms.jvp import jvp_walk, tangent_inputs
from gpuad.transforms.memo import memo
from gpuad.transforms.smooth import smooth


@memo
def partition(
    graph: Graph, late: tuple[bool, ...], last: int = 0
) -> tuple[Graph, Graph, tuple[bool, ...]]:
    """Splits `graph` at its late inputs; its last `last` outputs are late in any case.

    Returns ``early : inputs not late → outputs not late, residuals``,
    ``rest : residuals, late inputs → late outputs``, and which outputs are late.
    """
    waiting: set[Any] = {v for v, on in zip(graph.inputs, late, strict=True) if on}
    early: list[Equation] = []
    rest: list[Equation] = []
    for e in graph.equations:
        if waiting.isdisjoint(e.operands):
            early.append(e)
        else:
            waiting.update(e.outputs)
            rest.append(e)
    first_late = len(graph.outputs) - last
    out_late = tuple([x in waiting or i >= first_late for i, x in enumerate(graph.outputs)])
    late_outputs = [x for x, on in zip(graph.outputs, out_late, strict=True) if on]
    early_outputs = [x for x, on in zip(graph.outputs, out_late, strict=True) if not on]
    rest = list(live_equations(rest, late_outputs))
    reads = dict.fromkeys(
        [x for e in rest for x in e.operands if type(x) is Var]
        + [x for x in late_outputs if type(x) is Var]
    )
    residuals = [x for x in reads if x not in waiting]
    early_inputs = [v for v, on in zip(graph.inputs, late, strict=True) if not on]
    late_inputs = [v for v, on in zip(graph.inputs, late, strict=True) if on]
    first = [*early_outputs, *residuals]
    return (
        Graph(tuple(early_inputs), live_equations(early, first), tuple(first), 0, graph.name),
        Graph((*residuals, *late_inputs), tuple(rest), tuple(late_outputs), 0, graph.name),
        out_late,
    )


@memo
def linearize(graph: Graph, active: tuple[bool, ...]) -> tuple[Graph, Graph, tuple[bool, ...]]:
    """linearize : Graph (a → b) → Graph (a → b, residuals), Graph (residuals, a_dot → b_dot).

    The second graph is linear in the tangents of the active inputs. The last result says which
    outputs have a tangent.
    """
    graph = smooth(graph)
    with building(Builder(graph.name)) as builder:
        primals = [builder.input(a) for a in graph.in_avals]
        tangents = tangent_inputs(builder, graph, active)
        outs, outs_dot = jvp_walk(graph, primals, tangents, split=True)
        dots = [t for t in outs_dot if t is not None]
        joint = builder.graph([*outs, *dots])
    n = len(primals)
    late = tuple([i >= n for i in range(len(joint.inputs))])
    joint = dropping_by_seeds(joint, active)
    early, rest, _ = partition(joint, late, len(dots))
    return early, rest, tuple([t is not None for t in outs_dot])
