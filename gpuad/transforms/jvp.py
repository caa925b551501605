"""Forward mode: jvp : Graph (a → b) → Graph (a, a_dot → b, b_dot)."""

from collections.abc import Sequence
from typing import Any

from gpuad.errors import NotDifferentiableError
from gpuad.ir.build import Builder, building, current
from gpuad.ir.graph import Atom, Equation, Graph, Var
from gpuad.ir.primitive import is_inexact
from gpuad.transforms.drop import dropping_by_seeds
from gpuad.transforms.memo import memo
from gpuad.transforms.smooth import smooth

Tangent = Atom | None


@memo
def jvp(graph: Graph, active: tuple[bool, ...]) -> tuple[Graph, tuple[bool, ...]]:
    """The graph with one more input for each active input, and tangents of the outputs.

    `active` says which inputs have a tangent. Returns the graph, whose outputs are those of
    `graph` and then the tangents that are not identically zero, and which outputs have one.
    """
    joint, out_active = plain_jvp(graph, active)
    return dropping_by_seeds(joint, active), out_active


@memo
def plain_jvp(graph: Graph, active: tuple[bool, ...]) -> tuple[Graph, tuple[bool, ...]]:
    """`jvp` with plain products, in which what is dropped may count (see `transforms.drop`)."""
    graph = smooth(graph)
    with building(Builder(graph.name)) as builder:
        primals = [builder.input(a) for a in graph.in_avals]
        tangents = tangent_inputs(builder, graph, active)
        outs, outs_dot = jvp_walk(graph, primals, tangents)
        return builder.graph([*outs, *[t for t in outs_dot if t is not None]]), tuple(
            [t is not None for t in outs_dot]
        )


def tangent_inputs(builder: Builder, graph: Graph, active: Sequence[bool]) -> list[Var | None]:
    """A new input for the tangent of each active input of `graph`; None for the others."""
    return [
        builder.input(v.aval) if on else None for v, on in zip(graph.inputs, active, strict=True)
    ]


def jvp_walk(
    graph: Graph, primals: Sequence[Atom], tangents: Sequence[Tangent], split: bool = False
) -> tuple[list[Atom], list[Tangent]]:
    """Records `graph` and its tangents into the current builder.

    With `split`, primitives that hold a graph record their tangents as equations of their own, so
    that what depends on a tangent is linear in it.
    """
    builder = current()
    env: dict[Any, Atom] = dict(zip(graph.inputs, primals, strict=True))
    dots: dict[Any, Atom] = {
        v: t for v, t in zip(graph.inputs, tangents, strict=True) if t is not None
    }
    outer_where = builder.where
    for e in graph.equations:
        builder.where = e.where or outer_where
        operands = tuple([env[x] if type(x) is Var else x for x in e.operands])
        operands_dot = [dots.get(x) for x in e.operands]
        outs, outs_dot = _equation(builder, e, operands, operands_dot, split)
        env.update(zip(e.outputs, outs, strict=True))
        for v, t in zip(e.outputs, outs_dot, strict=True):
            if t is not None and is_inexact(v.aval.dtype):
                dots[v] = t
    builder.where = outer_where
    return (
        [env[x] if type(x) is Var else x for x in graph.outputs],
        [dots.get(x) for x in graph.outputs],
    )


def _equation(
    builder: Builder, e: Equation, operands: Any, operands_dot: list[Tangent], split: bool
) -> tuple[Sequence[Atom], Sequence[Tangent]]:
    primitive = e.primitive
    moving = any(t is not None for t in operands_dot)
    if moving and primitive.holds_graph:
        rule = primitive.linearize if split else primitive.jvp
        return rule(operands, operands_dot, **e.params)  # type: ignore[misc]
    result = builder.add(primitive, operands, e.params)
    if not moving or primitive.jvp is None or not is_inexact(e.outputs[0].aval.dtype):
        outs = result if primitive.multiple else (result,)
        return outs, (None,) * len(outs)
    try:
        outs_dot = primitive.jvp(operands, operands_dot, result, **e.params)
    except NotDifferentiableError as error:
        raise NotDifferentiableError(f"{error} (recorded at {e.where})") from None
    return (result, outs_dot) if primitive.multiple else ((result,), (outs_dot,))
