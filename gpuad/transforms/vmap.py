"""Batching: vmap : Graph (a → b) → Graph ([n] a → [n] b)."""

from collections.abc import Sequence
from typing import Any

from gpuad.ir.build import Builder, building, current
from gpuad.ir.graph import Atom, Graph, Var
from gpuad.primitives.declare import with_leading_axis
from gpuad.transforms.memo import memo


@memo
def vmap(
    graph: Graph, size: int, mapped: tuple[bool, ...], spread: bool | tuple[bool, ...] = True
) -> tuple[Graph, tuple[bool, ...]]:
    """The graph with a leading axis of this size on its mapped inputs and on its outputs.

    With `spread`, given for all outputs or for each, an output that does not depend on a mapped
    input is repeated along the axis; without, it does not have the axis. Returns the graph and
    which outputs have the axis.
    """
    with building(Builder(graph.name)) as builder:
        inputs = [
            builder.input(v.aval.with_shape((size, *v.aval.shape)) if on else v.aval)
            for v, on in zip(graph.inputs, mapped, strict=True)
        ]
        outs, outs_mapped = vmap_walk(graph, size, inputs, mapped)
        wanted = (spread,) * len(outs) if isinstance(spread, bool) else spread
        outs = [
            with_leading_axis(size, x, on) if want else x
            for x, on, want in zip(outs, outs_mapped, wanted, strict=True)
        ]
        outs_mapped = [on or want for on, want in zip(outs_mapped, wanted, strict=True)]
        return builder.graph(outs), tuple(outs_mapped)


def vmap_walk(
    graph: Graph, size: int, values: Sequence[Atom], mapped: Sequence[bool]
) -> tuple[list[Atom], Sequence[bool]]:
    """Records the batched equations of `graph` into the current builder; its outputs, and which of
    them have the axis."""
    builder = current()
    env: dict[Any, Atom] = dict(zip(graph.inputs, values, strict=True))
    on_axis: dict[Any, bool] = dict(zip(graph.inputs, mapped, strict=True))
    outer_where = builder.where
    for e in graph.equations:
        builder.where = e.where or outer_where
        operands = tuple([env[x] if type(x) is Var else x for x in e.operands])
        flags = [on_axis.get(x, False) for x in e.operands]
        if any(flags):
            result, result_mapped = e.primitive.batch(size, operands, flags, e.params)
        else:
            result = builder.add(e.primitive, operands, e.params)
            result_mapped = (False,) * len(e.outputs) if e.primitive.multiple else False
        if not e.primitive.multiple:
            result, result_mapped = (result,), (result_mapped,)
        env.update(zip(e.outputs, result, strict=True))
        on_axis.update(zip(e.outputs, result_mapped, strict=True))
    builder.where = outer_where
    return (
        [env[x] if type(x) is Var else x for x in graph.outputs],
        [on_axis.get(x, False) for x in graph.outputs],
    )
