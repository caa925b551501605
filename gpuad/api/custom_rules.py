"""The user's rules of a custom function as graphs, recorded on demand for one recorded call."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gpuad import tree
from gpuad.api.recording import check_array, leaf_aval
from gpuad.api.static_values import StaticValue
from gpuad.compile import canonical
from gpuad.errors import ArgumentError, NotDifferentiableError, NotLinearError, UnknownValueError
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building, inline
from gpuad.ir.graph import Graph, Var
from gpuad.ir.primitive import is_inexact
from gpuad.primitives.sources import array_constant
from gpuad.tracing import Trace, Tracer, lift, tracing
from gpuad.tracing.arrays import SCALARS, aval_of
from gpuad.tracing.trace import FOR_BRANCHES, Outer
from gpuad.tracing.views import GIVEN
from gpuad.transforms.affine import constant_parts


class Values:
    """The known values of the operands of one call.

    Two of these are never equal, so that a graph that was recorded with the values of one call is
    not used for another.
    """

    def __init__(self, values: Sequence[Any]):
        self.values = values

    @classmethod
    def now(cls, values: Sequence[Any]) -> "Values | None":
        """The values as they are now, computed; None where they cannot be known."""
        found = [_value_now(x) for x in values]
        return None if all(x is None for x in found) else cls(found)


def _value_now(x: Any) -> Any:
    if type(x) is not Outer:
        return x
    try:
        return x.value(FOR_BRANCHES)
    except UnknownValueError:
        return None


@dataclass(frozen=True)
class Call:
    """What the rules need to know of one recorded call of a custom function."""

    name: str
    static: tuple[tuple[int, StaticValue], ...]
    count: int
    treedef: tree.TreeDef
    out_tree: Any = None
    out_avals: tuple[Aval, ...] = ()
    captured: tuple[Var | None, ...] = ()
    values: Values | None = None
    """What is known of the operands, if the rules ask for it."""

    def with_static(self, dynamic: Sequence[Any]) -> list[Any]:
        """All positional arguments."""
        static, rest = dict(self.static), iter(dynamic)
        return [
            static[i].value(self.name) if i in static else next(rest) for i in range(self.count)
        ]

    @property
    def static_values(self) -> list[Any]:
        return [x.value(self.name) for _, x in self.static]


@dataclass(frozen=True)
class Rule:
    """A rule of the user; called with the avals of the operands, it gives its graph.

    Its *seeds* are what the derivative is linear in: tangents in forward mode, cotangents in
    reverse mode.
    """

    call: Call
    kind: ClassVar[str]
    given: ClassVar[str]
    refused: ClassVar[Set[str]]

    def __call__(self, avals: tuple[Aval, ...]) -> Graph:
        graph, captured = self.trace(avals, self.new_trace())
        if any(type(x) is Outer for x in captured):
            raise NotDifferentiableError(
                f"a rule of {self.call.name} uses a traced value that was not there when "
                f"{self.call.name} was called. Pass it to {self.call.name} as an argument."
            )
        graph = _closed(graph, captured)
        self.check_linear(graph, len(avals))
        return graph

    def check_linear(self, graph: Graph, first: int) -> None:
        """Refuses derivatives that do not depend on the seeds or, in forward mode, add a constant.

        The seeds begin at the input `first`.
        """
        n = self.call.treedef.num_leaves
        seeds = graph.inputs[first : first + len(self.seeds(graph.in_avals[:n]))]
        found = constant_parts(graph, seeds, graph.outputs[len(self.call.out_avals) :])
        for what in sorted(found & self.refused):
            raise NotLinearError(
                f"the {self.kind} of {self.call.name} {what} what does not depend on the "
                f"{self.given} that it is given. Multiply every term by the {self.given}, and "
                "return zeros (or None) where there is no derivative."
            )

    def new_trace(self) -> Trace:
        name = f"a rule of {self.call.name}"
        return Trace(name, unknown=name, records_outer=True)

    def trace(self, avals: tuple[Aval, ...], trace: Trace) -> tuple[Graph, list[Any]]:
        """The graph of the rule, recorded in `trace`, and what it captures beyond the operands."""
        n = self.call.treedef.num_leaves
        values = [None] * len(avals) if self.call.values is None else self.call.values.values
        with tracing(trace):
            operands = [
                trace.argument(a, x, differentiated=True)
                for a, x in zip(avals, values, strict=True)
            ]
            for outer, v in zip(self.call.captured, operands[n:], strict=False):
                if outer is not None:
                    trace.declare_capture(outer, v)
            seeds = [trace.argument(a) for a in self.seeds(avals[:n])]
            outputs = self.apply(
                [Tracer(trace, v, GIVEN) for v in operands[:n]],
                [Tracer(trace, v, GIVEN) for v in seeds],
            )
            return trace.finish([lift(trace, x) for x in outputs])

    def seeds(self, avals: tuple[Aval, ...]) -> Sequence[Aval]:
        """The avals of the seeds, for these avals of the arguments."""
        raise AssertionError("a subclass defines it")

    def apply(self, arguments: list[Any], seeds: list[Any]) -> list[Any]:
        """The leaves of what the user's rule returns."""
        raise AssertionError("a subclass defines it")

    def check_pair(self, result: Any, rule: str, second: str) -> tuple[list[Any], Any]:
        """The leaves of the value, and the second part, of what a rule returned."""
        name = self.call.name
        if not isinstance(result, tuple) or len(result) != 2:
            raise ArgumentError(
                f"the {rule} rule of {name} returned a {type(result).__name__}; "
                f"return a pair (value, {second})."
            )
        outs, out_tree = tree.flatten(result[0])
        if out_tree != self.call.out_tree:
            raise ArgumentError(
                f"the {rule} rule of {name} returned a value of structure {tree.shown(out_tree)}, "
                f"and {name} returns {tree.shown(self.call.out_tree)} (* is an array). Return the "
                "function's own value first."
            )
        return self.check_leaves(outs, self.call.out_avals, rule, "the value"), result[1]

    def check_leaves(
        self, leaves: Sequence[Any], avals: Sequence[Aval], rule: str, what: str
    ) -> list[Any]:
        """The leaves in the shapes and dtypes that they must have; zeros for None."""
        checked = []
        for x, aval in zip(leaves, avals, strict=True):
            if x is None:
                x = np.zeros(aval.shape, aval.dtype)
            found = leaf_aval(check_array(x, what, f"the {rule} rule of {self.call.name}"))
            if found.shape != aval.shape or (found.dtype != aval.dtype and not found.weak):
                raise ArgumentError(
                    f"the {rule} rule of {self.call.name} returned {found} for {what}; "
                    f"return {aval}, the shape and dtype of the value that it belongs to."
                )
            if found.dtype != aval.dtype:
                x = x.astype(aval.dtype) if isinstance(x, Tracer) else aval.dtype.type(x)
            elif isinstance(x, SCALARS):
                x = aval.dtype.type(x)
            checked.append(x)
        return checked


@dataclass(frozen=True)
class JvpRule(Rule):
    """Graph (operands, tangents of the arguments → outs, tangents of outs)."""

    kind = "JVP rule"
    given = "tangent"
    refused = frozenset({"returns", "adds"})
    function: Callable[..., Any]

    def seeds(self, avals: tuple[Aval, ...]) -> Sequence[Aval]:
        return avals

    def apply(self, arguments: list[Any], seeds: list[Any]) -> list[Any]:
        c = self.call
        primals = tree.unflatten(c.treedef, arguments)
        tangents = tree.unflatten(c.treedef, seeds)
        result = self.function(*c.static_values, primals, tangents)
        outs, second = self.check_pair(result, "JVP", "tangent")
        dots = tree.flatten_up_to(
            second, result[0], f"the tangent that the JVP rule of {c.name} returned", "the value"
        )
        return [*outs, *self.check_leaves(dots, c.out_avals, "JVP", "the tangent")]


@dataclass(frozen=True)
class VjpRule(Rule):
    """Graph (operands, cotangents of inexact outs → outs, cotangents of the arguments).

    Forward and backward are recorded together, so residuals may be any Python objects.
    """

    kind = "backward rule"
    given = "cotangent"
    refused = frozenset({"returns"})  # in reverse mode it need not be linear: it may add noise
    forward: Callable[..., Any]
    backward: Callable[..., Any]

    def seeds(self, avals: tuple[Aval, ...]) -> Sequence[Aval]:
        return [a for a in self.call.out_avals if is_inexact(a.dtype)]

    def apply(self, arguments: list[Any], seeds: list[Any]) -> list[Any]:
        c = self.call
        dynamic = tree.unflatten(c.treedef, arguments)
        result = self.forward(*c.with_static(dynamic))
        outs, residuals = self.check_pair(result, "forward", "residuals")
        rest = iter(seeds)
        cotangents = [
            next(rest) if is_inexact(a.dtype) else np.zeros(a.shape, a.dtype) for a in c.out_avals
        ]
        seed = tree.unflatten(c.out_tree, cotangents)
        cts = self.backward(*c.static_values, residuals, seed)
        if not isinstance(cts, tuple):
            raise ArgumentError(
                f"the backward rule of {c.name} returned a {type(cts).__name__}; return a tuple "
                "with the cotangent of each argument (None: zero)."
            )
        what = f"the tuple of cotangents that the backward rule of {c.name} returned"
        leaves = tree.flatten_up_to(cts, dynamic, what, "the tuple of arguments")
        avals = [x.aval for x in arguments]
        return [*outs, *self.check_leaves(leaves, avals, "backward", "a cotangent")]


def _closed(graph: Graph, captured: Sequence[Any]) -> Graph:
    """The graph with captured arrays as constants."""
    if not captured:
        return canonical(graph)
    n = len(graph.inputs) - len(captured)
    with building(Builder(graph.name)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals[:n]]
        constants = [array_constant(x) for x in captured]
        return canonical(builder.graph(inline(graph, [*inputs, *constants])))


def searched(rule: Rule, avals: tuple[Aval, ...], captured: list[Any]) -> tuple[bool, list[Any]]:
    """Whether a rule asks for values, and what it captures.

    An error in the rule is not raised here, but when the rule is used.
    """
    avals = (*avals, *[x.var.aval if type(x) is Outer else aval_of(x) for x in captured])
    trace = rule.new_trace()
    try:
        _, outer = rule.trace(avals, trace)
    except Exception:
        return trace.asked, []
    return trace.asked, outer


__all__ = ["Call", "JvpRule", "Values", "VjpRule", "searched"]
