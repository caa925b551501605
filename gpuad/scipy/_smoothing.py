"""The analytic signal, trends and Savitzky-Golay filters of `scipy.signal`."""

import itertools
import operator
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, DTypeError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import cast_to, implements, normalize_axis
from gpuad.numpy._fourier import c2c, floating, one_axis
from gpuad.primitives import elementwise as ew
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.convolution import convolve_full
from gpuad.primitives.sources import array_constant
from gpuad.primitives.structure import (
    broadcast,
    concatenate,
    expand,
    move_axis,
    slice_axis,
)
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS


def _constant(array: np.ndarray, dtype: np.dtype) -> Atom:
    return array_constant(np.asarray(array, dtype))


def _mapped(matrix: np.ndarray, v: Atom) -> Atom:
    """A matrix times the last axis."""
    m = _constant(matrix, v.aval.dtype)
    return dot_general(v, m, contract=((v.aval.ndim - 1,), (1,)), batch=((), ()))


@implements(name="scipy.signal.hilbert")
def hilbert(x: Any, N: Any = None, axis: int = -1) -> Any:
    """The analytic signal of real values along an axis, whose spectrum has no negative frequencies.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> t = 2 * np.pi * np.arange(8) / 8
    >>> envelope = lambda amplitude: abs(ad.scipy.signal.hilbert(amplitude * np.cos(t)))[0]
    >>> ad.grad(envelope)(3.0).round(12)
    np.float64(1.0)
    """
    (place,), (n,) = one_axis(shape_of(x), N, axis, "hilbert")
    weights = np.zeros(n)
    weights[0], weights[1 : (n + 1) // 2] = 1, 2
    if n % 2 == 0:
        weights[n // 2] = 1

    def record(v: Atom) -> Atom:
        v = floating(v)
        if v.aval.dtype.kind == "c":
            raise DTypeError(f"hilbert: x is {v.aval.dtype}; give real values, x.real.")
        spectrum = c2c(v, (place,), (n,), False, "backward")
        shape, dtype = spectrum.aval.shape, spectrum.aval.dtype
        factors = broadcast(_constant(weights, dtype), shape=shape, dims=(place,))
        return c2c(ew.mul(spectrum, factors), (place,), (n,), True, "backward")

    return apply(record, x)


def _in_double(v: Atom) -> Atom:
    """The value in single or double precision: integers and half precision as double."""
    is_half = v.aval.dtype == np.float16
    return cast_to(v, np.dtype(float)) if is_half else floating(v)


# detrend


@implements(name="scipy.signal.detrend")
def detrend(
    data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: bool = False
) -> Any:
    """The data without their least-squares lines ("linear", one between each two of the break
    points bp) or without their mean ("constant") along an axis.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([0.0, 2.0, 1.0])
    >>> ad.grad(lambda x: (ad.scipy.signal.detrend(x) ** 2).sum())(x).round(12)
    array([-1.,  2., -1.])
    """
    if type not in ("linear", "l", "constant", "c"):
        raise ArgumentError(f"detrend: type={type!r}; give 'linear' or 'constant'.")
    place = normalize_axis(axis, len(shape_of(data)), "detrend")
    if type in ("constant", "c"):
        return data - OPERATIONS["mean"](data, axis=place, keepdims=True)
    n = shape_of(data)[place]
    breaks = sorted({0, n, *np.atleast_1d(bp).tolist()})
    if breaks[-1] > n or breaks[0] < 0 or not n:
        raise ArgumentError(
            f"detrend: bp={bp} and {n} elements along the axis; give break points from 0 to their "
            "number, and at least one element."
        )

    def record(v: Atom) -> Atom:
        v = _in_double(v)
        last = v.aval.ndim - 1
        v = move_axis(v, place, last)
        pieces = [
            _without_line(slice_axis(v, last, start, stop))
            for start, stop in itertools.pairwise(breaks)
        ]
        whole = concatenate(*pieces, axis=last) if len(pieces) > 1 else pieces[0]
        return move_axis(whole, last, place)

    return apply(record, data)


def _without_line(v: Atom) -> Atom:
    """The last axis without its projection to lines, of which q has an orthogonal basis."""
    n = v.aval.shape[-1]
    q, _ = np.linalg.qr(np.stack([np.arange(1, n + 1) / n, np.ones(n)], axis=1))
    return ew.sub(v, _mapped(q, _mapped(q.T, v)))


# savgol_filter

_PADDED = {"mirror": "reflect", "constant": "constant", "nearest": "edge", "wrap": "wrap"}
"""What `numpy.pad` calls the modes of `scipy.ndimage.convolve1d`."""


@implements(name="scipy.signal.savgol_filter")
def savgol_filter(
    x: Any, window_length: Any, polyorder: Any, deriv: int = 0, delta: float = 1.0, axis: int = -1,
    mode: str = "interp", cval: float = 0.0,
) -> Any:  # fmt: skip
    """Smooths along an axis, by the values (or derivatives) of polynomials fitted to windows.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = (np.arange(7.0) + 1) ** 2
    >>> ad.scipy.signal.savgol_filter(x, 5, 2, deriv=1).round(9)
    array([ 2.,  4.,  6.,  8., 10., 12., 14.])
    >>> ad.grad(lambda x: ad.scipy.signal.savgol_filter(x, 3, 1)[2])(x).round(3)
    array([0.   , 0.333, 0.333, 0.333, 0.   , 0.   , 0.   ])
    """
    import scipy.signal

    if mode not in ("interp", *_PADDED):
        raise ArgumentError(
            f"savgol_filter: mode={mode!r}; give 'interp', 'mirror', 'constant', 'nearest' or "
            "'wrap'."
        )
    window = operator.index(window_length)
    place = normalize_axis(axis, len(shape_of(x)), "savgol_filter")
    n = shape_of(x)[place]
    if mode == "interp" and window > n:
        raise ArgumentError(
            f"savgol_filter: window_length={window} of {n} elements; give a smaller one, or "
            "another mode."
        )
    weights = scipy.signal.savgol_coeffs(window, polyorder, deriv=deriv, delta=delta)
    x = apply(_in_double, x)
    if x.dtype.kind == "c":
        raise DTypeError(f"savgol_filter: x is {x.dtype}; smooth x.real and x.imag separately.")
    if mode == "interp":
        ends = scipy.signal.savgol_filter(np.eye(window), window, polyorder, deriv, delta, axis=0)
        return apply(lambda v: _with_ends(v, place, weights, ends), x)
    behind = window // 2  # the window of element i ends with element i + window // 2
    widths = [(window - 1 - behind, behind) if i == place else (0, 0) for i in range(x.ndim)]
    options = {"constant_values": cval} if mode == "constant" else {}
    padded = OPERATIONS["pad"](x, widths, mode=_PADDED[mode], **options)
    return apply(lambda v: _along(v, place, lambda v: _windows(v, weights)), padded)


def _along(v: Atom, place: int, function: Any) -> Atom:
    last = v.aval.ndim - 1
    return move_axis(function(move_axis(v, place, last)), last, place)


def _windows(v: Atom, weights: np.ndarray) -> Atom:
    """The sums over windows that lie inside."""
    last = v.aval.ndim - 1
    kernel = expand(_constant(weights, v.aval.dtype), tuple(range(last)))
    whole = convolve_full(v, kernel, batch=0)
    return slice_axis(whole, last, len(weights) - 1, v.aval.shape[-1])


def _with_ends(v: Atom, place: int, weights: np.ndarray, ends: np.ndarray) -> Atom:
    """Inside by windows; at the ends by the polynomials of the first and the last window, whose
    values the rows of `ends` give."""
    window = len(weights)
    half = window // 2

    def function(v: Atom) -> Atom:
        last, n = v.aval.ndim - 1, v.aval.shape[-1]
        inner = _windows(v, weights)
        start = 2 * half - window + 1
        inner = slice_axis(inner, last, start, start + n - 2 * half)
        if not half:
            return inner
        first = _mapped(ends[:half], slice_axis(v, last, 0, window))
        final = _mapped(ends[window - half :], slice_axis(v, last, n - window, n))
        return concatenate(first, inner, final, axis=last)

    return _along(v, place, function)
