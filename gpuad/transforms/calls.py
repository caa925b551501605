"""Primitives that hold a graph: `call`, `checkpoint`, `custom_call` and `transposed_call`.

They stand here and not beside the other primitives, because their rules are transforms of the
graphs that they hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gpuad.errors import NotDifferentiableError, NotLinearError
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building, current
from gpuad.ir.graph import Atom, Graph, Var
from gpuad.ir.interpret import program
from gpuad.ir.primitive import CATALOGUE, is_inexact, zeros
from gpuad.primitives.declare import holding, with_leading_axis
from gpuad.transforms.affine import constant_parts
from gpuad.transforms.jvp import jvp_walk, plain_jvp, tangent_inputs
from gpuad.transforms.linearize import partition
from gpuad.transforms.memo import memo
from gpuad.transforms.smooth import smooth
from gpuad.transforms.transpose import plain_transpose, with_outputs
from gpuad.transforms.vmap import vmap

Tangents = Sequence[Atom | None]


def _active(tangents: Tangents) -> tuple[bool, ...]:
    return tuple([t is not None for t in tangents])


def _only(tangents: Tangents) -> list[Atom]:
    return [t for t in tangents if t is not None]


def _with_none(values: Sequence[Atom], present: Sequence[bool]) -> list[Atom | None]:
    """The values in the places where `present` holds, None elsewhere."""
    rest = iter(values)
    return [next(rest) if on else None for on in present]


# call: a graph used as one equation (a jitted function under another transform).


def _call_jvp(primals: Any, tangents: Tangents, graph: Graph) -> Any:
    # Written out, so that what is dropped outside is seen inside.
    return jvp_walk(graph, primals, tangents)


def _call_linearize(primals: Any, tangents: Tangents, graph: Graph) -> Any:
    return jvp_walk(graph, primals, tangents, split=True)


def _transpose_into(name: str) -> Callable[..., Any]:
    """The rule that applies primitive `name` to the transpose of the held graph."""

    def transpose(cts: Any, *operands: Any, graph: Graph, **params: Any) -> Any:
        linear = tuple([isinstance(x, Aval) for x in operands])
        seeds = [
            zeros(v.aval) if ct is None else ct for ct, v in zip(cts, graph.outputs, strict=True)
        ]
        others = [x for x, on in zip(operands, linear, strict=True) if not on]
        results = CATALOGUE[name](*others, *seeds, graph=plain_transpose(graph, linear))
        return _with_none(results, linear)

    return transpose


def _batch_into(name: str) -> Callable[..., Any]:
    def batch(size: int, operands: Any, mapped: Sequence[bool], params: dict) -> Any:
        graph, out_mapped = vmap(params["graph"], size, tuple(mapped), False)
        return CATALOGUE[name](*operands, graph=graph), out_mapped

    return batch


call = holding(
    "call",
    jvp=_call_jvp,
    linearize=_call_linearize,
    transpose=_transpose_into("call"),
    batch=_batch_into("call"),
)


# checkpoint: like call, but its linear part keeps only the inputs, and computes the rest again.


@memo
def _recomputing(graph: Graph, active: tuple[bool, ...]) -> tuple[Graph, tuple[bool, ...]]:
    """The tangents of `graph` alone, as a graph of its inputs and their tangents."""
    graph = smooth(graph)
    with building(Builder(graph.name)) as builder:
        primals = [builder.input(a) for a in graph.in_avals]
        dots = tangent_inputs(builder, graph, active)
        _, outs_dot = jvp_walk(graph, primals, dots, split=True)
        return builder.graph(_only(outs_dot)), _active(outs_dot)


def _checkpoint_jvp(primals: Any, tangents: Tangents, graph: Graph) -> Any:
    joint, out_active = plain_jvp(graph, _active(tangents))
    results = checkpoint(*primals, *_only(tangents), graph=joint)
    n = len(graph.outputs)
    return results[:n], _with_none(results[n:], out_active)


def _checkpoint_linearize(primals: Any, tangents: Tangents, graph: Graph) -> Any:
    again, out_active = _recomputing(graph, _active(tangents))
    dots = checkpoint(*primals, *_only(tangents), graph=again)
    return checkpoint(*primals, graph=graph), _with_none(dots, out_active)


checkpoint = holding(
    "checkpoint",
    jvp=_checkpoint_jvp,
    linearize=_checkpoint_linearize,
    transpose=_transpose_into("checkpoint"),
    batch=_batch_into("checkpoint"),
)


# custom_call: a function with its own derivative rules.

GraphOf = Callable[[tuple[Aval, ...]], Graph]


@dataclass(frozen=True)
class Rules:
    """The derivative rules of a custom function, recorded on demand for the avals of its operands.

    Attributes
    ----------
    name
        The function's name, for messages.
    explicit
        How many of the operands are arguments; the rest are values that it closes over.
    jvp
        avals → Graph (operands, tangents of the arguments → outs, tangents of outs), or None.
    vjp
        avals → Graph (operands, cotangents of inexact outs → outs, cotangents of the arguments),
        or None.
    """

    name: str
    explicit: int
    jvp: GraphOf | None = None
    vjp: GraphOf | None = None


def _arguments_dot(rules: Rules, primals: Any, tangents: Tangents) -> list[Atom]:
    """Tangents of the arguments, zeros written out; refuses tangents of captured values."""
    if any(t is not None for t in tangents[rules.explicit :]):
        raise NotDifferentiableError(
            f"{rules.name} has a custom derivative rule and closes over a value that is being "
            "differentiated; its rule says nothing about that value. Pass the value as an "
            f"argument of {rules.name}, or use stop_gradient on it."
        )
    return [
        zeros(x.aval) if t is None else t
        for x, t in zip(primals[: rules.explicit], tangents[: rules.explicit], strict=True)
    ]


def inline_flat(graph: Graph, values: Sequence[Atom], late: Sequence[bool] = ()) -> list[Atom]:
    """Records the equations of `graph`, and in place of each `call` those of the graph that it
    holds.

    A `checkpoint` that has results that depend on `late` inputs, and others, becomes two of them,
    so that the others can be computed before.
    """
    builder = current()
    env: dict[Any, Atom] = dict(zip(graph.inputs, values, strict=True))
    waiting: set[Any] = {v for v, on in zip(graph.inputs, late, strict=False) if on}
    for e in graph.equations:
        operands = tuple([env[x] if type(x) is Var else x for x in e.operands])
        on = [x in waiting for x in e.operands]
        waits = [any(on)] * len(e.outputs)
        if e.primitive is call:
            results: Any = inline_flat(e.params["graph"], operands, on)
            waits = _depending(e.params["graph"], on)
        elif e.primitive is checkpoint and any(on):
            waits = _depending(e.params["graph"], on)
            results = _checkpoints(e.params["graph"], operands, waits)
        else:
            results = builder.add(e.primitive, operands, e.params)
            results = results if e.primitive.multiple else (results,)
        env.update(zip(e.outputs, results, strict=True))
        waiting.update([v for v, on in zip(e.outputs, waits, strict=True) if on])
    return [env[x] if type(x) is Var else x for x in graph.outputs]


def _depending(graph: Graph, inputs: Sequence[bool]) -> list[bool]:
    """Which outputs depend on these inputs."""
    found: set[Any] = {v for v, on in zip(graph.inputs, inputs, strict=True) if on}
    for e in graph.equations:
        if not found.isdisjoint(e.operands):
            found.update(e.outputs)
    return [x in found for x in graph.outputs]


def _checkpoints(graph: Graph, operands: Sequence[Atom], waits: Sequence[bool]) -> list[Atom]:
    """The results of a checkpoint, those that wait and the others each by one of its own."""
    results: dict[int, Atom] = {}
    for part in (False, True):
        chosen = [k for k, on in enumerate(waits) if on == part]
        if chosen:
            held, given = trimmed(graph, chosen, operands)
            results.update(zip(chosen, checkpoint(*given, graph=held), strict=True))
    return [results[k] for k in range(len(waits))]


def trimmed(
    graph: Graph, outputs: Sequence[int], operands: Sequence[Atom]
) -> tuple[Graph, tuple[Atom, ...]]:
    """A held graph with only these outputs and the inputs for them, and the operands for these."""
    part = with_outputs(graph, tuple(outputs))
    read = {x for e in part.equations for x in e.operands}.union(part.outputs)
    used = [(v, x) for v, x in zip(part.inputs, operands, strict=True) if v in read]
    inputs = tuple([v for v, _ in used])
    return Graph(inputs, part.equations, part.outputs, 0, part.name), tuple([x for _, x in used])


def _custom_jvp(primals: Any, tangents: Tangents, graph: Graph, rules: Rules) -> Any:
    if rules.jvp is None and rules.vjp is not None:
        return _custom_linearize(primals, tangents, graph, rules)
    dots = _arguments_dot(rules, primals, tangents)
    assert rules.jvp is not None
    rule = rules.jvp(tuple([x.aval for x in primals]))
    late = [False] * len(primals) + [True] * len(dots)
    results = inline_flat(rule, [*primals, *dots], late)
    n = len(graph.outputs)
    return results[:n], results[n:]


def _custom_linearize(primals: Any, tangents: Tangents, graph: Graph, rules: Rules) -> Any:
    if rules.vjp is None:
        return _custom_jvp(primals, tangents, graph, rules)
    dots = _arguments_dot(rules, primals, tangents)
    joint = rules.vjp(tuple([x.aval for x in primals]))
    late = tuple([i >= len(primals) for i in range(len(joint.inputs))])
    n = len(graph.outputs)
    forward, backward, _ = partition(joint, late, rules.explicit)
    results = inline_flat(forward, primals)
    dots_out = transposed_call(
        *results[n:], *dots, graph=backward, residuals=len(results) - n, of=rules.name
    )
    inexact = [is_inexact(v.aval.dtype) for v in graph.outputs]
    return results[:n], _with_none(dots_out, inexact)


@dataclass(frozen=True)
class _Batched:
    """A recorded rule, batched: every array of it has one more leading axis of this size."""

    rule: GraphOf
    size: int

    def __call__(self, avals: tuple[Aval, ...]) -> Graph:
        graph = self.rule(tuple([a.with_shape(a.shape[1:]) for a in avals]))
        return vmap(graph, self.size, (True,) * len(graph.inputs))[0]


def _custom_batch(size: int, operands: Any, mapped: Sequence[bool], params: dict) -> Any:
    graph, rules = params["graph"], params["rules"]
    lifted = [with_leading_axis(size, x, on) for x, on in zip(operands, mapped, strict=True)]
    batched = Rules(
        rules.name,
        rules.explicit,
        *[rule and _Batched(rule, size) for rule in (rules.jvp, rules.vjp)],
    )
    graph, out_mapped = vmap(graph, size, (True,) * len(operands))
    return custom_call(*lifted, graph=graph, rules=batched), out_mapped


custom_call = holding(
    "custom_call",
    jvp=_custom_jvp,
    linearize=_custom_linearize,
    transpose=None,
    batch=_custom_batch,
)


# transposed_call: the linear map whose transpose is the backward rule that the graph holds. Its
# operands are residuals and tangents; in reverse mode the backward rule is used as it is, in
# forward mode its transpose is derived.


def derived_forward(graph: Graph, residuals: int, of: str) -> Graph:
    """The linear map whose transpose is the backward rule `graph`."""
    linear = tuple([i >= residuals for i in range(len(graph.inputs))])
    try:
        if "adds" in constant_parts(graph, graph.inputs[residuals:], graph.outputs):
            raise NotLinearError("it adds what does not depend on it")
        return plain_transpose(graph, linear)
    except NotLinearError as error:
        raise NotDifferentiableError(
            f"the backward rule of {of} is not linear in the cotangent, so no forward-mode rule "
            f"can be derived from it ({error}). Give {of} a JVP rule as well, with defjvp."
        ) from error


def _transposed_infer(*avals: Aval, graph: Graph, residuals: int, of: str) -> Any:
    return tuple([v.aval for v in graph.inputs[residuals:]])


def _transposed_run(xp: Any, *arrays: Any, graph: Graph, residuals: int, of: str) -> Any:
    return program(derived_forward(graph, residuals, of), xp)(*arrays)


def _transposed_jvp(primals: Any, tangents: Tangents, graph: Graph, residuals: int, of: str) -> Any:
    return _call_jvp(primals, tangents, derived_forward(graph, residuals, of))


def _transposed_linearize(
    primals: Any, tangents: Tangents, graph: Graph, residuals: int, of: str
) -> Any:
    return _call_linearize(primals, tangents, derived_forward(graph, residuals, of))


def _transposed_transpose(cts: Any, *operands: Any, graph: Graph, residuals: int, of: str) -> Any:
    if any(isinstance(x, Aval) for x in operands[:residuals]):
        raise NotLinearError(f"the derivative of {of} is not linear in its residuals")
    seeds = [
        zeros(v.aval) if ct is None else ct
        for ct, v in zip(cts, graph.inputs[residuals:], strict=True)
    ]
    results = inline_flat(graph, [*operands[:residuals], *seeds])
    tangents = operands[residuals:]
    return [None] * residuals + [
        ct if isinstance(x, Aval) else None for x, ct in zip(tangents, results, strict=True)
    ]


def _transposed_batch(size: int, operands: Any, mapped: Sequence[bool], params: dict) -> Any:
    lifted = [with_leading_axis(size, x, on) for x, on in zip(operands, mapped, strict=True)]
    graph, _ = vmap(params["graph"], size, (True,) * len(params["graph"].inputs))
    out = transposed_call(*lifted, graph=graph, residuals=params["residuals"], of=params["of"])
    return out, (True,) * len(out)


transposed_call = holding(
    "transposed_call",
    infer=_transposed_infer,
    apply=None,
    run=_transposed_run,
    jvp=_transposed_jvp,
    linearize=_transposed_linearize,
    transpose=_transposed_transpose,
    batch=_transposed_batch,
)
