"""First-order transforms: jvp and linearize, vjp and linear_transpose."""

from collections.abc import Callable, Sequence
from typing import Any

from gpuad import tree
from gpuad.api.arguments import (
    Directions,
    check_tangent,
    checked_paths,
    extended,
    has_cotangent,
    zeros_like_value,
)
from gpuad.api.recording import (
    Arguments,
    Hidden,
    Recorded,
    argument_names,
    check_callable,
    function_name,
    leaf_aval,
    record,
)
from gpuad.compile import execute
from gpuad.errors import ArgumentError, NotLinearError
from gpuad.ir.primitive import is_inexact
from gpuad.tracing import innermost
from gpuad.tracing.boundary import in_open_trace
from gpuad.tracing.trace import Outer
from gpuad.transforms import jvp as jvp_
from gpuad.transforms import linearize as linearize_
from gpuad.transforms import transpose as transpose_


def jvp(
    function: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    """The value of a function and its derivative along a direction: ``f(x)`` and ``J(x) · x_dot``.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays, with an array or a pytree as its result.
    primals, tangents
        Tuples with one entry for each argument; a tangent has the structure, shapes and dtypes of
        its primal, or is None where the argument (or a part of it) is held constant.
    has_aux
        The function returns ``(value, aux)``; `aux` is not differentiated.

    Returns
    -------
    tuple
        ``(value, tangent)``, or ``(value, tangent, aux)`` with `has_aux`. The tangent has the
        structure, shapes and dtypes of the value; it is zero where the value is of integers or
        booleans.

    Raises
    ------
    ArgumentError
        If primals and tangents differ in number, structure or shape, or if an argument or the
        result has a leaf that is not an array.
    DTypeError
        If an argument with a tangent is of integers or booleans, or a tangent does not have the
        dtype of its primal.
    NotDifferentiableError
        If `function` calls what has no derivative, such as `external`.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    Forward mode, ``y_dot = Σ_j ∂f/∂x_j x_dot_j``: one pass, in which each operation computes its
    value and its tangent (Griewank & Walther, *Evaluating Derivatives*, 2008, ch. 3).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> y, y_dot = ad.jvp(lambda x: np.sin(x) * x, (2.0,), (1.0,))
    >>> print(f"{y:.6f} {y_dot:.6f}")
    1.818595 0.077004
    """
    check_callable(function, "jvp")
    moving = Directions(function, primals, tangents, "jvp")
    tangent_leaves = moving.checked_tangents()
    recorded = record(
        function,
        Arguments(moving.leaves, moving.treedef),
        differentiated=moving.active,
        has_aux=has_aux,
    )
    graph, out_active = jvp_.jvp(recorded.graph, extended(moving.active, recorded))
    captured = recorded.captured
    results = execute(graph, [*moving.leaves, *captured, *tangent_leaves])
    return _pairs(recorded, results, out_active)


def _pairs(recorded: Recorded, results: list[Any], out_active: Sequence[bool]) -> tuple[Any, ...]:
    """(value, tangent[, aux]) from the results of a jvp graph."""
    n_all = len(recorded.graph.outputs)
    values, dots = results[:n_all], iter(results[n_all:])
    tangents = [
        next(dots) if on else zeros_like_value(x) for x, on in zip(values, out_active, strict=True)
    ]
    n = recorded.out_tree.num_leaves
    pair = (
        tree.unflatten(recorded.out_tree, values[:n]),
        tree.unflatten(recorded.out_tree, tangents[:n]),
    )
    return pair if recorded.aux is None else (*pair, recorded.aux.fill(values[n:]))


def linearize(
    function: Callable[..., Any], *primals: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    """The value of a function and its derivative at that point as a function of tangents.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays, with an array or a pytree as its result.
    *primals
        Its arguments, all of floats or complex numbers.
    has_aux
        The function returns ``(value, aux)``; `aux` is not differentiated.

    Returns
    -------
    tuple
        ``(value, f_jvp)``, or ``(value, f_jvp, aux)`` with `has_aux`. ``f_jvp(*tangents)`` is
        ``J(x) · tangents``, with the structure, shapes and dtypes of the value; tangents are as
        those of `jvp`. What does not depend on the tangents has been computed already, so another
        application costs only the linear part.

    Raises
    ------
    ArgumentError
        If an argument or the result has a leaf that is not an array; from ``f_jvp``, if the
        tangents differ from the primals in number, structure or shape.
    DTypeError
        If an argument is of integers or booleans; from ``f_jvp``, if a tangent does not have the
        dtype of its primal.
    NotDifferentiableError
        If `function` calls what has no derivative, such as `external`.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    The equations of the JVP are divided into those that depend on the tangents and the others
    (A. Radul et al., *You only linearize once: tangents transpose to gradients*, POPL 2023).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> y, f_jvp = ad.linearize(np.sin, np.array([0.0, 1.0]))
    >>> f_jvp(np.array([1.0, 0.0]))
    array([1., 0.])
    """
    check_callable(function, "linearize")
    leaves, treedef = tree.flatten((primals, {}))
    paths = checked_paths(function, primals, leaves, "linearize")
    recorded = record(function, Arguments(leaves, treedef), differentiated=True, has_aux=has_aux)
    early, rest, out_active = linearize_.linearize(
        recorded.graph, extended([True] * len(leaves), recorded)
    )
    results = execute(early, [*leaves, *recorded.captured])
    n_all = len(recorded.graph.outputs)
    values, residuals = results[:n_all], results[n_all:]
    avals = [leaf_aval(x) for x in leaves]
    n = recorded.out_tree.num_leaves

    def f_jvp(*tangents: Any) -> Any:
        moves = _moves(function, primals, tangents)
        checked = [
            zeros_like_value(x) if t is None else check_tangent(t, a, p, "linearize")
            for t, a, p, x in zip(moves, avals, paths, leaves, strict=True)
        ]
        dots = iter(execute(rest, [*residuals, *checked]))
        tangents_out = [
            next(dots) if on else zeros_like_value(x)
            for x, on in zip(values, out_active, strict=True)
        ]
        return tree.unflatten(recorded.out_tree, tangents_out[:n])

    value = tree.unflatten(recorded.out_tree, values[:n])
    return (value, f_jvp) if recorded.aux is None else (value, f_jvp, recorded.aux.fill(values[n:]))


def _moves(function: Any, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> list[Any]:
    """A tangent, or None, for each leaf of the primals of `linearize`."""
    if len(tangents) != len(primals):
        # The message shows both tuples.
        return tree.flatten_up_to(
            tangents, primals, "linearize: the tuple of tangents", "the tuple of primals"
        )
    names = argument_names(function, len(primals))
    return [
        t
        for name, x, x_dot in zip(names, primals, tangents, strict=True)
        for t in tree.flatten_up_to(x_dot, x, f"linearize: the tangent of {name}", name)
    ]


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of a function and its pullback: ``f(x)`` and ``u ↦ uᵀ · J(x)``.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays, with an array or a pytree as its result.
    *primals
        Its arguments, all of floats or complex numbers.
    has_aux
        The function returns ``(value, aux)``; `aux` is not differentiated.

    Returns
    -------
    tuple
        ``(value, pullback)``, or ``(value, pullback, aux)`` with `has_aux`. ``pullback(u)``, for a
        cotangent `u` of the structure, shapes and dtypes of the value, is a tuple with the
        cotangent of each argument, of its structure, shapes and dtypes. It can be called again and
        again.

    Raises
    ------
    ArgumentError
        If an argument or the result has a leaf that is not an array; from the pullback, if the
        cotangent does not have the structure and shapes of the value.
    DTypeError
        If an argument is of integers or booleans; from the pullback, if the cotangent does not have
        the dtype of the value.
    NotDifferentiableError
        If `function` calls what has no derivative, such as `external`.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    Reverse mode: the derivative of `linearize`, transposed (A. Radul et al., *You only linearize
    once: tangents transpose to gradients*, POPL 2023), so that ``⟨u, J x_dot⟩ = ⟨Jᵀ u, x_dot⟩``.
    For complex arguments the pullback is the linear transpose, without conjugation (JAX's
    convention).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> y, pullback = ad.vjp(lambda x: np.stack([x[0] * x[1], x[1]]), np.array([2.0, 3.0]))
    >>> pullback(np.array([1.0, 0.0]))
    (array([3., 2.]),)
    """
    check_callable(function, "vjp")
    leaves, treedef = tree.flatten((primals, {}))
    checked_paths(function, primals, leaves, "vjp")
    recorded = record(function, Arguments(leaves, treedef), differentiated=True, has_aux=has_aux)
    graph = transpose_.vjp(recorded.graph, extended([True] * len(leaves), recorded))
    n_in = len(recorded.graph.inputs)
    late = tuple([i >= n_in for i in range(len(graph.inputs))])
    early, rest, out_late = linearize_.partition(graph, late)
    results = execute(early, [*leaves, *recorded.captured])
    n_all = len(recorded.graph.outputs)
    values = results[:n_all]
    early_cts = results[n_all : n_all + out_late[n_all:].count(False)]
    residuals = results[n_all + len(early_cts) :]
    n = recorded.out_tree.num_leaves
    name = function_name(function)
    out_paths = tree.paths(tree.unflatten(recorded.out_tree, range(n)), f"the result of {name}")

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        seeds, seeds_tree = tree.flatten(cotangent)
        if seeds_tree != recorded.out_tree:
            raise ArgumentError(
                f"vjp: the cotangent has the structure {tree.shown(seeds_tree)}, and the result of "
                f"{name} {tree.shown(recorded.out_tree)}. Give a cotangent of the structure of the "
                "result, an array for an array: np.array([...]), not a list."
            )
        checked = [
            check_tangent(s, a, p, "vjp", what="cotangent")
            for s, a, p in zip(seeds, recorded.graph.out_avals, out_paths, strict=False)
            if has_cotangent(s, a, p, "vjp")
        ]
        checked += [zeros_like_value(x) for x in values[n:] if is_inexact(leaf_aval(x).dtype)]
        late_cts = iter(execute(rest, [*residuals, *checked]))
        early_iter = iter([in_open_trace(x) for x in early_cts])
        cts = [next(late_cts) if on else next(early_iter) for on in out_late[n_all:]]
        return tree.unflatten(treedef, cts)[0]

    value = tree.unflatten(recorded.out_tree, values[:n])
    if recorded.aux is None:
        return value, pullback
    return value, pullback, recorded.aux.fill(values[n:])


def linear_transpose(function: Callable[..., Any], *primals: Any) -> Callable[..., Any]:
    """The transpose of a linear function: for ``f(x) = A x`` the function ``u ↦ Aᵀ u``.

    Parameters
    ----------
    function
        A function that is linear in its arguments, arrays or pytrees of arrays.
    *primals
        Arrays of the structure, shapes and dtypes of its arguments, all of floats or complex
        numbers; their values are not used.

    Returns
    -------
    callable
        A function of a cotangent with the structure, shapes and dtypes of the result; it gives a
        tuple with one entry for each argument, of its structure, shapes and dtypes.

    Raises
    ------
    NotLinearError
        If `function` is not linear in its arguments, or adds a constant.
    ArgumentError
        If an argument or the result has a leaf that is not an array; from the transpose, if the
        cotangent does not have the structure and shapes of the result.
    DTypeError
        If an argument is of integers or booleans; from the transpose, if the cotangent does not
        have the dtype of the result.
    UnknownValueError
        If `function` asks for the value of an array, as ``if x > 0:`` does.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    Defined by ``⟨u, A x⟩ = ⟨Aᵀ u, x⟩`` for all x and u, with ``⟨a, b⟩ = Σ a_i b_i``: complex
    numbers are not conjugated.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> transposed = ad.linear_transpose(lambda x: 2.0 * x[1:], np.zeros(3))
    >>> transposed(np.array([1.0, 10.0]))
    (array([ 0.,  2., 20.]),)
    """
    check_callable(function, "linear_transpose")
    leaves, treedef = tree.flatten((primals, {}))
    checked_paths(function, primals, leaves, "linear_transpose")
    recorded = record(function, Arguments(leaves, treedef), hidden=Hidden("linear_transpose"))
    _check_zero_at_zero(recorded, leaves, function)
    graph = transpose_.linear_transpose(recorded.graph, extended([True] * len(leaves), recorded))
    name = function_name(function)

    def transposed(cotangent: Any) -> tuple[Any, ...]:
        seeds, seeds_tree = tree.flatten(cotangent)
        if seeds_tree != recorded.out_tree:
            raise ArgumentError(
                f"linear_transpose: the cotangent has the structure {tree.shown(seeds_tree)}, and "
                f"the result of {name} {tree.shown(recorded.out_tree)}. Give a cotangent of the "
                "structure of the result."
            )
        checked = [
            check_tangent(s, a, f"the result of {name}", "linear_transpose", what="cotangent")
            for s, a in zip(seeds, recorded.graph.out_avals, strict=True)
        ]
        return tree.unflatten(treedef, execute(graph, [*recorded.captured, *checked]))[0]

    return transposed


def _check_zero_at_zero(recorded: Recorded, leaves: Sequence[Any], function: Any) -> None:
    """Refuses a function that is not zero at zero, if its captured values are known."""
    if innermost(recorded.captured) is not None or any(type(x) is Outer for x in recorded.captured):
        return
    origin = [zeros_like_value(x) for x in leaves]
    if any((abs(y) > 0).any() for y in execute(recorded.graph, [*origin, *recorded.captured])):
        raise NotLinearError(
            f"linear_transpose: {function_name(function)} is not zero at zero, so it adds a "
            "constant and is not linear. Leave the constant out, or take vjp, which transposes "
            "the derivative."
        )


__all__ = ["jvp", "linear_transpose", "linearize", "vjp"]
