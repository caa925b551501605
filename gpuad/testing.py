"""Checking derivatives: against finite differences, the complex step, and each other."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.arguments import checked_paths
from gpuad.api.derivatives import jvp, vjp
from gpuad.api.gradients import grad
from gpuad.api.jacobians import MODES, hvp
from gpuad.api.recording import check_callable
from gpuad.errors import ArgumentError, GradientCheckError
from gpuad.ir.half import epsilon
from gpuad.tracing import namespace_of

Arrays = list[np.ndarray]


def check_grads(
    function: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("fwd", "rev"),
    *,
    method: str = "finite",
    eps: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
) -> None:
    """Checks the derivatives of a function along random directions.

    Parameters
    ----------
    function
        A function of NumPy or CuPy arrays or pytrees of them.
    args
        The point: a tuple with one entry for each argument, all of inexact dtype.
    order
        The highest order of derivative to check.
    modes
        "fwd" (jvp) and "rev" (vjp); at order 2 and above, every sequence of them.
    method
        "finite": central differences with steps h and h/2, extrapolated (error O(h⁴)); "complex":
        the complex step Im f(x + ih v)/h, exact to rounding, for analytic functions that accept
        complex arrays.
    eps
        The step h of "finite"; by default a quarter of the fifth root of the dtype's machine
        epsilon, times max(1, max|x|).
    rtol, atol
        Tolerances, relative to the size of the derivative and absolute.
    seed
        Of the random directions.

    Raises
    ------
    GradientCheckError
        If a derivative or a value differs; names the mode, the order and the numbers.
    ArgumentError
        If `function` is not a function, an argument has a leaf that is not an array, or there is no
        such mode, method or order.
    DTypeError
        If an argument is of integers or booleans.

    Notes
    -----
    Forward mode is compared with differences of the function, and reverse mode with forward mode:
    ``⟨u, J v⟩ = ⟨Jᵀ u, v⟩``. The values that both give are compared with those of the function. For
    higher orders, `jvp` and `vjp` of the function are checked in the same way, as functions.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuad.testing import check_grads
    >>> check_grads(lambda x: np.sin(x) * x, (np.arange(3.0),), order=2)
    """
    check_callable(function, "check_grads")
    for mode in modes:
        if mode not in ("fwd", "rev"):
            raise ArgumentError(f"check_grads: modes has {mode!r}; use 'fwd' and 'rev'.")
    if method not in ("finite", "complex"):
        raise ArgumentError(f"check_grads: method={method!r}; use 'finite' or 'complex'.")
    if not isinstance(order, int) or order < 1:
        raise ArgumentError(f"check_grads: order={order!r}; give 1 for first derivatives, 2, ...")
    args = _checked_args(function, args, "check_grads")
    rng = np.random.default_rng(seed)
    tolerance = _Tolerance(args, rtol, atol)
    for mode in modes:
        label = f"{mode} at order 1"
        _check_first(function, args, mode, method, eps, tolerance, rng, label)
        if order > 1:
            derivative, point = _derivative(function, args, mode, rng)
            try:
                check_grads(
                    derivative, point, order - 1, modes,
                    method=method, eps=eps, rtol=rtol, atol=atol, seed=seed + 1,
                )  # fmt: skip
            except GradientCheckError as error:
                raise GradientCheckError(f"derivative by {mode}, then {error}") from None


def _checked_args(function: Any, args: Sequence[Any], name: str) -> tuple[Any, ...]:
    """The arguments as a tuple; refused if they are no arrays of floats or complex numbers."""
    args = tuple(args)
    checked_paths(function, args, tree.flatten(args)[0], name)
    return args


class _Tolerance:
    """How large the error of a derivative may be; by default from the dtype of the arguments."""

    def __init__(self, args: Any, rtol: float | None, atol: float | None):
        leaves, _ = tree.flatten(args)
        self.epsilon = max(epsilon(np.result_type(x)) for x in leaves)
        self.rtol = 30 * self.epsilon**0.6 if rtol is None else rtol
        self.atol = self.rtol if atol is None else atol

    def check(self, found: Any, expected: Any, what: str) -> None:
        found, expected = np.asarray(_host(found)), np.asarray(_host(expected))
        scale = np.max(np.abs(expected), initial=0.0)
        error = np.max(np.abs(found - expected), initial=0.0)
        if not error <= self.atol + self.rtol * scale:
            raise GradientCheckError(
                f"{what}: {found.ravel()[:4]} instead of {expected.ravel()[:4]} (largest "
                f"difference {error:.3g}, allowed {self.atol + self.rtol * scale:.3g}). If the "
                "function is smooth there, its rule is wrong; if not, check at another point or "
                "give a larger atol."
            )


def _host(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _direction(x: Any, rng: np.random.Generator) -> Any:
    """A random tangent of an array, with elements of absolute value 0.5 to 1 (in each part of a
    complex number)."""
    shape, dtype = np.shape(x), np.result_type(x)
    v = rng.uniform(0.5, 1.0, shape) * rng.choice([-1.0, 1.0], shape)
    if dtype.kind == "c":
        v = v + 1j * rng.uniform(0.5, 1.0, shape)
    v = np.asarray(v, dtype)
    return _like(v, x)


def _like(v: Any, x: Any) -> Any:
    """The NumPy array `v` as an array of the same kind as `x`: CuPy's, NumPy's or a scalar."""
    if hasattr(x, "get"):
        return namespace_of(x).asarray(v)
    return v if np.ndim(x) else v[()]


def _check_first(
    function: Any, args: Any, mode: str, method: str, eps: Any, tolerance: _Tolerance,
    rng: np.random.Generator, label: str,
) -> None:  # fmt: skip
    """Checks the first derivative in one mode."""
    tangents = tree.map(lambda x: _direction(x, rng), args)
    along = _numerical(function, args, tangents, method, eps, tolerance.epsilon)
    if mode == "fwd":
        value, value_dot = jvp(function, args, tangents)
        _check_leaves(value, function(*args), tolerance, f"the value by {label}")
        _check_leaves(value_dot, along, tolerance, label)
        return
    value, pullback = vjp(function, *args)
    _check_leaves(value, function(*args), tolerance, f"the value by {label}")
    u = tree.map(lambda x: _direction(x, rng), value)
    cotangents, _ = tree.flatten(pullback(u))
    # Their real parts: a function of complex numbers need only be linear over the reals.
    found = np.real(_dot(cotangents, tree.flatten(tangents)[0]))
    expected = np.real(_dot(tree.flatten(u)[0], along))
    tolerance.check(found, expected, f"{label}, ⟨u, Jv⟩ = ⟨Jᵀu, v⟩")


def _check_leaves(found: Any, expected: Any, tolerance: _Tolerance, what: str) -> None:
    for x, y in zip(tree.flatten(found)[0], tree.flatten(expected)[0], strict=True):
        tolerance.check(x, y, what)


def _dot(x: Sequence[Any], y: Sequence[Any]) -> Any:
    return sum((np.sum(_host(a) * _host(b)) for a, b in zip(x, y, strict=True)), start=0.0)


def _numerical(
    function: Any, args: Any, tangents: Any, method: str, eps: Any, epsilon: float
) -> Arrays:
    """The derivative of `function` along `tangents`, without automatic differentiation."""
    leaves, _ = tree.flatten(args)
    size = max([1.0, *[float(np.max(np.abs(_host(x)), initial=0.0)) for x in leaves]])

    def value(step: Any) -> Arrays:
        moved = tree.map(lambda x, v: x + np.result_type(x, step).type(step) * v, args, tangents)
        return [np.asarray(_host(y)) for y in tree.flatten(function(*moved))[0]]

    if method == "complex":
        h = 1e-30 if epsilon < 1e-10 else 1e-15
        return [np.imag(y) / h for y in value(1j * h)]
    h = eps or size * epsilon**0.2 / 4
    wide = [(a - b) / (2 * h) for a, b in zip(value(h), value(-h), strict=True)]
    narrow = [(a - b) / h for a, b in zip(value(h / 2), value(-h / 2), strict=True)]
    return [(4 * b - a) / 3 for a, b in zip(wide, narrow, strict=True)]


def _derivative(
    function: Any, args: Any, mode: str, rng: np.random.Generator
) -> tuple[Callable[..., Any], Any]:
    """The first derivative by `mode` as a function, to be differentiated again, and its point."""
    if mode == "fwd":
        tangents = tree.map(lambda x: _direction(x, rng), args)
        return lambda *xs: jvp(function, xs, tree.map(_in_dtype_of, tangents, xs))[1], args
    u = tree.map(lambda x: _direction(x, rng), function(*args))

    def pulled(*xs: Any) -> Any:
        value, pullback = vjp(function, *xs)
        return pullback(tree.map(_in_dtype_of, u, value))

    return pulled, args


def _in_dtype_of(v: Any, x: Any) -> Any:
    """The direction `v` in the dtype of `x`, which the complex step makes complex."""
    return v.astype(x.dtype) if hasattr(x, "dtype") else v


def check_hvp(
    function: Callable[..., Any],
    args: Sequence[Any],
    *,
    rtol: float | None = None,
    atol: float | None = None,
    eps: float | None = None,
    seed: int = 0,
) -> None:
    """Checks Hessian-vector products of a scalar function.

    Along random directions u and v: every mode of `hvp` gives the same, the Hessian is symmetric
    (⟨u, Hv⟩ = ⟨Hu, v⟩), and Hv is the finite difference of the gradient.

    Parameters
    ----------
    function
        A function of NumPy or CuPy arrays or pytrees of them with a real scalar result.
    args
        The point: a tuple with one entry for each argument, all of floats.
    rtol, atol
        Tolerances, relative to the size of the product and absolute.
    eps
        The step of the finite difference; by default as in `check_grads`.
    seed
        Of the random directions.

    Raises
    ------
    GradientCheckError
        If one of these does not hold; says which, with the numbers.
    ArgumentError
        If `function` is not a function, an argument has a leaf that is not an array, or the result
        is not one scalar.
    DTypeError
        If an argument is of integers or booleans, or the result is not a real float.

    Examples
    --------
    >>> import numpy as np
    >>> from gpuad.testing import check_hvp
    >>> check_hvp(lambda x: (x**3).sum(), (np.arange(3.0),))
    """
    check_callable(function, "check_hvp")
    args = _checked_args(function, args, "check_hvp")
    rng = np.random.default_rng(seed)
    tolerance = _Tolerance(args, rtol, atol)
    u = tree.map(lambda x: _direction(x, rng), args)
    v = tree.map(lambda x: _direction(x, rng), args)
    hv, _ = tree.flatten(hvp(function, args, v))
    for mode in MODES[1:]:
        for x, y in zip(tree.flatten(hvp(function, args, v, mode))[0], hv, strict=True):
            tolerance.check(x, y, f"hvp {mode} against {MODES[0]}")
    hu, _ = tree.flatten(hvp(function, args, u))
    left, right = _dot(tree.flatten(u)[0], hv), _dot(hu, tree.flatten(v)[0])
    tolerance.check(left, right, "symmetry, ⟨u, Hv⟩ = ⟨Hu, v⟩")
    gradient = grad(function, argnums=tuple(range(len(args))))
    along = _numerical(gradient, args, v, "finite", eps, tolerance.epsilon)
    for x, y in zip(hv, along, strict=True):
        tolerance.check(x, y, "hvp against the finite difference of the gradient")


__all__ = ["check_grads", "check_hvp"]
