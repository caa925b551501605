"""Piecewise polynomials: `PPoly` and the interpolants of `scipy.interpolate` that are some.

The knots x are known. The values may be traced, and so may be the points; with both known the
result is SciPy's up to rounding. At a knot derivatives are those of the piece behind it.
"""

import math
from typing import Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError, DTypeError, UnsupportedError
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import normalize_axis
from gpuad.scipy import _images as images
from gpuad.tracing import Tracer, is_array

DOUBLE, COMPLEX = np.dtype(float), np.dtype(complex)


def doubles(x: Any, with_complex: bool = True) -> Any:
    """Values as an array in double precision."""
    x = x if is_array(x) or isinstance(x, Tracer) else gnp.asarray(x)
    return images.cast(x, COMPLEX if with_complex and x.dtype.kind == "c" else DOUBLE)


def knots(name: str, x: Any) -> Any:
    """The knots, which must be known, increasing and finite."""
    if isinstance(x, Tracer):
        raise UnsupportedError(
            f"{name}: x is traced, and the knots must be known; give an array, and trace the "
            "values or the points."
        )
    x = doubles(x)
    if x.ndim != 1 or x.shape[0] < 2 or x.dtype.kind == "c":
        raise ArgumentError(f"{name}: x has shape {x.shape}; give a real vector of two or more.")
    if not bool((x[1:] > x[:-1]).all()):
        raise ArgumentError(f"{name}: x must increase strictly; sort it, and the values with it.")
    return x


def _values(name: str, x: Any, y: Any, axis: int, real: bool = False) -> tuple[Any, int]:
    """The values with the axis of the knots in front, and where that axis was."""
    y = doubles(y)
    place = normalize_axis(axis, y.ndim, name)
    if y.shape[place] != x.shape[0]:
        raise ArgumentError(
            f"{name}: y has {y.shape[place]} values along axis {place} for {x.shape[0]} knots."
        )
    if real and y.dtype.kind == "c":
        raise DTypeError(f"{name}: y is {y.dtype}; interpolate y.real and y.imag separately.")
    return gnp.moveaxis(y, place, 0), place


def ahead(x: Any, ndim: int) -> Any:
    """A vector with axes of size 1 behind it."""
    return gnp.reshape(x, (*x.shape, *[1] * (ndim - 1)))


class PPoly:
    """Polynomials between knots: Σ_k c[k, i] (p − x[i])^(K − k) from x[i] to x[i + 1].

    `c` has the shape (K + 1, pieces, ...). Outside, the first and the last piece go on
    (`extrapolate`), the function repeats itself ("periodic"), or the result is NaN.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> c, x = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([0.0, 1.0, 2.0])
    >>> f = lambda c: ad.scipy.interpolate.PPoly(c, x)(1.5)
    >>> f(c), ad.grad(f)(c)[:, 1]
    (np.float64(2.0), array([0.5, 1. ]))
    """

    def __init__(self, c: Any, x: Any, extrapolate: Any = None, axis: int = 0):
        self.x, self.c = knots(type(self).__name__, x), doubles(c)
        self.extrapolate = True if extrapolate is None else extrapolate
        self.axis = axis
        if self.c.ndim < 2 or self.c.shape[1] != self.x.shape[0] - 1:
            raise ArgumentError(
                f"PPoly: c has shape {self.c.shape}; give (K + 1, {self.x.shape[0] - 1}, ...)."
            )

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        """The values at points, or their derivative of order `nu`."""
        outside = self.extrapolate if extrapolate is None else extrapolate
        points = images.beside(doubles(x, False), self.c)
        first, last = self.x[0], self.x[-1]
        if isinstance(outside, str) and outside == "periodic":
            points = first + gnp.remainder(points - first, last - first)
        elif isinstance(outside, str):
            raise ArgumentError(f"extrapolate={outside!r}; give True, False or 'periodic'.")
        result = self._at(points, nu)
        if not outside:
            inside = (points >= first) & (points <= last)
            inside = gnp.reshape(inside, (*points.shape, *[1] * (self.c.ndim - 2)))
            result = gnp.where(inside, result, np.nan)
        return gnp.moveaxis(
            result,
            list(range(points.ndim)),
            list(range(self.axis, self.axis + points.ndim)),
        )

    def _at(self, points: Any, nu: int) -> Any:
        """The values, with the axes of the points in front: by Horner's rule."""
        degree, pieces = self.c.shape[0] - 1, self.c.shape[1]
        if nu > degree:
            return self._at(points, degree) * 0
        x, c = images.beside(self.x, points), images.beside(self.c, points)
        cell = gnp.clip(gnp.searchsorted(x, points, side="right") - 1, 0, pieces - 1)
        t = points - gnp.take(x, cell)
        t = gnp.reshape(t, (*points.shape, *[1] * (self.c.ndim - 2)))
        result: Any = 0.0
        for k in range(degree - nu + 1):
            factor = math.perm(degree - k, nu)
            result = result * t + factor * gnp.take(c[k], cell, axis=0)
        return result

    def derivative(self, nu: int = 1) -> "PPoly":
        """The derivative of order `nu`; of a negative order the integral."""
        if nu < 0:
            return self.antiderivative(-nu)
        degree = self.c.shape[0] - 1
        rows = [math.perm(degree - k, nu) * self.c[k] for k in range(max(degree - nu + 1, 0))]
        c = gnp.stack(rows) if rows else 0 * self.c[:1]
        return PPoly(c, self.x, self.extrapolate, self.axis)

    def antiderivative(self, nu: int = 1) -> "PPoly":
        """The integral from the first knot, `nu` times."""
        if nu <= 0:
            return self.derivative(-nu)
        degree = self.c.shape[0]
        rows = [self.c[k] / (degree - k) for k in range(degree)]
        h = ahead(images.beside(gnp.diff(self.x), self.c), self.c.ndim - 1)
        whole: Any = 0.0
        for row in rows:
            whole = (whole + row) * h
        start = gnp.concatenate((0 * whole[:1], gnp.cumsum(whole, axis=0)[:-1]))
        outside = False if self.extrapolate == "periodic" else self.extrapolate
        integral = PPoly(gnp.stack([*rows, start]), self.x, outside, self.axis)
        return integral.antiderivative(nu - 1) if nu > 1 else integral

    def integrate(self, a: Any, b: Any, extrapolate: Any = None) -> Any:
        """The integral from a to b."""
        outside = self.extrapolate if extrapolate is None else extrapolate
        if outside == "periodic":
            raise UnsupportedError(
                "integrate(extrapolate='periodic') cannot be recorded; integrate whole periods and "
                "the rest one by one, with extrapolate=False."
            )
        integral = self.antiderivative()
        return integral(b, extrapolate=outside) - integral(a, extrapolate=outside)


# Cubic pieces through values, with derivatives at the knots


def _hermite(x: Any, y: Any, s: Any) -> Any:
    """The coefficients of cubic pieces with these values and derivatives at the knots."""
    y, s = images.beside(y, s), images.beside(s, y)
    h = ahead(images.beside(gnp.diff(x), y), y.ndim)
    slope = gnp.diff(y, axis=0) / h
    t = (s[:-1] + s[1:] - 2 * slope) / h
    return gnp.stack([t / h, (slope - s[:-1]) / h - t, s[:-1], y[:-1]])


class CubicHermiteSpline(PPoly):
    """Cubic pieces with the values `y` and the derivatives `dydx` at the knots.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, y = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    >>> f = lambda s: ad.scipy.interpolate.CubicHermiteSpline(x, y, s)(0.5)
    >>> ad.grad(f)(np.zeros(2))
    array([ 0.125, -0.125])
    """

    def __init__(self, x: Any, y: Any, dydx: Any, axis: int = 0, extrapolate: Any = None):
        x = knots("CubicHermiteSpline", x)
        y, place = _values("CubicHermiteSpline", x, y, axis)
        s, _ = _values("CubicHermiteSpline", x, dydx, axis)
        if s.shape != y.shape:
            raise ArgumentError(f"CubicHermiteSpline: dydx has shape {s.shape}, y {y.shape}.")
        super().__init__(_hermite(x, y, s), x, extrapolate, place)


class PchipInterpolator(PPoly):
    """Cubic pieces that are monotonic where the values are (Fritsch & Butland, SIAM J. Sci. Stat.
    Comput. 5, 1984): the derivative at a knot is a weighted harmonic mean of the slopes.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, y = np.arange(4.0), np.array([0.0, 1.0, 1.0, 3.0])
    >>> f = lambda y: ad.scipy.interpolate.PchipInterpolator(x, y)(0.5)
    >>> f(y), ad.grad(f)(y).round(4)
    (np.float64(0.6875), array([ 0.3125,  0.75  , -0.0625,  0.    ]))
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, extrapolate: Any = None):
        x = knots("PchipInterpolator", x)
        y, place = _values("PchipInterpolator", x, y, axis, real=True)
        super().__init__(_hermite(x, y, _harmonic(x, y)), x, extrapolate, place)


def _harmonic(x: Any, y: Any) -> Any:
    h = ahead(images.beside(gnp.diff(x), y), y.ndim)
    m = gnp.diff(y, axis=0) / h
    if y.shape[0] == 2:
        return gnp.concatenate((m, m))
    turns = gnp.sign(m[1:]) * gnp.sign(m[:-1]) <= 0
    before, behind = [gnp.where(turns, 1.0, part) for part in (m[:-1], m[1:])]
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    inner = gnp.where(turns, 0.0, (w1 + w2) / (w1 / before + w2 / behind))
    first = _at_end(h[0], h[1], m[0], m[1])
    last = _at_end(h[-1], h[-2], m[-1], m[-2])
    return gnp.concatenate((first[None], inner, last[None]))


def _at_end(h0: Any, h1: Any, m0: Any, m1: Any) -> Any:
    """The derivative of the parabola through three points, held to the shape of the values."""
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    steep = (gnp.sign(m0) != gnp.sign(m1)) & (abs(d) > 3 * abs(m0))
    return gnp.where(gnp.sign(d) != gnp.sign(m0), 0.0, gnp.where(steep, 3 * m0, d))


class Akima1DInterpolator(PPoly):
    """Cubic pieces whose derivatives at the knots are means of the slopes around them, weighted by
    how much the slopes beyond change (Akima, J. ACM 17, 1970). Method "makima" avoids overshoots.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, y = np.arange(5.0), np.array([0.0, 1.0, 0.0, 2.0, 1.0])
    >>> f = lambda y: ad.scipy.interpolate.Akima1DInterpolator(x, y)(1.5)
    >>> f(y).round(4), ad.grad(f)(y).round(4)
    (np.float64(0.5), array([ 0.  ,  0.47,  0.53,  0.03, -0.03]))
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, *, method: str = "akima",
                 extrapolate: Any = None):  # fmt: skip
        if method not in ("akima", "makima"):
            raise ArgumentError(
                f"Akima1DInterpolator: method={method!r}; give 'akima' or 'makima'."
            )
        x = knots("Akima1DInterpolator", x)
        y, place = _values("Akima1DInterpolator", x, y, axis, real=True)
        outside = False if extrapolate is None else extrapolate
        super().__init__(_hermite(x, y, _akima(x, y, method)), x, outside, place)


def _akima(x: Any, y: Any, method: str) -> Any:
    m = gnp.diff(y, axis=0) / ahead(images.beside(gnp.diff(x), y), y.ndim)
    if y.shape[0] == 2:
        return gnp.concatenate((m, m))
    left = 2 * m[0] - m[1]
    right = 2 * m[-1] - m[-2]
    m = gnp.concatenate(
        ((2 * left - m[0])[None], left[None], m, right[None], (2 * right - m[-1])[None])
    )
    change = abs(gnp.diff(m, axis=0))
    if method == "makima":
        change = change + 0.5 * abs(m[1:] + m[:-1])
    f1, f2 = change[2:], change[:-2]
    total = f1 + f2
    defined = total > 1e-9 * gnp.max(total, initial=0.0)
    share = f2 / gnp.where(defined, total, 1.0)
    weighted = m[1:-2] + share * (m[2:-1] - m[1:-2])
    return gnp.where(defined, weighted, 0.5 * (m[3:] + m[:-3]))


class CubicSpline(PPoly):
    """Cubic pieces with continuous second derivatives.

    `bc_type` is "not-a-knot", "natural", "clamped", "periodic", or a pair for both ends of which
    each may be an order, 1 or 2, with the value of that derivative, too. It is linear in `y`: the
    derivatives at the knots are matrices times the values, made of the knots. "periodic"
    takes the first value of a traced `y` for the last.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, y = np.arange(5.0), np.array([0.0, 1.0, 4.0, 9.0, 16.0])
    >>> spline = ad.scipy.interpolate.CubicSpline(x, y)
    >>> ad.grad(spline)(2.5).round(9), spline(2.5, 1).round(9)
    (np.float64(5.0), np.float64(5.0))
    >>> f = lambda y: ad.scipy.interpolate.CubicSpline(x, y, bc_type="natural")(0.5)
    >>> ad.grad(f)(y).round(4)
    array([ 0.3996,  0.7277, -0.1607,  0.0402, -0.0067])
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, bc_type: Any = "not-a-knot",
                 extrapolate: Any = None):  # fmt: skip
        x = knots("CubicSpline", x)
        y, place = _values("CubicSpline", x, y, axis)
        if extrapolate is None:
            extrapolate = "periodic" if bc_type == "periodic" else True
        if bc_type == "periodic" and isinstance(y, Tracer):
            y = gnp.concatenate((y[:-1], y[:1]))
        super().__init__(_hermite(x, y, _smooth(x, y, bc_type)), x, extrapolate, place)


ROWS, AROUND = 256, 64
"""Knots whose derivatives are computed together, and how many on either side they depend on. The
weight of a value halves with each knot between, at least: of 64 it is below rounding."""


def _windows(n: int) -> list[tuple[int, int, int]]:
    """Where the rows of each block start, and from where to where its values are."""
    blocks = range(0, n, ROWS)
    return [(i, max(0, i - AROUND), min(n, i + ROWS + AROUND)) for i in blocks]


def _smooth(x: Any, y: Any, bc_type: Any) -> Any:
    """The derivatives at the knots."""
    import scipy.interpolate

    ends = [bc_type] * 2 if isinstance(bc_type, str) else list(bc_type)
    moving = [e[1] for e in ends if not isinstance(e, str) and isinstance(e[1], Tracer)]
    if isinstance(y, np.ndarray) and isinstance(x, np.ndarray) and not moving:
        return scipy.interpolate.CubicSpline(x, y, bc_type=bc_type)(x, 1)
    x = np.asarray(x.get() if hasattr(x, "get") else x)
    n, y = len(x), images.beside(y, *moving)
    if len(ends) != 2:
        raise ArgumentError(f"CubicSpline: bc_type {bc_type!r}; give a condition for each end.")
    orders = [e if isinstance(e, str) else (e[0], 0.0) for e in ends]

    def slopes(values: np.ndarray, conditions: Any, x: np.ndarray = x) -> np.ndarray:
        zeros = np.zeros(values.shape[1:])
        given: Any = [c if isinstance(c, str) else (c[0], zeros + c[1]) for c in conditions]
        given = "periodic" if given[0] == "periodic" else tuple(given)
        return scipy.interpolate.CubicSpline(x, values, bc_type=given)(x, 1)

    if ends[0] == "periodic":
        basis = np.eye(n, n - 1)
        basis[-1, 0] = 1
        return gnp.tensordot(images.beside(slopes(basis, orders), y), y[:-1], 1)
    parts = []
    for start, lo, hi in _windows(n):
        here = [orders[0] if lo == 0 else "natural", orders[1] if hi == n else "natural"]
        matrix = slopes(np.eye(hi - lo), here, x[lo:hi])[start - lo : start - lo + ROWS]
        parts.append(gnp.tensordot(images.beside(matrix, y), y[lo:hi], 1))
    result = gnp.concatenate(parts) if len(parts) > 1 else parts[0]
    for k, end in enumerate(ends):
        if not isinstance(end, str):
            one = [(e[0], float(k == i)) if not isinstance(e, str) else e
                   for i, e in enumerate(orders)]  # fmt: skip
            value = doubles(end[1])
            if shape_of(value) != y.shape[1:]:
                raise ArgumentError(
                    f"CubicSpline: the value of bc_type has shape {shape_of(value)}; "
                    f"give {y.shape[1:]}."
                )
            unit = images.beside(slopes(np.zeros(n), one), value, result)
            result = result + ahead(unit, y.ndim) * value
    return result
