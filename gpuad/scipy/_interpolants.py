"""Interpolation of values on grids: `interp1d` and `RegularGridInterpolator`."""

import itertools
import operator
from typing import Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy._dispatch import normalize_axis
from gpuad.scipy import _images as images
from gpuad.scipy._pieces import CubicSpline, PPoly, ahead, doubles, knots
from gpuad.tracing import Tracer


def check_bounds(name: str, points: Any, outside: Any, bounds_error: bool) -> None:
    """Raises for points outside, which can be told only if the points are known."""
    if not bounds_error:
        return
    if isinstance(points, Tracer):
        raise UnsupportedError(
            f"{name}: bounds_error=True cannot be checked for traced points; write "
            "bounds_error=False, and a fill_value."
        )
    if bool(outside.any()):
        raise ArgumentError(
            f"{name}: a point is outside of the grid; write bounds_error=False, and a fill_value."
        )


def _inexact(values: Any) -> Any:
    """Values in their own precision, integers and lists in double precision."""
    return values if getattr(values, "dtype", np.dtype(int)).kind in "fc" else doubles(values)


NEIGHBOURS = ("nearest", "nearest-up", "previous", "next")
"""The kinds of `interp1d` that give one of the values, in their dtype."""


class interp1d:  # noqa: N801  SciPy's name
    """Values between knots by straight lines ("linear", "slinear"), from a neighbour ("nearest",
    "nearest-up", "previous", "next") or by a spline ("cubic").

    Outside, the result is `fill_value` (a number, or a pair for both ends), or with
    ``fill_value="extrapolate"`` that of the last piece. For traced points write
    ``bounds_error=False``.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> f = ad.scipy.interpolate.interp1d([0.0, 1.0, 3.0], [0.0, 2.0, 0.0], bounds_error=False)
    >>> ad.vmap(ad.grad(f))(np.array([0.5, 2.0, 9.0]))
    array([ 2., -1.,  0.])
    """

    def __init__(self, x: Any, y: Any, kind: str = "linear", axis: int = -1, copy: bool = True,
                 bounds_error: Any = None, fill_value: Any = np.nan, assume_sorted: bool = False,
                 ):  # fmt: skip
        y = _inexact(y) if kind in NEIGHBOURS else doubles(y)
        self.axis = normalize_axis(axis, y.ndim, "interp1d")
        y = gnp.moveaxis(y, self.axis, 0)
        if not assume_sorted and not isinstance(x, Tracer):
            x = doubles(x)
            order = gnp.argsort(x, kind="stable")
            x, y = x[order], gnp.take(y, images.beside(order, y), axis=0)
        self.x, self.y, self.kind = knots("interp1d", x), y, kind
        if y.shape[0] != self.x.shape[0]:
            raise ArgumentError(f"interp1d: {self.x.shape[0]} knots and {y.shape[0]} values.")
        self.extrapolates = isinstance(fill_value, str) and fill_value == "extrapolate"
        self.fill_value = fill_value
        self.bounds_error = not self.extrapolates if bounds_error is None else bounds_error
        if bounds_error is None and not (np.isscalar(fill_value) and fill_value != fill_value):
            self.bounds_error = False
        self._pieces = self._made(kind)

    def _made(self, kind: str) -> PPoly | None:
        if kind == "cubic":
            return CubicSpline(self.x, self.y)
        if kind in ("linear", "slinear"):
            h = images.beside(gnp.diff(self.x), self.y)
            slope = gnp.diff(self.y, axis=0) / ahead(h, self.y.ndim)
            return PPoly(gnp.stack([slope, self.y[:-1]]), self.x)
        if kind not in NEIGHBOURS:
            raise ArgumentError(
                f"interp1d: kind={kind!r}; give 'linear', 'slinear', 'cubic', 'nearest', "
                "'nearest-up', 'previous' or 'next'."
            )
        return None

    def __call__(self, x: Any) -> Any:
        """The values at points."""
        points = doubles(x, False)
        if not self.extrapolates:
            outside = (points < self.x[0]) | (points > self.x[-1])
            check_bounds("interp1d", points, outside, self.bounds_error)
        points = images.beside(points, self.y)
        result = self._near(points) if self._pieces is None else self._pieces(points)
        below, above = points < self.x[0], points > self.x[-1]
        if not self.extrapolates:
            pair = self.fill_value if isinstance(self.fill_value, tuple) else [self.fill_value] * 2
        else:  # no knot is before the first one, or behind the last one
            pair = [np.nan if self.kind == kind else None for kind in ("previous", "next")]
        behind = (*points.shape, *[1] * (self.y.ndim - 1))
        for where, value in zip((below, above), pair, strict=True):
            if value is not None:
                result = gnp.where(gnp.reshape(where, behind), value, result)
        axes = list(range(points.ndim))
        return gnp.moveaxis(result, axes, [a + self.axis for a in axes])

    def _near(self, points: Any) -> Any:
        middles = self.x[1:] / 2 + self.x[:-1] / 2
        line, side, offset = {
            "nearest": (middles, "left", 0),
            "nearest-up": (middles, "right", 0),
            "previous": (self.x, "right", -1),
            "next": (self.x, "left", 0),
        }[self.kind]
        index = gnp.searchsorted(images.beside(line, points), points, side=side) + offset
        return gnp.take(
            images.beside(self.y, points), gnp.clip(index, 0, self.x.shape[0] - 1), axis=0
        )


class RegularGridInterpolator:
    """Values on a grid of rows and columns (and more axes) between which it interpolates: by the
    product of straight lines ("linear") or from the nearest one ("nearest").

    `points` are the coordinates along each axis, increasing or decreasing and known; `values` and
    the places xi (..., axes) may be traced. Outside, the result is `fill_value`, or goes on if
    that is None; for traced places write ``bounds_error=False``.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> grid = np.array([0.0, 1.0]), np.array([0.0, 2.0])
    >>> values = np.array([[0.0, 2.0], [1.0, 5.0]])
    >>> make = ad.scipy.interpolate.RegularGridInterpolator
    >>> f = make(grid, values, bounds_error=False)
    >>> ad.grad(lambda p: f(p)[0])(np.array([0.5, 1.0]))
    array([2. , 1.5])
    >>> ad.grad(lambda v: make(grid, v)([0.5, 1.0])[0])(values)
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """

    def __init__(self, points: Any, values: Any, method: str = "linear", bounds_error: bool = True,
                 fill_value: Any = np.nan):  # fmt: skip
        self.method, self.bounds_error, self.fill_value = method, bounds_error, fill_value
        self._check_method(method)
        values = _inexact(values)
        if len(points) > values.ndim:
            raise ArgumentError(
                f"RegularGridInterpolator: {len(points)} axes and values of shape {values.shape}."
            )
        self.grid = []
        for axis, p in enumerate(points):
            if not isinstance(p, Tracer) and np.size(p) > 1 and p[0] > p[-1]:
                p, values = np.asarray(p)[::-1], gnp.flip(values, axis)
            self.grid.append(knots("RegularGridInterpolator", p))
            if self.grid[-1].shape[0] != values.shape[axis]:
                raise ArgumentError(
                    f"RegularGridInterpolator: {self.grid[-1].shape[0]} points along axis {axis} "
                    f"for values of shape {values.shape}."
                )
        self.values = values

    def _check_method(self, method: str) -> None:
        if method not in ("linear", "nearest"):
            raise UnsupportedError(
                f"RegularGridInterpolator(method={method!r}) cannot be recorded; give 'linear' or "
                "'nearest', or scipy.ndimage.map_coordinates for splines of evenly spaced values."
            )

    def __call__(self, xi: Any, method: str | None = None, *, nu: Any = None) -> Any:
        """The values at places xi (..., axes), or at a tuple of coordinates that broadcast."""
        if nu is not None:
            raise UnsupportedError("RegularGridInterpolator(nu=...): take ad.grad or ad.jvp of it.")
        method = self.method if method is None else method
        self._check_method(method)
        count = len(self.grid)
        if isinstance(xi, tuple):
            xi = gnp.stack(gnp.broadcast_arrays(*[doubles(x, False) for x in xi]), axis=-1)
        xi = doubles(xi, False)
        xi = gnp.reshape(xi, (-1, count)) if xi.ndim == 1 else xi
        if xi.shape[-1] != count:
            raise ArgumentError(
                f"RegularGridInterpolator: xi has shape {xi.shape}; give (..., {count})."
            )
        check_bounds("RegularGridInterpolator", xi, self._outside(xi), self.bounds_error)
        xi = images.beside(xi, self.values)
        places, outside = [xi[..., i] for i in range(count)], self._outside(xi)
        result = self._at(places, method)
        trailing = [1] * (self.values.ndim - count)
        if not self.bounds_error and self.fill_value is not None:
            outside = gnp.reshape(outside, (*outside.shape, *trailing))
            result = gnp.where(outside, self.fill_value, result)
        missing = gnp.reshape(gnp.isnan(gnp.sum(xi, axis=-1)), (*xi.shape[:-1], *trailing))
        return gnp.where(missing, np.nan, result)

    def _outside(self, xi: Any) -> Any:
        sides = [(xi[..., i] < g[0]) | (xi[..., i] > g[-1]) for i, g in enumerate(self.grid)]
        return images.summed(sides, operator.or_)

    def _at(self, places: list[Any], method: str) -> Any:
        shape, count = self.values.shape, len(places)
        cells, shares = [], []
        for p, g in zip(places, self.grid, strict=True):
            g = images.beside(g, p)
            i = gnp.clip(gnp.searchsorted(g, p, side="right") - 1, 0, g.shape[0] - 2)
            cells.append(i)
            shares.append((p - gnp.take(g, i)) / gnp.take(gnp.diff(g), i))
        steps = [int(np.prod(shape[i + 1 : count])) for i in range(count)]
        values = images.beside(self.values, *places)
        flat = gnp.reshape(values, (-1, *shape[count:]))
        if method == "nearest":
            near = [gnp.where(t <= 0.5, i, i + 1) for i, t in zip(cells, shares, strict=True)]
            return gnp.take(flat, sum(i * n for i, n in zip(near, steps, strict=True)), axis=0)
        flat, parts = doubles(flat), []
        for corner in itertools.product((0, 1), repeat=count):
            index = sum((i + k) * n for i, k, n in zip(cells, corner, steps, strict=True))
            weight: Any = 1.0
            for t, k in zip(shares, corner, strict=True):
                weight = weight * (t if k else 1 - t)
            weight = gnp.reshape(weight, (*weight.shape, *[1] * (len(shape) - count)))
            parts.append(weight * gnp.take(flat, index, axis=0))
        return images.summed(parts)
