"""Checkpoints in a graph that is to be compiled: as they stand, or written out."""

from collections.abc import Collection
from typing import Any

from gpuad.ir.graph import Equation, Graph, Var, calls_user
from gpuad.transforms.calls import call, checkpoint, trimmed
from gpuad.transforms.memo import memo
from gpuad.transforms.simplify import simplify


@memo
def variants(graph: Graph) -> tuple[Graph, ...]:
    """Graphs of the same results, from all checkpoints written out to the graph as it stands.

    In between, the outermost checkpoints are written out and those within them are kept. The first
    graphs compute less; the last ones may need less memory, which is what checkpoints are for. (Not
    always: a plan may need to keep only one row at a time of what is written out.)
    """
    if not any(e.primitive is checkpoint for e in simplify(graph).equations):
        return (graph,)
    as_it_stands = _trimmed(simplify(graph))
    if calls_user(graph):  # these calls are not to be repeated or left out
        return (as_it_stands,)
    return (*variants(_written_out(simplify(graph))), as_it_stands)


def _written_out(graph: Graph) -> Graph:
    """The graph with calls in place of checkpoints."""
    equations = [
        Equation(call, e.operands, e.params, e.outputs, e.where) if e.primitive is checkpoint else e
        for e in graph.equations
    ]
    return _with_equations(graph, equations)


def _trimmed(graph: Graph) -> Graph:
    """The graph whose checkpoints have only the results that are needed, and the operands for
    them."""
    needed = {x for x in graph.outputs if type(x) is Var}
    kept: list[Equation] = []
    for e in reversed(graph.equations):
        if e.primitive is checkpoint:
            e = _trimmed_checkpoint(e, needed)
        kept.append(e)
        needed.update([x for x in e.operands if type(x) is Var])
    return _with_equations(graph, kept[::-1])


def _trimmed_checkpoint(e: Equation, needed: Collection[Any]) -> Equation:
    (graph,) = checkpoint.held_graphs(e.params)
    chosen = [k for k, v in enumerate(e.outputs) if v in needed]
    held, operands = trimmed(graph, chosen, e.operands)
    params, outputs = checkpoint.with_graphs(e.params, [held]), [e.outputs[k] for k in chosen]
    return Equation(checkpoint, operands, params, tuple(outputs), e.where)


def _with_equations(graph: Graph, equations: list[Equation]) -> Graph:
    return Graph(graph.inputs, tuple(equations), graph.outputs, graph.captured, graph.name)
