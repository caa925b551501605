"""Functions with their own derivative rules: custom_jvp, custom_vjp; and stop_gradient."""

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.arguments import positions
from gpuad.api.custom_rules import Call, JvpRule, Values, VjpRule, searched
from gpuad.api.recording import (
    Arguments,
    argument_names,
    check_array,
    check_callable,
    known_value,
    record,
)
from gpuad.api.static_values import StaticValue
from gpuad.compile import canonical
from gpuad.errors import ArgumentError, NotDifferentiableError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Graph, Var
from gpuad.primitives.sources import stop_gradient as stop_gradient_
from gpuad.tracing import Tracer, apply, as_tracers, innermost, is_array
from gpuad.tracing.arrays import SCALARS
from gpuad.tracing.trace import Outer
from gpuad.transforms.calls import Rules, custom_call


class _Searching(threading.local):
    """The custom functions, by id, whose rules are being searched for captured values."""

    def __init__(self) -> None:
        self.functions: set[int] = set()


_searching = _Searching()


class CustomFunction:
    """A function with a JVP rule, a VJP rule or both; made by `custom_jvp` and `custom_vjp`."""

    __name__: str

    def __init__(
        self, function: Callable[..., Any], nondiff_argnums: int | Sequence[int], kind: str
    ):
        check_callable(function, kind)
        functools.update_wrapper(self, function)
        self._function = function
        self._nondiff = positions(nondiff_argnums, "nondiff_argnums", kind)
        self._kind = kind
        self._parameters = _parameters(function)
        self._check_nondiff()
        self._asks: dict[Any, bool] = {}
        """Whether the rules ask for values, by static arguments, tree and avals of a call."""
        self._jvp: Callable[..., Any] | None = None
        self._forward: Callable[..., Any] | None = None
        self._backward: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Sets the JVP rule: ``rule(*nondiff, primals, tangents) -> (value, tangent)``.

        `primals` and `tangents` are tuples with one entry for each differentiable argument; the
        tangent must be linear in the tangents. Returns `rule`, so that it works as a decorator.

        Raises
        ------
        ArgumentError
            If `rule` is not a function.
        """
        check_callable(rule, "defjvp")
        self._asks.clear()
        self._jvp = rule
        return rule

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Sets the VJP rule.

        ``forward(*args) -> (value, residuals)`` takes the function's own arguments;
        ``backward(*nondiff, residuals, cotangent)`` returns a tuple with the cotangent of each
        differentiable argument, None where it is zero. If no JVP rule is given, forward mode is
        derived by transposing `backward`, which must then be linear in the cotangent.

        Raises
        ------
        ArgumentError
            If `forward` or `backward` is not a function.
        """
        check_callable(forward, "defvjp")
        check_callable(backward, "defvjp")
        self._asks.clear()
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
        nondiff = self._check_nondiff(len(args))
        dynamic = tuple([x for i, x in enumerate(args) if i not in nondiff])
        leaves, treedef = tree.flatten(dynamic)
        for i in nondiff:
            if any(isinstance(leaf, Tracer) for leaf in tree.flatten(args[i])[0]):
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
        static = tuple([(i, StaticValue(args[i])) for i in nondiff])
        return self._record(static, leaves, treedef, len(args))

    def _check_nondiff(self, count: int | None = None) -> list[int]:
        """The positions in `nondiff_argnums`, counted from 0, of `count` arguments; by default as
        many as the function has."""
        if count is None:
            if not self._parameters or self._parameters[-1].kind == _VARIADIC:
                return []
            count = len(self._parameters)
        for i in self._nondiff:
            if not -count <= i < count:
                raise ArgumentError(
                    f"{self._kind}: nondiff_argnums has {i}, and {self.__name__} takes {count} "
                    "arguments; count them from 0."
                )
        return sorted({i % count for i in self._nondiff})

    def _positional(self, args: Any, kwargs: Any) -> tuple[Any, ...]:
        """All arguments by position, with those defaults that are arrays or numbers."""
        if not kwargs and len(args) >= len(self._parameters):
            return args
        try:
            bound = inspect.signature(self._function).bind(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"{self.__name__}: {error}") from error
        given = bound.arguments
        by_name = [k for k in bound.kwargs if k not in {p.name for p in self._parameters}]
        if by_name:
            raise ArgumentError(
                f"{self.__name__} has keyword-only arguments ({', '.join(by_name)}), which "
                "its rules cannot take. Make them positional."
            )
        needed = [
            i for i, p in enumerate(self._parameters) if p.name in given or i in self._nondiff
        ]
        found: list[Any] = []
        for i, p in enumerate(self._parameters):
            if p.kind == _VARIADIC:
                return (*found, *given.get(p.name, ()))
            if p.name not in given and i > max(needed, default=-1) and not _is_arrays(p.default):
                break
            found.append(given.get(p.name, p.default))
        return tuple(found)

    def _record(self, static: Any, leaves: Any, treedef: Any, count: int) -> Any:
        for x in leaves:
            check_array(x, "an argument", self.__name__)
        n = len(leaves)
        call = Call(self.__name__, static, count, treedef)
        recorded = record(
            lambda *dynamic: self._function(*call.with_static(dynamic)),
            Arguments(leaves, tree.flatten((tree.unflatten(treedef, leaves), {}))[1]),
            name=self.__name__,
        )
        call = replace(call, out_tree=recorded.out_tree, out_avals=recorded.graph.out_avals)
        avals = recorded.graph.in_avals[:n]
        values = [known_value(x) for x in leaves]
        more, asks = self._search_rules(call, avals, recorded.captured, values)
        captured = [*recorded.captured, *more]
        call = replace(call, captured=_outer_vars(captured))
        if asks:
            call = replace(call, values=Values.now([*values, *captured]))
        graph = _with_inputs(
            recorded.graph, [x.var.aval for x in captured[len(recorded.captured) :]]
        )
        rules = Rules(self.__name__, n, *self._rules(call))
        operands = [*leaves, *as_tracers(captured)]
        results = apply(lambda *xs: custom_call(*xs, graph=graph, rules=rules), *operands)
        return tree.unflatten(recorded.out_tree, list(results))

    def _rules(self, call: Call) -> tuple[JvpRule | None, VjpRule | None]:
        jvp = None if self._jvp is None else JvpRule(call, self._jvp)
        if self._forward is None or self._backward is None:
            return jvp, None
        return jvp, VjpRule(call, self._forward, self._backward)

    def _search_rules(
        self, call: Call, avals: tuple[Aval, ...], captured: list[Any], values: list[Any]
    ) -> tuple[list[Any], bool]:
        """Values of outer traces that only the rules close over, and whether the rules ask for
        values of their arguments, as Python's ``if`` does.

        The rules are recorded once to see; a rule that calls its own function does not start
        another search.
        """
        functions = [f for f in (self._jvp, self._forward, self._backward) if f is not None]
        if id(self) in _searching.functions:
            return [], False
        closed = all(map(_is_closed, functions))
        key = (call.static, call.treedef, avals)
        if closed and key in self._asks:
            return [], self._asks[key]
        call = replace(
            call,
            captured=_outer_vars(captured),
            values=Values([*values, *captured]),
        )
        found = {id(x.var): x for x in captured if type(x) is Outer}
        before = set(found)
        asks = False
        _searching.functions.add(id(self))
        try:
            for rule in self._rules(call):
                if rule is not None:
                    asked, outer = searched(rule, avals, captured)
                    asks = asks or asked
                    found.update({id(x.var): x for x in outer if type(x) is Outer})
        finally:
            _searching.functions.discard(id(self))
        if closed:
            if len(self._asks) > _MOST_KEPT:
                self._asks.clear()
            self._asks[key] = asks
        return [x for k, x in found.items() if k not in before], asks


_VARIADIC = inspect.Parameter.VAR_POSITIONAL
_MOST_KEPT = 256
"""Entries of `CustomFunction._asks`."""


def _parameters(function: Any) -> list[inspect.Parameter]:
    """The positional parameters of a function written in Python."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    if isinstance(function, np.ufunc):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, _VARIADIC)
    return [p for p in parameters if p.kind in kinds]


def _is_arrays(default: Any) -> bool:
    """Whether a default consists of arrays and numbers, which the rules get as arguments."""
    return all(isinstance(x, SCALARS) or is_array(x) for x in tree.flatten(default)[0])


def _is_closed(function: Any) -> bool:
    """Whether a function has no closure and no defaults, in which it could hold a Tracer."""
    return inspect.isfunction(function) and not (
        function.__closure__ or function.__defaults__ or function.__kwdefaults__
    )


def _outer_vars(captured: Sequence[Any]) -> tuple[Var | None, ...]:
    """Of each captured value its Var in an outer trace; None for a concrete array."""
    return tuple([x.var if type(x) is Outer else None for x in captured])


def _with_inputs(graph: Graph, avals: Sequence[Aval]) -> Graph:
    """The graph with further inputs, which it does not use."""
    if not avals:
        return graph
    inputs = (*graph.inputs, *[Var(a) for a in avals])
    captured = graph.captured + len(avals)
    return canonical(Graph(inputs, graph.equations, graph.outputs, captured, graph.name))


def custom_jvp(
    function: Callable[..., Any] | None = None, nondiff_argnums: int | Sequence[int] = ()
) -> Any:
    """A function whose derivative is given by a JVP rule.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays. Defaults that are numbers or arrays are arguments
        like others: the rule gets them.
    nondiff_argnums
        Positions of arguments that are no arrays; the rule gets them first. They may be any Python
        values; a list, dict or array among them must not change before the rule is used.

    Returns
    -------
    CustomFunction
        Give it its rule with ``defjvp``, and, if reverse mode should have one of its own, with
        ``defvjp`` as well. Without a `function` a decorator is returned.

    Raises
    ------
    ArgumentError
        If `function` is not a function or `nondiff_argnums` has no position of its arguments. From
        the call: if an argument named there is a traced array, or is keyword-only; if another one
        has a leaf that is not an array; if the rule returns another structure, shape or dtype than
        it must.
    NotDifferentiableError
        If it is called before it has a rule.
    NotLinearError
        If the tangent that the rule returns is not linear in the tangents that it was given; a rule
        that is not linear may show that in reverse mode only.
    InPlaceError
        If a value named in `nondiff_argnums` has changed before the rule was used.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    The rule is ``(x, x_dot) ↦ (f(x), J(x) · x_dot)``. It works under every transform, to any order:
    it is recorded, transposed for reverse mode, and differentiated for a higher derivative. Python
    code in a rule knows the values that the function itself would know: ``if x > 0:`` works in
    every transform but `jit` and `vmap`, on arguments; write `np.where` for an `if` there, and for
    one on a tangent.

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
    function: Callable[..., Any] | None = None, nondiff_argnums: int | Sequence[int] = ()
) -> Any:
    """A function whose derivative is given by a VJP rule.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays. Defaults that are numbers or arrays are arguments
        like others: the rule gets them.
    nondiff_argnums
        Positions of arguments that are no arrays; the backward rule gets them first. They may be
        any Python values; a list, dict or array among them must not change before the rule is used.

    Returns
    -------
    CustomFunction
        Give it its rule with ``defvjp(forward, backward)``, and, if forward mode should have one of
        its own, with ``defjvp`` as well. Without a `function` a decorator is returned.

    Raises
    ------
    ArgumentError
        As `custom_jvp`.
    NotDifferentiableError
        If it is called before it has a rule; if forward mode is asked for, there is no JVP rule,
        and the backward rule is not linear in the cotangent.
    NotLinearError
        If the backward rule returns a cotangent that does not depend on the one that it was given.
    InPlaceError
        If a value named in `nondiff_argnums` has changed before the rule was used.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    The backward rule is ``u ↦ uᵀ · J(x)``. Forward mode, and so Hessians, work as well: the JVP is
    the transpose of the backward rule, which is linear in the cotangent. A backward rule that is
    not (it clips the cotangent, say) works in reverse mode alone, unless ``defjvp`` gives a JVP
    rule too.

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

    Returns
    -------
    Any
        The same values, of the same structure, shapes and dtypes.

    Raises
    ------
    EscapedTracerError
        If `x` is a traced array of a transform that has ended.

    Notes
    -----
    What would lose a derivative raises `ConversionError`: ``float(x)``, ``x.item()``,
    ``np.asarray(x)``, ``a[i] = x`` for a plain array ``a``, a callback of SciPy's that returns `x`.
    All of them take ``stop_gradient(x)``, outside of `jit` and `vmap`.

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
