"""Functions with their own derivative rules: custom_jvp, custom_vjp; and stop_gradient."""

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.recording import (
    argument_names,
    check_array,
    check_callable,
    leaf_aval,
    record,
)
from gpuad.compile import canonical
from gpuad.errors import ArgumentError, NotDifferentiableError
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building, inline
from gpuad.ir.graph import Graph, Var
from gpuad.ir.primitive import is_inexact
from gpuad.primitives.structure import array_constant
from gpuad.primitives.structure import stop_gradient as stop_gradient_
from gpuad.tracing import Trace, Tracer, apply, innermost, lift, tracing
from gpuad.tracing.arrays import SCALARS
from gpuad.tracing.trace import Outer
from gpuad.transforms.calls import Rules, custom_call


class _Recording(threading.local):
    """The custom functions whose rules are being searched for captured values."""

    def __init__(self) -> None:
        self.functions: set[int] = set()


_searching = _Recording()


class CustomFunction:
    """A function with a JVP rule, a VJP rule or both; made by `custom_jvp` and `custom_vjp`."""

    __name__: str

    def __init__(self, function: Callable[..., Any], nondiff_argnums: Sequence[int], kind: str):
        check_callable(function, kind)
        functools.update_wrapper(self, function)
        self._function = function
        self._nondiff = tuple(nondiff_argnums)
        self._kind = kind
        self._jvp: Callable[..., Any] | None = None
        self._forward: Callable[..., Any] | None = None
        self._backward: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Sets the JVP rule: ``rule(*nondiff, primals, tangents) -> (value, tangent)``.

        `primals` and `tangents` are tuples with one entry for each differentiable argument; the
        tangent must be linear in the tangents. Returns `rule`, so that it works as a decorator.
        """
        check_callable(rule, "defjvp")
        self._jvp = rule
        return rule

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Sets the VJP rule.

        ``forward(*args) -> (value, residuals)`` takes the function's own arguments;
        ``backward(*nondiff, residuals, cotangent)`` returns a tuple with the cotangent of each
        differentiable argument, None where it is zero. If no JVP rule is given, forward mode is
        derived by transposing `backward`, which must then be linear in the cotangent.
        """
        check_callable(forward, "defvjp")
        check_callable(backward, "defvjp")
        self._forward, self._backward = forward, backward

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._jvp is None and self._forward is None:
            raise NotDifferentiableError(
                f"{self.__name__} is a {self._kind} function without a rule. Give it one with "
                f"{self.__name__}.defjvp(rule) or {self.__name__}.defvjp(forward, backward)."
            )
        args = self._positional(args, kwargs)
        nondiff = {i % len(args) for i in self._nondiff}
        dynamic = tuple([x for i, x in enumerate(args) if i not in nondiff])
        leaves, treedef = tree.flatten(dynamic)
        static = tuple([(i, args[i]) for i in sorted(nondiff)])
        for i, x in static:
            if any(isinstance(leaf, Tracer) for leaf in tree.flatten(x)[0]):
                name = argument_names(self._function, i + 1)[i]
                raise ArgumentError(
                    f"{self.__name__}: {name} is named in nondiff_argnums and is a traced array. "
                    "nondiff_argnums is for Python values: make it an ordinary argument (its "
                    "cotangent may be None), or use stop_gradient."
                )
        if innermost(leaves) is None:
            result = self._function(*args)
            if innermost(tree.flatten(result)[0]) is None:
                return result
        return self._record(static, leaves, treedef, len(args))

    def _positional(self, args: Any, kwargs: Any) -> tuple[Any, ...]:
        if not kwargs and not self._nondiff:
            return args
        try:
            bound = inspect.signature(self._function).bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{self.__name__}: {error}") from error
        bound.apply_defaults()
        if bound.kwargs:
            raise ArgumentError(
                f"{self.__name__} has keyword-only arguments ({', '.join(bound.kwargs)}), which "
                "its rules cannot take. Make them positional."
            )
        return bound.args

    def _record(self, static: Any, leaves: Any, treedef: Any, count: int) -> Any:
        for x in leaves:
            check_array(x, "an argument", self.__name__)
        n = len(leaves)
        call = _Call(self.__name__, static, count, treedef)
        recorded = record(
            lambda *dynamic: self._function(*call.with_static(dynamic)),
            leaves, tree.flatten((tree.unflatten(treedef, leaves), {}))[1], [True] * n,
            name=self.__name__,
        )  # fmt: skip
        call = replace(call, out_tree=recorded.out_tree, out_avals=recorded.graph.out_avals)
        avals = recorded.graph.in_avals[:n]
        captured = [*recorded.captured, *self._captured_by_rules(call, avals, recorded.captured)]
        call = replace(
            call, captured=tuple([x.var if type(x) is Outer else None for x in captured])
        )
        graph = _with_inputs(
            recorded.graph, [x.var.aval for x in captured[len(recorded.captured) :]]
        )
        rules = Rules(self.__name__, n, *self._rules(call))
        operands = [Tracer(x.trace, x.var) if type(x) is Outer else x for x in captured]
        results = apply(lambda *xs: custom_call(*xs, graph=graph, rules=rules), *leaves, *operands)
        return tree.unflatten(recorded.out_tree, list(results))

    def _rules(self, call: "_Call") -> "tuple[_JvpRule | None, _VjpRule | None]":
        jvp = None if self._jvp is None else _JvpRule(call, self._jvp)
        if self._forward is None or self._backward is None:
            return jvp, None
        return jvp, _VjpRule(call, self._forward, self._backward)

    def _captured_by_rules(
        self, call: "_Call", avals: tuple[Aval, ...], captured: list[Any]
    ) -> list[Any]:
        """Values of outer traces that only the rules close over.

        The rules are recorded once to see; a rule that calls its own function does not start
        another search.
        """
        functions = [f for f in (self._jvp, self._forward, self._backward) if f is not None]
        if all(map(_is_closed, functions)) or id(self) in _searching.functions:
            return []
        found = {id(x.var): x for x in captured if type(x) is Outer}
        before = set(found)
        _searching.functions.add(id(self))
        try:
            for rule in self._rules(call):
                if rule is not None:
                    found.update({id(x.var): x for x in rule.trace(avals)[1] if type(x) is Outer})
        finally:
            _searching.functions.discard(id(self))
        return [x for key, x in found.items() if key not in before]


def _is_closed(function: Any) -> bool:
    """Whether a function sees nothing but its arguments and globals."""
    return inspect.isfunction(function) and not (
        function.__closure__ or function.__defaults__ or function.__kwdefaults__
    )


def _with_inputs(graph: Graph, avals: Sequence[Aval]) -> Graph:
    """The graph with further inputs, which it does not use."""
    if not avals:
        return graph
    inputs = (*graph.inputs, *[Var(a) for a in avals])
    captured = graph.captured + len(avals)
    return canonical(Graph(inputs, graph.equations, graph.outputs, captured, graph.name))


@dataclass(frozen=True)
class _Call:
    """What the rules need to know of one recorded call of a custom function."""

    name: str
    static: tuple[tuple[int, Any], ...]
    count: int
    treedef: tree.TreeDef
    out_tree: Any = None
    out_avals: tuple[Aval, ...] = ()
    captured: tuple[Var | None, ...] = ()

    def with_static(self, dynamic: Sequence[Any]) -> list[Any]:
        """All positional arguments."""
        static, rest = dict(self.static), iter(dynamic)
        return [static[i] if i in static else next(rest) for i in range(self.count)]

    @property
    def static_values(self) -> list[Any]:
        return [x for _, x in self.static]


@dataclass(frozen=True)
class _Rule:
    """A rule of the user's: called with the avals of the operands, it is a graph."""

    call: _Call

    def __call__(self, avals: tuple[Aval, ...]) -> Graph:
        graph, captured = self.trace(avals)
        if any(type(x) is Outer for x in captured):
            raise NotDifferentiableError(
                f"a rule of {self.call.name} uses a traced value that was not there when "
                f"{self.call.name} was called. Pass it to {self.call.name} as an argument."
            )
        return _closed(graph, captured)

    def trace(self, avals: tuple[Aval, ...]) -> tuple[Graph, list[Any]]:
        """The graph of the rule, and what it captures beyond the operands."""
        n = self.call.treedef.num_leaves
        name = f"a rule of {self.call.name}"
        trace = Trace(name, unknown=name, gathers=True)
        with tracing(trace):
            operands = [trace.argument(a) for a in avals]
            for outer, v in zip(self.call.captured, operands[n:], strict=False):
                if outer is not None:
                    trace.declare_capture(outer, v)
            seeds = [trace.argument(a) for a in self.seeds(avals[:n])]
            outputs = self.apply(
                [Tracer(trace, v) for v in operands[:n]], [Tracer(trace, v) for v in seeds]
            )
            return trace.finish([lift(trace, x) for x in outputs])

    def seeds(self, avals: tuple[Aval, ...]) -> Sequence[Aval]:
        """The avals of the tangents or cotangents that the rule takes."""
        raise AssertionError

    def apply(self, arguments: list[Any], seeds: list[Any]) -> list[Any]:
        """The user's rule, its results as leaves."""
        raise AssertionError

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
class _JvpRule(_Rule):
    """Graph (operands, tangents of the arguments → outs, tangents of outs)."""

    function: Callable[..., Any]

    def seeds(self, avals: tuple[Aval, ...]) -> Sequence[Aval]:
        return avals

    def apply(self, arguments: list[Any], seeds: list[Any]) -> list[Any]:
        c = self.call
        primals = tree.unflatten(c.treedef, arguments)
        tangents = tree.unflatten(c.treedef, seeds)
        result = self.function(*c.static_values, primals, tangents)
        outs, second = self.check_pair(result, "JVP", "tangent")
        dots, _ = tree.flatten_up_to(
            second, result[0], f"the tangent that the JVP rule of {c.name} returned", "the value"
        )
        return [*outs, *self.check_leaves(dots, c.out_avals, "JVP", "the tangent")]


@dataclass(frozen=True)
class _VjpRule(_Rule):
    """Graph (operands, cotangents of inexact outs → outs, cotangents of the arguments).

    Forward and backward are recorded together, so residuals may be any Python objects.
    """

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
        leaves, _ = tree.flatten_up_to(cts, dynamic, what, "the tuple of arguments")
        avals = [x.aval for x in arguments]
        return [*outs, *self.check_leaves(leaves, avals, "backward", "a cotangent")]


def _closed(graph: Graph, captured: Sequence[Any]) -> Graph:
    """The graph with captured arrays written into it."""
    if not captured:
        return canonical(graph)
    n = len(graph.inputs) - len(captured)
    with building(Builder(graph.name)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals[:n]]
        constants = [array_constant(x) for x in captured]
        return canonical(builder.graph(inline(graph, [*inputs, *constants])))


def custom_jvp(
    function: Callable[..., Any] | None = None, nondiff_argnums: Sequence[int] = ()
) -> Any:
    """A function whose derivative is given by a JVP rule.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays.
    nondiff_argnums
        Arguments that are no arrays; the rule gets them first.

    Returns
    -------
    A `CustomFunction`: give it its rule with ``defjvp``, and, if reverse mode should have one of
    its own, with ``defvjp`` as well. It works under every transform, to any order: the rule is
    recorded, and differentiated when a higher derivative is taken. Values are not known to Python
    code in a rule; write `np.where` for an `if`.

    Examples
    --------
    A square root whose derivative at 0 is 0:

    >>> import numpy as np, gpuad as ad
    >>> @ad.custom_jvp
    ... def stable_sqrt(x):
    ...     return np.sqrt(x)
    >>> @stable_sqrt.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (x_dot,) = primals, tangents
    ...     y = stable_sqrt(x)
    ...     return y, np.where(x == 0, 0.0, 0.5 / np.where(x == 0, 1.0, y) * x_dot)
    >>> print(ad.grad(stable_sqrt)(0.0), ad.grad(stable_sqrt)(4.0))
    0.0 0.25
    """
    if function is None:
        return functools.partial(custom_jvp, nondiff_argnums=nondiff_argnums)
    return CustomFunction(function, nondiff_argnums, "custom_jvp")


def custom_vjp(
    function: Callable[..., Any] | None = None, nondiff_argnums: Sequence[int] = ()
) -> Any:
    """A function whose derivative is given by a VJP rule.

    Parameters are those of `custom_jvp`. Give the rule with ``defvjp(forward, backward)``. Forward
    mode, and so Hessians, work as well: the JVP is the transpose of the backward rule, which is
    linear in the cotangent. A backward rule that is not (it clips the cotangent, say) works in
    reverse mode and refuses in forward mode, unless ``defjvp`` gives a JVP rule too.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> @ad.custom_vjp
    ... def square(x):
    ...     return x**2
    >>> square.defvjp(lambda x: (x**2, x), lambda x, y_bar: (2 * x * y_bar,))
    >>> print(ad.grad(square)(3.0), ad.jvp(square, (3.0,), (2.0,))[1])
    6.0 12.0
    """
    if function is None:
        return functools.partial(custom_vjp, nondiff_argnums=nondiff_argnums)
    return CustomFunction(function, nondiff_argnums, "custom_vjp")


def stop_gradient(x: Any) -> Any:
    """`x`, taken as a constant: its derivative is zero in both modes.

    Parameters
    ----------
    x
        An array, or a pytree of arrays.

    Examples
    --------
    >>> import gpuad as ad
    >>> ad.grad(lambda x: x * ad.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return tree.map(
        lambda leaf: apply(stop_gradient_, leaf) if isinstance(leaf, Tracer) else leaf, x
    )


__all__ = ["CustomFunction", "custom_jvp", "custom_vjp", "stop_gradient"]
