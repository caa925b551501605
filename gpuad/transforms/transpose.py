"""Reverse mode: the graph of the JVP, of which the part that is linear in tangents is transposed.

`backward` is `jvp_walk` read from the last equation to the first.
"""

from collections.abc import Sequence
from typing import Any

from gpuad.errors import NotLinearError
from gpuad.ir.build import Builder, building, current, inline, live_equations
from gpuad.ir.graph import Atom, Equation, Graph, Var
from gpuad.ir.primitive import CATALOGUE, full, is_inexact, zeros
from gpuad.transforms.drop import dropping, dropping_by_seeds
from gpuad.transforms.jvp import jvp_walk
from gpuad.transforms.memo import memo
from gpuad.transforms.smooth import smooth


@memo
def vjp(graph: Graph, active: tuple[bool, ...]) -> Graph:
    """vjp : Graph (a → b) → Graph (a, b_bar → b, a_bar).

    There is a cotangent input for each inexact output, and a cotangent output for each active
    input.
    """
    seeded = tuple([is_inexact(a.dtype) for a in graph.out_avals])
    plain = plain_vjp(graph, active, seeded)
    return dropping_by_seeds(plain, active)


@memo
def plain_vjp(graph: Graph, active: tuple[bool, ...], seeded: tuple[bool, ...]) -> Graph:
    """`vjp` by the outputs that are `seeded`, with plain products, in which what is dropped may
    count (see `transforms.drop`)."""
    graph = smooth(graph)
    with building(Builder(graph.name)) as builder:
        primals = [builder.input(a) for a in graph.in_avals]
        seeds = [builder.input(a) if on else None
                 for a, on in zip(graph.out_avals, seeded, strict=True)]  # fmt: skip
        outs, cotangents = _reverse(graph, primals, active, seeds)
        return builder.graph([*outs, *cotangents])


@memo
def gradient(graph: Graph, active: tuple[bool, ...]) -> Graph:
    """gradient : Graph (a → scalar, rest) → Graph (a → scalar, rest, a_bar) with a seed of one.

    The seed is an input until dropped lanes are known: these are found by what depends on it.
    """
    plain = plain_vjp(graph, active, tuple([i == 0 for i in range(len(graph.outputs))]))
    found = dropping_by_seeds(plain, active, zero_seeds=False)
    with building(Builder(graph.name)) as builder:
        primals = [builder.input(a) for a in graph.in_avals]
        return builder.graph(inline(found, [*primals, full(graph.out_avals[0], 1)]))


@memo
def with_outputs(graph: Graph, outputs: tuple[int, ...]) -> Graph:
    """The graph with only these outputs."""
    chosen = tuple([graph.outputs[i] for i in outputs])
    equations = live_equations(graph.equations, chosen)
    return Graph(graph.inputs, equations, chosen, graph.captured, graph.name)


@memo
def linear_transpose(graph: Graph, linear: tuple[bool, ...]) -> Graph:
    """linear_transpose : Graph (a, x → b), linear in x → Graph (a, b_bar → x_bar)."""
    plain = plain_transpose(graph, linear)
    others = linear.count(False)
    seeds = tuple([i >= others for i in range(len(plain.inputs))])
    return dropping(plain, seeds, tuple([not on for on in seeds]))


@memo
def plain_transpose(graph: Graph, linear: tuple[bool, ...]) -> Graph:
    """`linear_transpose` with plain products."""
    with building(Builder(graph.name)) as builder:
        env = {
            v: v if on else builder.input(v.aval)
            for v, on in zip(graph.inputs, linear, strict=True)
        }
        seeds: list[Atom] = [builder.input(a) for a in graph.out_avals]
        wanted = {v for v, on in zip(graph.inputs, linear, strict=True) if on}
        cotangents = transpose_walk(graph, env, wanted, seeds)
        return builder.graph(cotangents)


def transpose_walk(
    graph: Graph, env: dict[Any, Any], linear: set[Var], seeds: Sequence[Atom | None]
) -> list[Atom]:
    """Records the cotangents of the linear inputs of `graph`; `env` has its other inputs."""
    builder = current()
    moving = set(linear)
    delayed: list[Equation] = []
    for e in graph.equations:
        operands = tuple([env[x] if type(x) is Var else x for x in e.operands])
        if moving.isdisjoint(e.operands):
            result = builder.add(e.primitive, operands, e.params)
            outs = result if e.primitive.multiple else (result,)
            env.update(zip(e.outputs, outs, strict=True))
        else:
            moving.update(e.outputs)
            env.update({v: v for v in e.outputs})
            delayed.append(Equation(e.primitive, operands, e.params, e.outputs, e.where))
    outputs = [env[x] if type(x) is Var else x for x in graph.outputs]
    cts = backward(delayed, outputs, seeds, moving)
    return [cts[v] if v in cts else zeros(v.aval) for v in graph.inputs if v in linear]


def _reverse(
    graph: Graph,
    primals: Sequence[Atom],
    active: Sequence[bool],
    seeds: Sequence[Atom | None],
) -> tuple[list[Atom], list[Atom]]:
    builder = current()
    tangents = [Var(x.aval) if on else None for x, on in zip(primals, active, strict=True)]
    outs, outs_dot = jvp_walk(graph, primals, tangents, split=True)
    linear = {t for t in tangents if t is not None}
    delayed = []
    for e in builder.equations:
        if not linear.isdisjoint(e.operands):
            linear.update(e.outputs)
            delayed.append(e)
    cts = backward(delayed, outs_dot, seeds, linear)
    return outs, [cts[t] if t in cts else zeros(t.aval) for t in tangents if t is not None]


def backward(
    equations: Sequence[Equation],
    outputs: Sequence[Atom | None],
    seeds: Sequence[Atom | None],
    linear: set[Any],
) -> dict[Any, Atom]:
    """Cotangents of all linear values, from those of the outputs of these linear equations."""
    builder = current()
    cts: dict[Any, Atom] = {}

    def accumulate(x: Any, ct: Atom | None) -> None:
        if ct is not None and x in linear:
            cts[x] = CATALOGUE["add"](cts[x], ct) if x in cts else ct

    for x, seed in zip(outputs, seeds, strict=True):
        accumulate(x, seed)
    outer_where = builder.where
    for e in reversed(equations):
        out_cts = [cts.pop(v, None) for v in e.outputs]
        if all(ct is None for ct in out_cts) or e.primitive.marks == len(e.operands):
            continue  # no cotangent goes to marks
        builder.where = e.where
        _check_linear(e, linear)
        operands = [x.aval if x in linear else x for x in e.operands]
        ct = tuple(out_cts) if e.primitive.multiple else out_cts[0]
        operand_cts = e.primitive.transpose(ct, *operands, **e.params)  # type: ignore[misc]
        if not isinstance(operand_cts, tuple | list):
            operand_cts = (operand_cts,)
        for k, (x, x_bar) in enumerate(zip(e.operands, operand_cts, strict=True)):
            if x_bar is None and x in linear and k >= e.primitive.marks:
                raise _not_linear(e)
            accumulate(x, x_bar)
    builder.where = outer_where
    return cts


def _check_linear(e: Equation, linear: set[Any]) -> None:
    """Raises `NotLinearError` if an equation is not linear: without a transpose rule, by a linear
    value that has no derivatives, a product of linear values, or a division by one."""
    moving = [x for x in e.operands if x in linear]
    if e.primitive.transpose is None or not all(is_inexact(x.aval.dtype) for x in moving):
        raise _not_linear(e)
    linear_in = e.primitive.linear_in
    divisor = linear_in == "first" and e.operands[1] in linear
    if divisor or (linear_in == "each" and len(moving) > 1):
        raise _not_linear(e)


def _not_linear(e: Equation) -> NotLinearError:
    return NotLinearError(
        f"the operation {e.primitive} ({e.where or 'in a rule'}) is not linear in the values that "
        "it should be linear in. Give a function that is linear in its tangents (a JVP rule) or "
        "cotangents (a VJP rule), or one linear in its arguments to linear_transpose."
    )
