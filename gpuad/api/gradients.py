"""Gradients of functions with a scalar result: grad, value_and_grad."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from gpuad.api.arguments import (
    Chosen,
    check_scalar,
    checked_choice,
    extended,
)
from gpuad.api.recording import (
    check_callable,
    record,
)
from gpuad.compile import execute
from gpuad.transforms import transpose as transpose_


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
        A function of arrays or pytrees of arrays with a real scalar result.
    argnums
        The positional argument (0 if neither is given) or a tuple of arguments to differentiate by.
    argnames
        The keyword argument or arguments to differentiate by.
    has_aux
        The function returns ``(value, aux)``; `aux` is not differentiated.

    Returns
    -------
    callable
        A function of the same arguments giving ``(value, gradient)``, or ``((value, aux),
        gradient)`` with `has_aux`. The gradient has the structure, shapes and dtypes of the
        argument; it is a tuple of such if `argnums` is a tuple, a dict by name for `argnames`, and
        the pair of both if both are given.

    Raises
    ------
    ArgumentError
        If the result is not one scalar, if `argnums` or `argnames` name what the function was not
        called with, or if an argument to differentiate by has a leaf that is not an array.
    DTypeError
        If an argument to differentiate by is of integers or booleans, or the result is not a real
        float.
    NotDifferentiableError
        If `function` calls what has no derivative, such as `external`.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    Reverse mode. The gradient costs a small multiple of the value, whatever the number of arguments
    (W. Baur & V. Strassen, *The complexity of partial derivatives*, 1983; Griewank & Walther,
    *Evaluating Derivatives*, 2008, ch. 4).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> value, gradient = ad.value_and_grad(lambda x: (x**2).sum())(np.array([1.0, 2.0]))
    >>> print(value, gradient)
    5.0 [2. 4.]
    """
    check_callable(function, "value_and_grad")
    checked_choice(argnums, argnames, "value_and_grad")
    return _value_and_grad(function, argnums, argnames, has_aux, "value_and_grad")


def _value_and_grad(
    function: Callable[..., Any], argnums: Any, argnames: Any, has_aux: bool, transform: str
) -> Callable[..., Any]:
    @functools.wraps(function)
    def with_gradient(*args: Any, **kwargs: Any) -> Any:
        chosen = Chosen(function, args, kwargs, argnums, argnames, transform)
        recorded = record(function, chosen.arguments, differentiated=True, has_aux=has_aux)
        check_scalar(recorded, function, transform)
        moving = chosen.moving
        graph = transpose_.gradient(recorded.graph, extended([True] * len(moving), recorded))
        results = execute(graph, [*moving, *recorded.captured])
        n = len(recorded.graph.outputs)
        gradient = chosen.arrange(results[n:])
        if recorded.aux is not None:
            return (results[0], recorded.aux.fill(results[1:n])), gradient
        return results[0], gradient

    return with_gradient


def grad(
    function: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
) -> Callable[..., Any]:
    """A function that returns the gradient of `function`, ``∂f/∂x_i``.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays with a real scalar result.
    argnums
        The positional argument (0 if neither is given) or a tuple of arguments to differentiate by.
    argnames
        The keyword argument or arguments to differentiate by.
    has_aux
        The function returns ``(value, aux)``; `aux` is not differentiated.

    Returns
    -------
    callable
        A function of the same arguments giving the gradient, or ``(gradient, aux)`` with `has_aux`.
        The gradient is arranged as by `value_and_grad`.

    Raises
    ------
    ArgumentError
        If the result is not one scalar, if `argnums` or `argnames` name what the function was not
        called with, or if an argument to differentiate by has a leaf that is not an array.
    DTypeError
        If an argument to differentiate by is of integers or booleans, or the result is not a real
        float.
    NotDifferentiableError
        If `function` calls what has no derivative, such as `external`.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    Reverse mode, as in `value_and_grad`. For a complex argument z = x + iy the gradient of a real
    function is ∂f/∂x − i ∂f/∂y, as in JAX.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda x: np.sin(x**2))(2.0)
    np.float64(-2.6145744834544478)
    """
    check_callable(function, "grad")
    checked_choice(argnums, argnames, "grad")
    with_gradient = _value_and_grad(function, argnums, argnames, has_aux, "grad")

    @functools.wraps(function)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, result = with_gradient(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    return gradient


__all__ = ["grad", "value_and_grad"]
