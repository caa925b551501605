"""First-order transforms: jvp, vjp, linearize, linear_transpose, grad, value_and_grad."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.recording import (
    Recorded,
    argument_names,
    check_array,
    check_callable,
    check_inexact,
    function_name,
    leaf_aval,
    record,
)
from gpuad.compile import execute
from gpuad.errors import ArgumentError, DTypeError, NotLinearError
from gpuad.ir.aval import Aval
from gpuad.tracing import Tracer, innermost, is_array, namespace_of_all
from gpuad.tracing.trace import Outer
from gpuad.transforms import jvp as jvp_
from gpuad.transforms import linearize as linearize_
from gpuad.transforms import transpose as transpose_


def _sequence(x: Any, name: str, transform: str) -> tuple[Any, ...]:
    if not isinstance(x, tuple | list):
        raise ArgumentError(
            f"{transform}: {name} is a {type(x).__name__}; give a tuple with one entry for each "
            f"argument of the function, such as ({name[:-1]},)."
        )
    return tuple(x)


class Directions:
    """Which leaves of the primals move, and their tangents; checked."""

    def __init__(self, function: Any, primals: Any, tangents: Any, transform: str):
        self.primals = _sequence(primals, "primals", transform)
        self.tangents = _sequence(tangents, "tangents", transform)
        if len(self.primals) != len(self.tangents):
            raise ArgumentError(
                f"{transform}: primals has {len(self.primals)} entries and tangents "
                f"{len(self.tangents)}; give one tangent for each primal (None: held constant)."
            )
        self.leaves, self.treedef = tree.flatten((self.primals, {}))
        names = argument_names(function, len(self.primals))
        self.moves = [
            t
            for name, x, x_dot in zip(names, self.primals, self.tangents, strict=True)
            for t in tree.flatten_up_to(x_dot, x, f"{transform}: the tangent of {name}", name)[0]
        ]
        self.active = tuple([t is not None for t in self.moves])
        paths = [
            p for name, x in zip(names, self.primals, strict=True) for p in tree.paths(x, name)
        ]
        for x, t, path in zip(self.leaves, self.moves, paths, strict=True):
            check_array(x, path, transform)
            if t is not None:
                check_inexact(x, path, transform)
                check_array(t, f"the tangent of {path}", transform)
        self.paths = paths
        self.transform = transform

    def lanes(self) -> int | None:
        """K if every tangent has one more leading axis, of size K, than its primal."""
        sizes = set()
        for x, t in zip(self.leaves, self.moves, strict=True):
            if t is not None:
                shape = leaf_aval(t).shape
                extra = shape[1:] == leaf_aval(x).shape and len(shape) > leaf_aval(x).ndim
                sizes.add(shape[0] if extra else None)
        return sizes.pop() if len(sizes) == 1 else None

    def checked_tangents(self, lanes: int | None = None) -> list[Any]:
        """The tangents of the moving leaves, in their primals' dtype."""
        lead = () if lanes is None else (lanes,)
        return [
            check_tangent(t, leaf_aval(x), path, self.transform, lead)
            for x, t, path in zip(self.leaves, self.moves, self.paths, strict=True)
            if t is not None
        ]


def check_tangent(
    t: Any, aval: Aval, name: str, transform: str, lead: tuple[int, ...] = (),
    what: str = "tangent",
) -> Any:  # fmt: skip
    """The tangent (or cotangent) of a value, which must have its shape and dtype."""
    found = leaf_aval(t)
    if found.shape != (*lead, *aval.shape):
        several = " (or K of them at once for every argument that moves)" * (transform == "hvp")
        raise ArgumentError(
            f"{transform}: the {what} of {name} has shape {found.shape}, and {name} has shape "
            f"{aval.shape}. Give a {what} of shape {aval.shape}{several}."
        )
    if found.dtype == aval.dtype:
        return t
    if found.weak and np.can_cast(found.dtype, aval.dtype, "same_kind"):
        return t.astype(aval.dtype) if isinstance(t, Tracer) else aval.dtype.type(t)
    raise DTypeError(
        f"{transform}: the {what} of {name} has dtype {found.dtype}, and {name} has dtype "
        f"{aval.dtype}; a {what} has the dtype of its value. Write {what}.astype({aval.dtype})."
    )


def jvp(
    function: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    """The value of a function and its derivative along a direction: ``f(x)``, ``J(x) · x_dot``.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays.
    primals, tangents
        Tuples with one entry for each argument; a tangent has the structure, shapes and dtypes of
        its primal, or is None where the argument is held constant.
    has_aux
        The function returns ``(value, aux)``; `aux` is not differentiated.

    Returns
    -------
    ``(value, tangent)`` of the function's result, or ``(value, tangent, aux)``.

    Raises
    ------
    ArgumentError, DTypeError
        If primals and tangents do not match, or a moving argument is of integers.

    Notes
    -----
    Forward mode: one pass, each operation computing its value and its tangent
    (Griewank & Walther, *Evaluating Derivatives*, 2008, ch. 3).

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
        function, moving.leaves, moving.treedef, [True] * len(moving.leaves),
        differentiated=True, has_aux=has_aux,
    )  # fmt: skip
    graph, out_active = jvp_.jvp(recorded.graph, _extend(moving.active, recorded))
    captured = recorded.captured
    results = execute(graph, [*moving.leaves, *captured, *tangent_leaves])
    return _pairs(recorded, results, out_active)


def _extend(active: Sequence[bool], recorded: Recorded) -> tuple[bool, ...]:
    return (*active, *[False] * len(recorded.captured))


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


def zeros_like_value(x: Any) -> Any:
    """A zero of the shape, dtype and kind of an array, number or Tracer."""
    aval = leaf_aval(x)
    xp = namespace_of_all([x])
    return xp.zeros(aval.shape, aval.dtype) if aval.shape else aval.dtype.type(0)


def linearize(
    function: Callable[..., Any], *primals: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    """The value of a function and its derivative at that point as a function of tangents.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays.
    *primals
        Its arguments, all of inexact dtype.

    Returns
    -------
    ``(value, f_jvp)``: ``f_jvp(*tangents)`` is ``J · tangents``. Everything that does not depend
    on the tangents has been computed already, so applying it again costs only the linear part.
    With `has_aux`, ``(value, f_jvp, aux)``.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> y, f_jvp = ad.linearize(np.sin, np.array([0.0, 1.0]))
    >>> f_jvp(np.array([1.0, 0.0]))
    array([1., 0.])
    """
    check_callable(function, "linearize")
    leaves, treedef = tree.flatten((primals, {}))
    paths = _checked_paths(function, primals, leaves, "linearize")
    recorded = record(
        function, leaves, treedef, [True] * len(leaves), differentiated=True, has_aux=has_aux
    )
    early, rest, out_active = linearize_.linearize(
        recorded.graph, _extend([True] * len(leaves), recorded)
    )
    results = execute(early, [*leaves, *recorded.captured])
    n_all = len(recorded.graph.outputs)
    values, residuals = results[:n_all], results[n_all:]
    avals = [leaf_aval(x) for x in leaves]
    n = recorded.out_tree.num_leaves
    templates = values[:n]

    def f_jvp(*tangents: Any) -> Any:
        moves, _ = tree.flatten_up_to(
            tangents, primals, "linearize: the tuple of tangents", "the tuple of primals"
        )
        checked = [
            zeros_like_value(x) if t is None else check_tangent(t, a, p, "linearize")
            for t, a, p, x in zip(moves, avals, paths, leaves, strict=True)
        ]
        dots = iter(execute(rest, [*residuals, *checked]))
        every = [
            next(dots) if on else zeros_like_value(x)
            for x, on in zip(values, out_active, strict=True)
        ]
        return tree.unflatten(recorded.out_tree, every[:n])

    value = tree.unflatten(recorded.out_tree, templates)
    return (value, f_jvp) if recorded.aux is None else (value, f_jvp, recorded.aux.fill(values[n:]))


def _checked_paths(
    function: Any, primals: Sequence[Any], leaves: Sequence[Any], transform: str
) -> list[str]:
    names = argument_names(function, len(primals))
    paths = [p for name, x in zip(names, primals, strict=True) for p in tree.paths(x, name)]
    for x, path in zip(leaves, paths, strict=True):
        check_array(x, path, transform)
        check_inexact(x, path, transform)
    return paths


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of a function and its pullback: ``f(x)`` and ``u ↦ uᵀ · J(x)``.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays.
    *primals
        Its arguments, all of inexact dtype.

    Returns
    -------
    ``(value, pullback)``: ``pullback(u)``, for `u` of the structure, shapes and dtypes of the
    value, is a tuple with one entry for each argument. It can be called again and again. With
    `has_aux`, ``(value, pullback, aux)``.

    Notes
    -----
    Reverse mode. For complex arguments the pullback is the linear transpose, without conjugation
    (JAX's convention).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> y, pullback = ad.vjp(lambda x: np.stack([x[0] * x[1], x[1]]), np.array([2.0, 3.0]))
    >>> pullback(np.array([1.0, 0.0]))
    (array([3., 2.]),)
    """
    check_callable(function, "vjp")
    leaves, treedef = tree.flatten((primals, {}))
    _checked_paths(function, primals, leaves, "vjp")
    recorded = record(
        function, leaves, treedef, [True] * len(leaves), differentiated=True, has_aux=has_aux
    )
    graph = transpose_.vjp(recorded.graph, _extend([True] * len(leaves), recorded))
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
                "result."
            )
        checked = [
            check_tangent(s, leaf_aval(x), p, "vjp", what="cotangent")
            for s, x, p in zip(seeds, values, out_paths, strict=False)
            if leaf_aval(x).dtype.kind in "fc"
        ]
        checked += [zeros_like_value(x) for x in values[n:] if leaf_aval(x).dtype.kind in "fc"]
        late_cts = iter(execute(rest, [*residuals, *checked]))
        early_iter = iter(early_cts)
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
        A function that is linear in its arguments; anything else raises `NotLinearError`.
    *primals
        Arrays of the shapes and dtypes of its arguments; their values are not used.

    Returns
    -------
    A function of a cotangent with the structure of the result, giving a tuple with one entry for
    each argument.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> transposed = ad.linear_transpose(lambda x: 2.0 * x[1:], np.zeros(3))
    >>> transposed(np.array([1.0, 10.0]))
    (array([ 0.,  2., 20.]),)
    """
    check_callable(function, "linear_transpose")
    leaves, treedef = tree.flatten((primals, {}))
    _checked_paths(function, primals, leaves, "linear_transpose")
    recorded = record(function, leaves, treedef, [True] * len(leaves), unknown="linear_transpose")
    _check_zero_at_zero(recorded, leaves, function)
    graph = transpose_.linear_transpose(recorded.graph, _extend([True] * len(leaves), recorded))
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
    """Refuses an affine function, wherever that can be seen: one that is not zero at zero."""
    if innermost(recorded.captured) is not None or any(type(x) is Outer for x in recorded.captured):
        return
    origin = [zeros_like_value(x) for x in leaves]
    if any((abs(y) > 0).any() for y in execute(recorded.graph, [*origin, *recorded.captured])):
        raise NotLinearError(
            f"linear_transpose: {function_name(function)} is not zero at zero, so it adds a "
            "constant and is not linear. Leave the constant out, or take vjp, which transposes "
            "the derivative."
        )


# grad


def _argnums(argnums: int | Sequence[int], count: int, transform: str) -> tuple[int, ...]:
    chosen = tuple(argnums) if isinstance(argnums, tuple | list) else (argnums,)
    for i in chosen:
        if not isinstance(i, int):
            raise ArgumentError(
                f"{transform}: argnums={argnums!r}; give the position of an argument (an int) or a "
                "tuple of them, and names in argnames."
            )
        if not -count <= i < count:
            raise ArgumentError(
                f"{transform}: argnums={argnums} and the function was called with {count} "
                "positional arguments; count them from 0, and use argnames for keyword arguments."
            )
    chosen = tuple([i % count for i in chosen])
    if len(set(chosen)) != len(chosen):
        raise ArgumentError(
            f"{transform}: argnums={argnums} names an argument twice; name it once."
        )
    return chosen


def _marked(part: Any, chosen: bool) -> Any:
    """The structure of an argument, with `chosen` for each leaf."""
    return tree.map(lambda _: chosen, part)


class Chosen:
    """The leaves of the arguments that a gradient is taken by."""

    def __init__(
        self, function: Any, args: Any, kwargs: Any, argnums: Any, argnames: Any, transform: str
    ):
        names = (argnames,) if isinstance(argnames, str) else tuple(argnames or ())
        for n in names:
            if n not in kwargs:
                raise ArgumentError(
                    f"{transform}: argnames has {n!r}, which was not given as a keyword argument; "
                    f"call the function with {n}=..., or use argnums."
                )
        if argnums is None:
            argnums = () if names else 0
        if not args and not names:
            raise ArgumentError(
                f"{transform} of a function called without positional arguments; "
                "pass the argument positionally, or use argnames."
            )
        self.argnums = _argnums(argnums, len(args), transform) if argnums != () else ()
        self.single = isinstance(argnums, int) and not names
        self.leaves, self.treedef = tree.flatten((args, kwargs))
        chosen_args = tuple([_marked(a, i in self.argnums) for i, a in enumerate(args)])
        chosen_kwargs = {k: _marked(v, k in names) for k, v in kwargs.items()}
        self.active, _ = tree.flatten((chosen_args, chosen_kwargs))
        self.names = names
        positional = argument_names(function, len(args))
        self.parts = [args[i] for i in self.argnums] + [kwargs[n] for n in names]
        labels = [positional[i] for i in self.argnums] + list(names)
        for part, label in zip(self.parts, labels, strict=True):
            part_leaves, _ = tree.flatten(part)
            for x, path in zip(part_leaves, tree.paths(part, label), strict=True):
                check_array(x, path, transform)
                check_inexact(x, path, transform)

    def arrange(self, gradients: Sequence[Any]) -> Any:
        """Gradients, one for each chosen leaf in order, as the user asked for them."""
        rest = iter(gradients)
        full = [next(rest) if on else None for on in self.active]
        args, kwargs = tree.unflatten(self.treedef, full)
        by_position = tuple([args[i] for i in self.argnums])
        by_name = {n: kwargs[n] for n in self.names}
        if self.single:
            return by_position[0]
        if not by_name:
            return by_position
        return (by_position, by_name) if by_position else by_name


def value_and_grad(
    function: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
) -> Callable[..., Any]:
    """A function that returns the value of `function` and its gradient.

    Parameters
    ----------
    function
        A function with a real scalar result.
    argnums
        The positional argument (0 if not given) or arguments to differentiate by.
    argnames
        Keyword arguments to differentiate by.
    has_aux
        The function returns ``(value, aux)``.

    Returns
    -------
    A function of the same arguments giving ``(value, gradient)`` or ``((value, aux), gradient)``.
    The gradient has the structure of the argument, or is a tuple of them if `argnums` is a tuple.

    Raises
    ------
    ArgumentError, DTypeError
        If the result is not a real scalar, or an argument is of integers.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> value, gradient = ad.value_and_grad(lambda x: (x**2).sum())(np.array([1.0, 2.0]))
    >>> print(value, gradient)
    5.0 [2. 4.]
    """
    check_callable(function, "value_and_grad")
    return _value_and_grad(function, argnums, argnames, has_aux, "value_and_grad")


def _value_and_grad(
    function: Callable[..., Any], argnums: Any, argnames: Any, has_aux: bool, transform: str
) -> Callable[..., Any]:
    @functools.wraps(function)
    def with_gradient(*args: Any, **kwargs: Any) -> Any:
        chosen = Chosen(function, args, kwargs, argnums, argnames, transform)
        recorded = record(
            function, chosen.leaves, chosen.treedef, chosen.active,
            differentiated=True, has_aux=has_aux,
        )  # fmt: skip
        check_scalar(recorded, function, transform)
        moving = [x for x, on in zip(chosen.leaves, chosen.active, strict=True) if on]
        graph = transpose_.gradient(recorded.graph, _extend([True] * len(moving), recorded))
        results = execute(graph, [*moving, *recorded.captured])
        n = len(recorded.graph.outputs)
        gradient = chosen.arrange(results[n:])
        if recorded.aux is not None:
            return (results[0], recorded.aux.fill(results[1:n])), gradient
        return results[0], gradient

    return with_gradient


def check_scalar(recorded: Recorded, function: Any, transform: str) -> None:
    """Refuses results that are not one real scalar."""
    name = function_name(function)
    if recorded.out_tree.num_leaves != 1 or not recorded.out_tree.is_leaf():
        raise ArgumentError(
            f"{transform} takes a function with one scalar result; {name} returned "
            f"{tree.shown(recorded.out_tree)}. Return one scalar (use has_aux=True for further "
            "results), or use vjp or jacrev."
        )
    aval = recorded.graph.out_avals[0]
    if aval.shape:
        raise ArgumentError(
            f"{transform} takes a function with a scalar result; {name} returned shape "
            f"{aval.shape}. Reduce it (.sum() or .mean()), or use jacrev, jacfwd or vjp."
        )
    if aval.dtype.kind != "f":
        raise DTypeError(
            f"{transform} takes a function with a real result; {name} returned {aval.dtype}. "
            "Return a real float: .real or abs() of a complex value, .astype(float) of an integer."
        )


def grad(
    function: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
) -> Callable[..., Any]:
    """A function that returns the gradient of `function`.

    Parameters, errors and the structure of the result are those of `value_and_grad`; with
    `has_aux` the result is ``(gradient, aux)``. For a complex argument z = x + iy the gradient of
    a real function is ∂f/∂x − i ∂f/∂y, as in JAX.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda x: np.sin(x**2))(2.0)
    np.float64(-2.6145744834544478)
    """
    check_callable(function, "grad")
    with_gradient = _value_and_grad(function, argnums, argnames, has_aux, "grad")

    @functools.wraps(function)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, result = with_gradient(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    return gradient


__all__ = ["grad", "is_array", "jvp", "linear_transpose", "linearize", "value_and_grad", "vjp"]
