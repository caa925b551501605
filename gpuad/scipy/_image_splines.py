"""B-splines for `scipy.ndimage`: their coefficients, their weights, and where they are read.

The coefficients come from two recursive filters for each pole z of the inverse of the B-spline:
c⁺[i] = c[i] + z c⁺[i − 1] from the first element, c⁻[i] = z (c⁻[i + 1] − c⁺[i]) from the last one
(Unser, Aldroubi & Eden, IEEE Trans. PAMI 13, 1991). Where they start says how the image goes on.
"""

import math
from typing import Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._dispatch import implements, normalize_axis
from gpuad.primitives import elementwise as ew
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.recursive import recursive_filter
from gpuad.primitives.sources import array_constant
from gpuad.primitives.structure import concatenate, flip, move_axis, slice_axis
from gpuad.scipy import _images as images
from gpuad.tracing.record import apply

POLES = {
    2: [math.sqrt(8) - 3],
    3: [math.sqrt(3) - 2],
    4: [math.sqrt(664 - math.sqrt(438976)) + math.sqrt(304) - 19,
        math.sqrt(664 + math.sqrt(438976)) - math.sqrt(304) - 19],
    5: [math.sqrt(67.5 - math.sqrt(4436.25)) + math.sqrt(26.25) - 6.5,
        math.sqrt(67.5 + math.sqrt(4436.25)) - math.sqrt(26.25) - 6.5],
}  # fmt: skip

CONTINUED = {
    "mirror": "mirror", "constant": "mirror", "wrap": "mirror", "grid-constant": "mirror",
    "reflect": "reflect", "grid-mirror": "reflect", "nearest": "reflect", "grid-wrap": "wrap",
}  # fmt: skip
"""How the coefficients go on beyond the boundary, for each mode."""


def _first(n: int, z: float, continued: str) -> np.ndarray:
    """The weights of the elements of a line in the first element of c⁺."""
    powers = z ** np.arange(n)
    if continued == "wrap":
        return np.roll(powers[::-1], 1) / (1 - z**n)
    if continued == "reflect":
        weights = (powers + z ** (2 * n - 1 - np.arange(n))) * z / (1 - z ** (2 * n))
        weights[0] += 1
        return weights
    weights = powers + z ** (n - 1) * powers[::-1]
    weights[[0, -1]] = 1, z ** (n - 1)
    return weights / (1 - z ** (2 * n - 2))


def _last(n: int, z: float, continued: str) -> np.ndarray:
    """The weights of the elements of c⁺ in the last element of c⁻."""
    weights = np.zeros(n)
    if continued == "wrap":
        return np.roll(z ** np.arange(n), -1) * z / (z**n - 1)
    if continued == "reflect":
        weights[-1] = z / (z - 1)
    else:
        weights[-2:] = z * z / (z * z - 1), z / (z * z - 1)
    return weights


def _element(v: Atom, weights: np.ndarray) -> Atom:
    """Σ_i w[i] v[..., i], as one element of a line."""
    w = array_constant(np.asarray(weights, v.aval.dtype)[None])
    return dot_general(v, w, contract=((v.aval.ndim - 1,), (1,)), batch=((), ()))


def _filtered(v: Atom, z: float, continued: str) -> Atom:
    last, n = v.aval.ndim - 1, v.aval.shape[-1]
    a = array_constant(np.array([-z], v.aval.dtype))
    first = _element(v, _first(n, z, continued))
    c = recursive_filter(a, concatenate(first, slice_axis(v, last, 1, n), axis=last), batch=0)
    final = _element(c, _last(n, z, continued))
    rest = ew.mul(slice_axis(c, last, 0, n - 1), -z)
    turned = flip(concatenate(rest, final, axis=last), axes=(last,))
    return flip(recursive_filter(a, turned, batch=0), axes=(last,))


def coefficients(x: Any, order: int, axis: int, mode: str) -> Any:
    """The coefficients of the spline through the elements along an axis."""
    if order < 2 or x.shape[axis] < 2 or images.is_empty(x):
        return x
    gain = math.prod([(1 - z) * (1 - 1 / z) for z in POLES[order]])

    def record(v: Atom) -> Atom:
        last = v.aval.ndim - 1
        v = ew.mul(move_axis(v, axis, last), gain)
        for z in POLES[order]:
            v = _filtered(v, z, CONTINUED[mode])
        return move_axis(v, last, axis)

    return apply(record, x)


def checked_order(name: str, order: Any, least: int = 0) -> int:
    if order not in range(least, 6):
        raise ArgumentError(f"{name}: order={order!r}; give an integer from {least} to 5.")
    return int(order)


@implements(name="scipy.ndimage.spline_filter1d")
def spline_filter1d(
    input: Any, order: int = 3, axis: int = -1, output: Any = np.float64, mode: str = "mirror"
) -> Any:
    """The coefficients of the B-spline of this order through the elements along an axis.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda x: ad.scipy.ndimage.spline_filter1d(x)[1])(np.zeros(3)).round(12)
    array([-0.5,  2. , -0.5])
    """
    x = images.lifted(input)
    place, order = normalize_axis(axis, x.ndim, "spline_filter1d"), checked_order("order", order)
    return _stored("spline_filter1d", x, order, (place,), output, mode)


def _stored(name: str, x: Any, order: int, axes: Any, output: Any, mode: Any) -> Any:
    dtype = images.target(name, output, x, x.dtype.kind == "c")
    inner = images.working(x, dtype)
    mode = images.checked_mode(name, mode)
    for axis in axes:
        x = images.truncated(coefficients(images.cast(x, inner), order, axis, mode), dtype)
    return images.delivered(name, images.cast(x, dtype), output)


@implements(name="scipy.ndimage.spline_filter")
def spline_filter(
    input: Any, order: int = 3, output: Any = np.float64, mode: str = "mirror"
) -> Any:
    """The coefficients of the B-spline of this order, 2 to 5, through the elements of the image.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda x: ad.scipy.ndimage.spline_filter(x)[1, 1])(np.zeros((3, 3))).round(12)
    array([[ 0.25, -1.  ,  0.25],
           [-1.  ,  4.  , -1.  ],
           [ 0.25, -1.  ,  0.25]])
    """
    x = images.lifted(input)
    order = checked_order("spline_filter", order, 2)
    return _stored("spline_filter", x, order, range(x.ndim), output, mode)


# Reading


def weights_at(t: Any, order: int) -> list[Any]:
    """The weights of the order + 1 elements around a place, t behind the middle one (the middle is
    that before the place for odd orders, the nearest one for even orders). They sum up to 1."""
    z = 1 - t
    if order == 1:
        found = [z]
    elif order == 2:
        found = [0.5 * (0.5 - t) ** 2, 0.75 - t * t]
    elif order == 3:
        found = [z * z * z / 6, (t * t * (t - 2) * 3 + 4) / 6, (z * z * (z - 2) * 3 + 4) / 6]
    elif order == 4:
        found = [(0.5 - t) ** 4 / 24, _quartic(1 + t),
                 t * t * (t * t * 0.25 - 0.625) + 115 / 192, _quartic(z)]  # fmt: skip
    elif order == 5:
        found = [z**5 / 120, _outer_quintic(1 + t), _inner_quintic(t), _inner_quintic(z),
                 _outer_quintic(1 + z)]  # fmt: skip
    else:
        return []
    return [*found, 1 - sum(found)]


def _quartic(y: Any) -> Any:
    return y * (y * (y * (5 - y) / 6 - 1.25) + 5 / 24) + 55 / 96


def _inner_quintic(y: Any) -> Any:
    return y * y * (y * y * (0.25 - y / 12) - 0.5) + 0.55


def _outer_quintic(y: Any) -> Any:
    return y * (y * (y * (y * (y / 24 - 0.375) + 1.25) - 1.75) + 0.625) + 0.425


def _inside(c: Any, n: int, mode: str) -> Any:
    """Coordinates moved inside, as the image goes on beyond its boundary."""
    if mode in ("constant", "grid-constant", "nearest"):
        return c
    if n < 2:
        return 0 * c if mode != "grid-wrap" else gnp.remainder(c, 1)
    if mode == "wrap":  # the last element is the first one of the next period
        turns = gnp.where(c < 0, gnp.floor(-c / (n - 1)) + 1, -gnp.floor(c / (n - 1)))
        return gnp.where((c >= 0) & (c <= n - 1), c, c + (n - 1) * turns)
    if mode == "grid-wrap":
        return gnp.remainder(c, n)
    period, before = 2 * n - 2 if mode == "mirror" else 2 * n, c < 0
    t = gnp.where(before, -c, c)
    t = t - period * gnp.floor(t / period)
    if mode == "mirror":
        return gnp.where((t >= n) | (before & (t >= n - 1)), period - t, t)
    return gnp.where(before, gnp.where(t > n, period - t, t - 1),
                     gnp.where(t >= n, period - 1 - t, t))  # fmt: skip


def _element_at(i: Any, n: int, mode: str) -> Any:
    """The element that stands at a position, which may be beyond the boundary."""
    if mode in ("nearest", "grid-constant") or n < 2:
        return gnp.clip(i, 0, n - 1)
    continued = CONTINUED[mode]
    if continued == "wrap":
        return gnp.remainder(i, n)
    period, end = (2 * n - 2, 2 * n - 2) if continued == "mirror" else (2 * n, 2 * n - 1)
    i = gnp.remainder(i, period)
    return gnp.where(i >= n, end - i, i)


def taps(c: Any, n: int, order: int, mode: str) -> tuple[list[Any], list[Any], list[Any], Any]:
    """For coordinates along an axis of n elements: which elements are read, their weights, which of
    them lie inside ("grid-constant" only), and which coordinates do ("constant" only)."""
    inside = (c >= 0) & (c <= n - 1) if mode == "constant" else None
    c = _inside(c, n, mode)
    middle = gnp.floor(c if order % 2 else c + 0.5)
    start = images.cast(middle, np.dtype(np.int64)) - order // 2
    places = [start + k for k in range(order + 1)]
    present = [(p >= 0) & (p < n) for p in places] if mode == "grid-constant" else []
    elements = [_element_at(p, n, mode) for p in places]
    return elements, weights_at(c - middle, order), present, inside
