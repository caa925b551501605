"""Whole Jacobians and Hessians, and Hessian-vector products."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from gpuad import tree
from gpuad.api.arguments import Chosen, Directions, check_scalar, checked_budget, checked_choice
from gpuad.api.recording import (
    Arguments,
    Recorded,
    check_callable,
    function_name,
    leaf_aval,
    record,
)
from gpuad.compile import execute
from gpuad.errors import ArgumentError, DTypeError
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building, inline
from gpuad.ir.graph import Graph, Var
from gpuad.ir.primitive import Primitive, is_inexact, zeros
from gpuad.primitives.elementwise import cast, eq, imag, make_complex, mul, neg, real
from gpuad.primitives.sources import iota
from gpuad.primitives.structure import reshape, transpose
from gpuad.transforms.jvp import jvp
from gpuad.transforms.memo import memo
from gpuad.transforms.transpose import gradient, vjp, with_outputs
from gpuad.transforms.vmap import vmap

MODES = ("forward-over-reverse", "reverse-over-forward", "forward-over-forward")


def hvp(
    function: Callable[..., Any],
    primals: Any,
    tangents: Any,
    mode: str = "forward-over-reverse",
    max_bytes: int | None = None,
) -> tuple[Any, ...]:
    """Hessian-vector product of a scalar function: ``H(x) · v`` without forming ``H``.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays with a real scalar result.
    primals, tangents
        Tuples with one entry for each argument. A tangent has the structure, shapes and dtypes of
        its primal; None holds the argument (or the subtree) constant. If every tangent has one
        more leading axis of one size K, the result is K products at once, which share everything
        that does not depend on the tangents.
    mode
        "forward-over-reverse" (the derivative of the gradient along v), "reverse-over-forward"
        (the gradient of the derivative along v), or "forward-over-forward" (which stores nothing,
        and takes one pass for each element: for small arguments).
    max_bytes
        The most memory to take beside the arguments. The product is then compiled and run as by
        `jit` with this limit, of which the outermost counts inside another transform.

    Returns
    -------
    tuple
        ``Σ_j ∂²f/∂x_i∂x_j v_j`` with the structure, shapes and dtypes of `tangents`: None where
        they are None.

    Raises
    ------
    ArgumentError
        If primals and tangents differ in number, structure or shape, if an argument has a leaf that
        is not an array, if the result is not one scalar, or if there is no such `mode`.
    DTypeError
        If an argument with a tangent is of integers or booleans, a tangent does not have the dtype
        of its primal, or the result is not a real float.
    MemoryLimitError
        If `max_bytes` is too little.
    NotDifferentiableError
        If `function` calls what has no derivative, such as `external`.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    B. A. Pearlmutter, *Fast exact multiplication by the Hessian*, Neural Computation 6 (1994).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> f = lambda x: x[0] ** 2 + 3 * x[1] ** 2 + x[0] * x[1]
    >>> ad.hvp(f, (np.array([1.0, 2.0]),), (np.array([1.0, -1.0]),))
    (array([ 1., -5.]),)
    """
    check_callable(function, "hvp")
    if mode not in MODES:
        raise ArgumentError(f"hvp: mode={mode!r}; choose one of {', '.join(map(repr, MODES))}.")
    moving = Directions(function, primals, tangents, "hvp")
    lanes = moving.lanes()
    tangent_leaves = moving.checked_tangents(lanes)
    moved = [x for x, on in zip(moving.leaves, moving.active, strict=True) if on]
    arguments = Arguments(moving.leaves, moving.treedef, moving.active)
    recorded = record(function, arguments, differentiated=True)
    check_scalar(recorded, function, "hvp")
    graph = hvp_graph(recorded.graph, len(moved), mode, lanes)
    budget = checked_budget(max_bytes, "hvp")
    products = execute(graph, [*moved, *recorded.captured, *tangent_leaves], budget)
    _, like_tangents = tree.flatten(moving.tangents)
    return tree.unflatten(like_tangents, products)


@memo
def hvp_graph(graph: Graph, moving: int, mode: str, lanes: int | None) -> Graph:
    """hvp : Graph (x, rest → scalar) → Graph (x, rest, v → H v)."""
    n = len(graph.inputs)
    active = (True,) * moving + (False,) * (n - moving)
    if mode == "forward-over-reverse":
        result = _forward_over_reverse(graph, active)
    elif mode == "reverse-over-forward":
        result = _reverse_over_forward(graph, active)
    else:
        result = _forward_over_forward(graph, active)
    if lanes is None:
        return result
    return vmap(result, lanes, (False,) * n + (True,) * moving)[0]


def _forward_over_reverse(graph: Graph, active: tuple[bool, ...]) -> Graph:
    gradients = with_outputs(gradient(graph, active), tuple(range(1, 1 + sum(active))))
    both, out_active = jvp(gradients, active)
    return _with_zeros(both, sum(active), out_active)


def _with_zeros(graph: Graph, first: int, present: Sequence[bool]) -> Graph:
    """The tangents that a jvp graph gives after its `first` values, one for each value: zeros where
    `present` says that it gives none."""
    with building(Builder(graph.name)) as builder:
        outs = inline(graph, [builder.input(a) for a in graph.in_avals])
        rest = iter(outs[first:])
        return builder.graph(
            [
                next(rest) if on else zeros(v.aval)
                for v, on in zip(outs[:first], present, strict=True)
            ]
        )


def _reverse_over_forward(graph: Graph, active: tuple[bool, ...]) -> Graph:
    both, out_active = jvp(graph, active)
    along = _with_zeros(both, 1, out_active)
    n_tangents = len(along.inputs) - len(active)
    result = gradient(along, (*active, *[False] * n_tangents))
    return with_outputs(result, tuple(range(1, 1 + sum(active))))


def _forward_over_forward(graph: Graph, active: tuple[bool, ...]) -> Graph:
    """Differentiates the derivative along v once more, along each unit vector of x."""
    both, out_active = jvp(graph, active)
    along = _with_zeros(both, 1, out_active)
    avals = [v.aval for v, on in zip(graph.inputs, active, strict=True) if on]
    with building(Builder(graph.name)) as builder:
        inputs = [builder.input(a) for a in along.in_avals]
        products = []
        for i, aval in enumerate(avals):
            only = tuple([j == i for j in range(len(along.inputs))])
            twice, twice_active = jvp(along, only)
            second = _with_zeros(twice, 1, twice_active)
            lanes, _ = vmap(second, aval.size, (*[False] * len(inputs), True))
            basis = _basis(aval)
            (column,) = inline(lanes, [*inputs, basis])
            if aval.dtype.kind == "c":
                # z = x + iy: the derivative by x, less i times that by y.
                (along_y,) = inline(lanes, [*inputs, mul(basis, 1j)])
                column = make_complex(column, neg(along_y))
            products.append(reshape(column, shape=aval.shape))
        return builder.graph(products)


def _basis(aval: Aval) -> Any:
    """The unit vectors of a space of arrays, shape (size, *shape), in the graph being built."""
    n = aval.size
    unit = cast(eq(iota((n, n), 0), iota((n, n), 1)), dtype=aval.dtype)
    return reshape(unit, shape=(n, *aval.shape))


# Jacobians


def jacfwd(
    function: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `function`, column by column (forward mode).

    Takes one pass for each element of the arguments, all at once: right where there are fewer
    inputs than outputs.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays, with an array or a pytree as its result.
    argnums
        The positional argument (0 if not given) or a tuple of arguments to differentiate by.
    has_aux
        The function returns ``(value, aux)``; `aux` is not differentiated.
    holomorphic
        Promises that the function is complex differentiable; needed for complex arguments.

    Returns
    -------
    callable
        A function of the same arguments giving the Jacobian, or ``(jacobian, aux)`` with `has_aux`.
        It has the structure of the result, with, for each array of it, the structure of the
        argument (a tuple of them if `argnums` is a tuple). Each entry is ``∂f_i/∂x_j``, of shape
        ``(*result.shape, *argument.shape)``.

    Raises
    ------
    ArgumentError
        If `argnums` names an argument that the function was not called with, or if an argument to
        differentiate by or the result has a leaf that is not an array.
    DTypeError
        If an argument to differentiate by is of integers or booleans, or complex without
        `holomorphic`, or if a result is of integers or booleans.
    NotDifferentiableError
        If `function` calls what has no derivative, such as `external`.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    `jvp` along every unit vector (Griewank & Walther, *Evaluating Derivatives*, 2008, ch. 3).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> f = lambda x: np.stack([x[0] * x[1], 5 * x[1]])
    >>> ad.jacfwd(f)(np.array([2.0, 3.0]))
    array([[3., 2.],
           [0., 5.]])
    """
    return _jacobian(function, _forward_graph, argnums, has_aux, holomorphic, "jacfwd")


@memo
def _forward_graph(graph: Graph, moving: int, n: int) -> Graph:
    """Graph (x, rest → outs) → Graph (x, rest → jacobian blocks (n × moving), aux)."""
    first = with_outputs(graph, tuple(range(n)))
    with building(Builder(graph.name)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        blocks: list[list[Any]] = [[] for _ in range(n)]
        for i in range(moving):
            aval = graph.inputs[i].aval
            both, out_active = jvp(first, tuple([j == i for j in range(len(inputs))]))
            dots = _with_zeros(both, n, out_active)
            lanes, _ = vmap(dots, aval.size, (*[False] * len(inputs), True))
            for row, columns in zip(blocks, inline(lanes, [*inputs, _basis(aval)]), strict=True):
                ndim = columns.aval.ndim
                row.append(_split(transpose(columns, perm=(*range(1, ndim), 0)), aval, last=True))
        aux = inline(graph, inputs)[n:]
        return builder.graph([*[b for row in blocks for b in row], *aux])


def _split(x: Any, aval: Aval, last: bool) -> Any:
    """`x` with its last or first axis, of length ``aval.size``, split into the axes of `aval`."""
    shape = (*x.aval.shape[:-1], *aval.shape) if last else (*aval.shape, *x.aval.shape[1:])
    return reshape(x, shape=shape)


def jacrev(
    function: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `function`, row by row (reverse mode).

    Takes one pullback for each element of the result, all at once: right where there are fewer
    outputs than inputs.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays, with an array or a pytree as its result.
    argnums
        The positional argument (0 if not given) or a tuple of arguments to differentiate by.
    has_aux
        The function returns ``(value, aux)``; `aux` is not differentiated.
    holomorphic
        Promises that the function is complex differentiable; needed for complex arguments.

    Returns
    -------
    callable
        A function of the same arguments giving the Jacobian, or ``(jacobian, aux)`` with `has_aux`.
        It has the structure of the result, with, for each array of it, the structure of the
        argument (a tuple of them if `argnums` is a tuple). Each entry is ``∂f_i/∂x_j``, of shape
        ``(*result.shape, *argument.shape)``; complex where the result is, by two pullbacks for each
        element of it if the argument is real.

    Raises
    ------
    ArgumentError
        If `argnums` names an argument that the function was not called with, or if an argument to
        differentiate by or the result has a leaf that is not an array.
    DTypeError
        If an argument to differentiate by is of integers or booleans, or complex without
        `holomorphic`, or if a result is of integers or booleans.
    NotDifferentiableError
        If `function` calls what has no derivative, such as `external`.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    The pullback of `vjp` of every unit vector (Griewank & Walther, *Evaluating Derivatives*, 2008,
    ch. 3).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.jacrev(lambda x: np.stack([x[0] * x[1], 5 * x[1]]))(np.array([2.0, 3.0]))
    array([[3., 2.],
           [0., 5.]])
    """
    return _jacobian(function, _reverse_graph, argnums, has_aux, holomorphic, "jacrev")


@memo
def _reverse_graph(graph: Graph, moving: int, n: int) -> Graph:
    """Graph (x, rest → outs) → Graph (x, rest → jacobian blocks (n × moving), aux)."""
    active = (True,) * moving + (False,) * (len(graph.inputs) - moving)
    with building(Builder(graph.name)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        blocks = []
        for i in range(n):
            out, arguments = with_outputs(graph, (i,)), graph.in_avals[:moving]
            rows = _pulled_rows(out, active, inputs)
            if graph.out_avals[i].dtype.kind == "c":
                parts = [_pulled_rows(_part(out, part), active, inputs) for part in (real, imag)]
                rows = [
                    row if a.dtype.kind == "c" else make_complex(*pair)
                    for row, a, *pair in zip(rows, arguments, *parts, strict=True)
                ]
            blocks += [_split(x, graph.out_avals[i], last=False) for x in rows]
        aux = inline(graph, inputs)[n:]
        return builder.graph([*blocks, *aux])


def _pulled_rows(graph: Graph, active: tuple[bool, ...], inputs: Sequence[Var]) -> list[Any]:
    """The pullbacks of all unit vectors for the one result of a graph, along a first axis."""
    pulled = with_outputs(vjp(graph, active), tuple(range(1, 1 + sum(active))))
    (aval,) = graph.out_avals
    lanes, _ = vmap(pulled, aval.size, (*[False] * len(inputs), True))
    return inline(lanes, [*inputs, _basis(aval)])


@memo
def _part(graph: Graph, part: Primitive) -> Graph:
    """The graph with the real or the imaginary part of its result: by real arguments, the pullback
    of a complex result has only a real part."""
    with building(Builder(graph.name)) as builder:
        outputs = inline(graph, [builder.input(a) for a in graph.in_avals])
        return builder.graph([part(x) for x in outputs], graph.captured)


def _jacobian(
    function: Callable[..., Any], graph_of: Callable[..., Graph], argnums: Any, has_aux: bool,
    holomorphic: bool, transform: str,
) -> Callable[..., Any]:  # fmt: skip
    check_callable(function, transform)
    checked_choice(argnums, None, transform)

    @functools.wraps(function)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen = Chosen(function, args, kwargs, argnums, None, transform)
        recorded = _recorded(function, chosen, has_aux, holomorphic, transform)
        moving = chosen.moving
        n = recorded.out_tree.num_leaves
        graph = graph_of(recorded.graph, len(moving), n)
        results = execute(graph, [*moving, *recorded.captured])
        return _arranged(chosen, recorded, results, len(moving), n)

    return jacobian


def _recorded(
    function: Any, chosen: Chosen, has_aux: bool, holomorphic: bool, transform: str
) -> Recorded:
    if not holomorphic and any(leaf_aval(x).dtype.kind == "c" for x in chosen.moving):
        raise DTypeError(
            f"{transform}: a complex argument needs holomorphic=True, which promises that the "
            "function is complex differentiable; otherwise differentiate by the real and imaginary "
            "parts, or use jvp or vjp."
        )
    recorded = record(function, chosen.arguments, differentiated=True, has_aux=has_aux)
    for a in recorded.graph.out_avals[: recorded.out_tree.num_leaves]:
        if not is_inexact(a.dtype):
            raise DTypeError(
                f"{transform}: {function_name(function)} returned {a.dtype}, which has no "
                "derivative. Return floats (.astype(float)), or return it as aux (has_aux=True)."
            )
    return recorded


def _arranged(chosen: Chosen, recorded: Recorded, results: list[Any], m: int, n: int) -> Any:
    """The blocks, of n leaves of the result by m of the arguments: the structure of the result,
    with the structure of the arguments in place of each leaf."""
    rows = [chosen.arrange(results[i * m : (i + 1) * m]) for i in range(n)]
    jacobian = tree.unflatten(recorded.out_tree, rows)
    return jacobian if recorded.aux is None else (jacobian, recorded.aux.fill(results[n * m :]))


def hessian(
    function: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Hessian of `function`, ``∂²f/∂x_i∂x_j``.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays, most often with a scalar result.
    argnums
        The positional argument (0 if not given) or a tuple of arguments to differentiate by.
    has_aux
        The function returns ``(value, aux)``; `aux` is not differentiated.
    holomorphic
        Promises that the function is complex differentiable; needed for complex arguments.

    Returns
    -------
    callable
        A function of the same arguments giving the Hessian, or ``(hessian, aux)`` with `has_aux`.
        For a scalar function of one array of shape s it has shape ``(*s, *s)``; in general it is
        the Jacobian of the Jacobian, arranged as by `jacfwd`.

    Raises
    ------
    ArgumentError
        If `argnums` names an argument that the function was not called with, or if an argument to
        differentiate by or the result has a leaf that is not an array.
    DTypeError
        If an argument to differentiate by is of integers or booleans, or complex without
        `holomorphic`, or if a result is of integers or booleans.
    NotDifferentiableError
        If `function` calls what has no derivative, such as `external`.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    ``jacfwd(jacrev(function))``, forward over reverse mode: one `hvp` for each element of the
    argument, all at once.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    inner = _jacobian(function, _reverse_graph, argnums, has_aux, holomorphic, "hessian")
    return _jacobian(inner, _forward_graph, argnums, has_aux, holomorphic, "hessian")


__all__ = ["hessian", "hvp", "jacfwd", "jacrev"]
