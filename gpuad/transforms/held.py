"""Checkpoints in a graph that is to be compiled: without what nothing needs, or written out."""

from collections.abc import Collection
from typing import Any

from gpuad.ir.build import live_equations
from gpuad.ir.graph import Equation, Graph, Var, equations_within
from gpuad.ir.primitive import Role
from gpuad.transforms.calls import call, checkpoint
from gpuad.transforms.memo import memo
from gpuad.transforms.simplify import simplify

FREE = (Role.VIEW, Role.CONSTANT, Role.IOTA)
"""What computes nothing."""


@memo
def opened(graph: Graph) -> Graph:
    """The graph with less that crosses into its checkpoints and out of them.

    A checkpoint that is all that the graph computes is written out: there is nothing that its
    values could be kept for in the meantime, and a plan of them all does with less.
    """
    if not any(e.primitive is checkpoint for e in equations_within(graph)):
        return graph
    graph = _trimmed(simplify(graph))
    computing = [e for e in graph.equations if e.primitive.role not in FREE]
    if [e.primitive for e in computing] != [checkpoint]:
        return graph
    equations = [_as_call(e) if e is computing[0] else e for e in graph.equations]
    return opened(_with(graph, equations))


def _as_call(e: Equation) -> Equation:
    return Equation(call, e.operands, e.params, e.outputs, e.where)


def _trimmed(graph: Graph) -> Graph:
    """The graph whose checkpoints compute what is needed of their results, from what they need."""
    needed = {x for x in graph.outputs if type(x) is Var}
    kept: list[Equation] = []
    for e in reversed(graph.equations):
        if e.primitive is checkpoint:
            e = _trimmed_checkpoint(e, needed)
        kept.append(e)
        needed.update([x for x in e.operands if type(x) is Var])
    return _with(graph, kept[::-1])


def _trimmed_checkpoint(e: Equation, needed: Collection[Any]) -> Equation:
    graph: Graph = e.params["graph"]
    pairs = [(v, x) for v, x in zip(e.outputs, graph.outputs, strict=True) if v in needed]
    results = tuple([x for _, x in pairs])
    equations = live_equations(graph.equations, results)
    read = {x for f in equations for x in f.operands}.union(results)
    used = [(x, v) for x, v in zip(e.operands, graph.inputs, strict=True) if v in read]
    held = Graph(tuple([v for _, v in used]), equations, results, 0, graph.name)
    operands = tuple([x for x, _ in used])
    return Equation(checkpoint, operands, {"graph": held}, tuple([v for v, _ in pairs]), e.where)


def _with(graph: Graph, equations: list[Equation]) -> Graph:
    return Graph(graph.inputs, tuple(equations), graph.outputs, graph.captured, graph.name)
