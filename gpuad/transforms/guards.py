"""Guards: what `drop` puts where a value may be infinite or NaN in lanes that do not count.

A graph can run without them first. If a guard was needed, its results have a NaN (`nan_shows`).
"""

from collections.abc import Sequence
from typing import Any

from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building
from gpuad.ir.graph import Atom, Equation, Graph, Var, equations_within
from gpuad.ir.half import widened
from gpuad.ir.primitive import is_inexact
from gpuad.primitives.contraction import dot_general, dot_kept
from gpuad.primitives.convolution import (
    convolve_full,
    convolve_kept,
    correlate_kept,
    correlate_valid,
)
from gpuad.primitives.structure import broadcast
from gpuad.transforms.memo import memo

Flags = tuple[bool, ...]


WITH_MARKS = {
    dot_kept: dot_general,
    convolve_kept: convolve_full,
    correlate_kept: correlate_valid,
}
"""Products with a mark for each operand, and those without."""
MARKED = {plain: marked for marked, plain in WITH_MARKS.items()}


@memo
def without_guards(graph: Graph) -> Graph:
    """The graph without guards. Its results are the same, apart from NaN where one was needed."""
    if not any(_is_guard(e) for e in equations_within(graph)):
        return graph
    with building(Builder(graph.name)) as builder:
        env: dict[Any, Atom] = {v: builder.input(v.aval) for v in graph.inputs}
        for e in graph.equations:
            operands = [env[x] if type(x) is Var else x for x in e.operands]
            builder.where = e.where
            if not _is_guard(e):
                held = [without_guards(g) for g in e.primitive.held_graphs(e.params)]
                result = e.primitive(*operands, **e.primitive.with_graphs(e.params, held))
            elif e.primitive in WITH_MARKS:
                result = WITH_MARKS[e.primitive](*operands[2:], **e.params)
            else:
                result = _as_large(operands[1], e.outputs[0].aval)
            env.update(zip(e.outputs, result if e.primitive.multiple else (result,), strict=True))
        return builder.graph(
            [env[x] if type(x) is Var else x for x in graph.outputs], graph.captured
        )


def _as_large(x: Atom, aval: Aval) -> Atom:
    """`x` repeated to the shape of the guarded value: a number may stand for an array there."""
    return x if x.aval.shape == aval.shape else broadcast(x, shape=aval.shape, dims=())


MOST_IN_KERNELS = 64
"""The most guards that kernels have: more take the compiler minutes, and many registers."""


@memo
def for_kernels(graph: Graph) -> Graph:
    """The graph for a target that cannot look at its results and run once more.

    If there are many guards and a NaN shows, they are left out: a NaN stands where 0 is right.
    """
    return without_guards(graph) if _has_many_guards(graph) and nan_shows(graph) else graph


def _has_many_guards(graph: Graph) -> bool:
    """Whether there are many in the graph or in a graph that it holds."""
    guards = [e for e in graph.equations if _is_guard(e)]
    held = [g for e in graph.equations for g in e.primitive.held_graphs(e.params)]
    many = len(guards) > MOST_IN_KERNELS or any(e.primitive in WITH_MARKS for e in guards)
    return many or any(map(_has_many_guards, held))


@memo
def nan_shows(graph: Graph) -> bool:
    """Whether every NaN that a missing guard lets through reaches the results or changes nothing.

    If it can be compared or selected by, for example, results could be wrong numbers instead.
    """
    return _tainted(graph, (False,) * len(graph.inputs)) is not None


@memo
def _tainted(graph: Graph, inputs: Flags) -> Flags | None:
    """Which outputs may have a NaN for want of a guard, if these inputs may; None if it does not
    show."""
    tainted: set[Any] = {v for v, on in zip(graph.inputs, inputs, strict=True) if on}
    for e in _used_without_guards(graph):
        found = tuple([x in tainted for x in e.operands])
        if _is_guard(e):
            tainted.update(e.outputs)
        elif e.primitive.applies_once:
            (held,) = e.primitive.held_graphs(e.params)
            outputs = _tainted(held, found)
            if outputs is None:
                return None
            tainted.update([v for v, on in zip(e.outputs, outputs, strict=True) if on])
        elif any(found) or _has_guards(e):
            if not _passes_on(e, found):
                return None
            tainted.update(e.outputs)
    return tuple([x in tainted for x in graph.outputs])


def _has_guards(e: Equation) -> bool:
    """Whether there are guards in the graphs that an equation holds."""
    held = e.primitive.held_graphs(e.params)
    return any(_is_guard(x) for g in held for x in equations_within(g))


def _used_without_guards(graph: Graph) -> list[Equation]:
    """The equations that are needed if there are no guards, whose marks are not computed then."""
    needed = set(graph.outputs)
    used = []
    for e in reversed(graph.equations):
        if not needed.isdisjoint(e.outputs):
            used.append(e)
            needed.update(e.operands[e.primitive.marks :] if _is_guard(e) else e.operands)
    return used[::-1]


def _passes_on(e: Equation, tainted: Sequence[bool]) -> bool:
    primitive = e.primitive
    if primitive.moves != 0:  # not if the NaN is in indices
        return primitive.moves is None or not any(tainted[primitive.moves :])
    if primitive.name in ("select", "keep"):
        return not tainted[0]
    if primitive.converts:
        real = widened(e.operands[0].aval.dtype).kind == "f"
        return is_inexact(e.params["dtype"]) and real
    if primitive.name == "integer_power":
        return bool(e.params["n"] != 0)
    return primitive.shows_nan


def _is_guard(e: Equation) -> bool:
    return e.primitive in WITH_MARKS or (e.primitive.name == "keep" and e.params["guard"])
