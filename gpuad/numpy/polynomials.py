"""Polynomials, as vectors of coefficients from the highest power down.

The shapes of results do not depend on values: leading zeros of traced coefficients stay.
"""

import operator
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import aval_of, implements
from gpuad.tracing.registry import OPERATIONS


def _coefficients(p: Any, name: str) -> Any:
    if len(shape_of(p)) > 1:
        raise ArgumentError(f"{name}: coefficients of shape {shape_of(p)}; give a vector.")
    return OPERATIONS["atleast_1d"](p)


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """The polynomial with coefficients `p` at `x`, by Horner's rule."""
    p = _coefficients(p, "polyval")
    add, multiply = OPERATIONS["add"], OPERATIONS["multiply"]
    y = OPERATIONS["zeros_like"](x)
    for k in range(shape_of(p)[0]):
        y = add(multiply(y, x), p[k]) if k else add(y, p[k])
    return y


@implements(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """The coefficients of the polynomial with these real roots and leading coefficient 1."""
    shape = shape_of(seq_of_zeros)
    if len(shape) == 2:
        raise UnsupportedError(
            "poly of a matrix needs its eigenvalues; give them: poly(eigenvalues)."
        )
    if aval_of(seq_of_zeros).dtype.kind == "c":
        raise UnsupportedError(
            "poly of complex roots has a dtype that depends on values: multiply the factors "
            "np.array([1, -root]) with np.convolve, and take the real part if it is real."
        )
    if shape == (0,):
        return 1.0
    roots = _coefficients(seq_of_zeros, "poly")
    dtype = np.result_type(roots.dtype, float) if roots.dtype.kind in "biu" else roots.dtype
    roots = OPERATIONS["astype"](roots, dtype)
    found: Any = np.ones(1, dtype)
    for k in range(shape_of(roots)[0]):
        shifted = OPERATIONS["multiply"](roots[k], found)
        found = OPERATIONS["subtract"](
            OPERATIONS["pad"](found, (0, 1)), OPERATIONS["pad"](shifted, (1, 0))
        )
    return found


@implements(np.roots)
def roots(p: Any) -> Any:
    """The roots of a polynomial, complex: the eigenvalues of its companion matrix.

    Every coefficient counts, zeros at the ends too: the first one must not be 0. The derivative
    exists where the roots are simple.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda p: abs(np.roots(p)).sum())(np.array([1.0, -3.0, 2.0])).round(6)[:2]
    array([-3., -1.])
    """
    p = _coefficients(p, "roots")
    p = OPERATIONS["astype"](p, np.result_type(p.dtype, np.float32))
    n = shape_of(p)[0] - 1
    if n < 1:
        return np.zeros(0)
    first = OPERATIONS["reshape"](-p[1:] / p[0], (1, n))
    below = np.eye(n - 1, n, dtype=p.dtype)
    return OPERATIONS["linalg.eigvals"](OPERATIONS["concatenate"]([first, below]))


def _aligned(a1: Any, a2: Any, name: str) -> tuple[Any, Any]:
    a1, a2 = _coefficients(a1, name), _coefficients(a2, name)
    n = max(shape_of(a1)[0], shape_of(a2)[0])
    longer = [OPERATIONS["pad"](a, (n - shape_of(a)[0], 0)) for a in (a1, a2)]
    return longer[0], longer[1]


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """The coefficients of the sum of two polynomials."""
    return OPERATIONS["add"](*_aligned(a1, a2, "polyadd"))


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """The coefficients of the difference of two polynomials."""
    return OPERATIONS["subtract"](*_aligned(a1, a2, "polysub"))


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """The coefficients of the product of two polynomials."""
    a1, a2 = _coefficients(a1, "polymul"), _coefficients(a2, "polymul")
    return OPERATIONS["convolve"](a1, a2)


@implements(np.polydiv)
def polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    """The quotient and the remainder of two polynomials.

    The remainder has as many coefficients as its degree can have: one less than `v`, at least one.
    """
    u, v = [OPERATIONS["add"](_coefficients(p, "polydiv"), 0.0) for p in (u, v)]
    m, n = shape_of(u)[0] - 1, shape_of(v)[0] - 1
    rest, found = u, []
    scale = OPERATIONS["divide"](1.0, v[0])
    for _ in range(m - n + 1):
        factor = OPERATIONS["multiply"](scale, rest[0])
        found.append(factor)
        head = OPERATIONS["subtract"](rest[1 : n + 1], OPERATIONS["multiply"](factor, v[1:]))
        rest = OPERATIONS["concatenate"]([head, rest[n + 1 :]])
    dtype = np.result_type(u.dtype, v.dtype)
    quotient = OPERATIONS["stack"](found) if found else np.zeros(1, dtype)
    rest = rest if shape_of(rest)[0] else OPERATIONS["zeros_like"](u[:1])
    return OPERATIONS["astype"](quotient, dtype), OPERATIONS["astype"](rest, dtype)


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """The coefficients of the m-th derivative."""
    p, m = _coefficients(p, "polyder"), _order(m, "polyder")
    for _ in range(m):
        n = shape_of(p)[0] - 1
        p = OPERATIONS["multiply"](p[:-1], np.arange(n, 0, -1))
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The coefficients of the m-th integral, with constants of integration `k` (0)."""
    p, m = _coefficients(p, "polyint"), _order(m, "polyint")
    constants = OPERATIONS["atleast_1d"](0.0 if k is None else k)
    given = shape_of(constants)[0]
    if len(shape_of(constants)) > 1 or (given not in (1, m) and m):
        raise ArgumentError(
            f"polyint: {given} constants for {m} integrals; give one, or one for each."
        )
    for i in range(m):
        n = shape_of(p)[0]
        constant = constants[i if given > 1 else 0]
        raised = OPERATIONS["divide"](p, np.arange(n, 0, -1))
        p = OPERATIONS["concatenate"]([raised, OPERATIONS["reshape"](constant, (1,))])
    return p


def _order(m: Any, name: str) -> int:
    m = operator.index(m)
    if m < 0:
        raise ArgumentError(f"{name}: m={m}; give an order from 0.")
    return m


@implements(np.polyfit)
def polyfit(
    x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:  # fmt: skip
    """The coefficients of the polynomial that fits the points best, in least squares.

    `deg` is a number. `x`, `y` and the weights `w` have derivatives.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([0.0, 1.0, 2.0])
    >>> ad.grad(lambda y: np.polyfit(x, y, 1)[1])(np.array([1.0, 2.0, 4.0])).round(4)
    array([ 0.8333,  0.3333, -0.1667])
    """
    ops = OPERATIONS
    order = operator.index(deg) + 1
    n, sides = shape_of(x)[0], len(shape_of(y))
    if order < 1 or len(shape_of(x)) != 1 or sides not in (1, 2) or shape_of(y)[0] != n:
        raise ArgumentError(
            f"polyfit: points of shapes {shape_of(x)} and {shape_of(y)} and degree {deg}; give a "
            "vector x, y of as many rows, and a degree from 0."
        )
    x = ops["add"](x, 0.0)
    rcond = n * np.finfo(aval_of(x).dtype).eps if rcond is None else rcond
    left, right = ops["vander"](x, order), ops["add"](y, 0.0)
    if w is not None:
        w = ops["add"](w, 0.0)
        left = ops["multiply"](left, w[:, None])
        right = ops["multiply"](right, w[:, None] if sides == 2 else w)
    scale = ops["sqrt"](ops["sum"](ops["multiply"](left, left), axis=0))
    left = ops["divide"](left, scale)
    c, residuals, rank, s = ops["linalg.lstsq"](left, right, rcond)
    c = ops["divide"](c, scale[:, None] if sides == 2 else scale)
    if full:
        return c, residuals, rank, s, rcond
    if not cov:
        return c
    spread = ops["linalg.inv"](ops["matmul"](left.T, left))
    spread = ops["divide"](spread, ops["multiply"](scale[:, None], scale))
    if cov != "unscaled":
        if n <= order:
            raise ArgumentError(
                f"polyfit(cov=True) needs more points than coefficients, and there are {n} and "
                f"{order}; give cov='unscaled'."
            )
        factor = ops["divide"](residuals, n - order)
        spread = ops["multiply"](spread[:, :, None] if sides == 2 else spread, factor)
    elif sides == 2:
        spread = spread[:, :, None]
    return c, spread


__all__ = [
    "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub",
    "polyval", "roots",
]  # fmt: skip
