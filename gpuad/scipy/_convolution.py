"""Convolutions and correlations of `scipy.signal`, direct or by Fourier transforms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import promote, shape_of
from gpuad.numpy._dispatch import (
    aval_of,
    broadcast_together,
    cast_to,
    implements,
    normalize_axes,
)
from gpuad.numpy._fourier import c2c, c2r, conjugate, floating, r2c, resized
from gpuad.primitives import elementwise as ew
from gpuad.primitives.convolution import convolve_full, correlate_valid
from gpuad.primitives.structure import flip, slice_
from gpuad.tracing.record import apply, innermost
from gpuad.tracing.registry import OPERATIONS

Shape = tuple[int, ...]

MODES = ("full", "same", "valid")
BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}
"""What `numpy.pad` calls the boundaries of `scipy.signal.convolve2d`."""


def _checked(name: str, mode: Any, in1: Any, in2: Any) -> None:
    if mode not in MODES:
        raise ArgumentError(f"{name}: mode={mode!r}; give 'full', 'same' or 'valid'.")
    shapes = shape_of(in1), shape_of(in2)
    if len(shapes[0]) != len(shapes[1]):
        raise ArgumentError(
            f"{name}: shapes {shapes[0]} and {shapes[1]} have different numbers of axes; insert "
            "axes with x[None]."
        )


def _is_larger(name: str, a: Shape, b: Shape, axes: Sequence[int]) -> bool:
    """Whether the first array is the larger one along all of these axes, for mode="valid"."""
    if all(a[i] >= b[i] for i in axes):
        return True
    if all(a[i] <= b[i] for i in axes):
        return False
    raise ArgumentError(
        f"{name}: shapes {a} and {b}: for mode='valid' one array must be as large as the other "
        "along every axis; take mode='full' and slice."
    )


def _middle(v: Atom, shape: Shape) -> Atom:
    starts = tuple([(n - k) // 2 for n, k in zip(v.aval.shape, shape, strict=True)])
    return slice_(v, starts, tuple([i + k for i, k in zip(starts, shape, strict=True)]))


def _part(v: Atom, a: Shape, b: Shape, mode: str, axes: Sequence[int]) -> Atom:
    """What a mode leaves of a full convolution of arrays of these shapes along axes."""
    if mode == "full":
        return v
    if mode == "same":
        return _middle(v, a)
    kept = [abs(a[i] - b[i]) + 1 if i in axes else n for i, n in enumerate(v.aval.shape)]
    return _middle(v, tuple(kept))


def _by_transforms(x: Atom, y: Atom, axes: Sequence[int]) -> Atom:
    """The full convolution along axes; the others are broadcast."""
    import scipy.fft

    a, b = x.aval.shape, y.aval.shape
    places = tuple([i for i in axes if a[i] != 1 and b[i] != 1])
    if not places:
        return ew.mul(*broadcast_together((x, y), "fftconvolve"))
    is_real = x.aval.dtype.kind == "f"
    lengths = tuple([a[i] + b[i] - 1 for i in places])
    fast = tuple([scipy.fft.next_fast_len(n, is_real) for n in lengths])
    if is_real:
        spectra = [r2c(v, places, fast, "backward", "fftconvolve") for v in (x, y)]
    else:
        spectra = [c2c(v, places, fast, False, "backward") for v in (x, y)]
    product = ew.mul(*broadcast_together(tuple(spectra), "fftconvolve"))
    if is_real:
        result = c2r(product, places, fast, "backward")
    else:
        result = c2c(product, places, fast, True, "backward")
    return resized(result, places, lengths)


def _convolved(x: Atom, y: Atom, mode: str, name: str) -> Atom:
    """The direct convolution of arrays of one dtype."""
    a, b = x.aval.shape, y.aval.shape
    axes = range(len(a))
    if mode == "valid":
        if not _is_larger(name, a, b, axes):
            x, y = y, x
        return correlate_valid(x, flip(y, axes=tuple(axes)), batch=0)
    return _part(convolve_full(x, y, batch=0), a, b, mode, axes)


def _of_spectra(x: Atom, y: Atom, mode: str, axes: Sequence[int], name: str) -> Atom:
    """The convolution of arrays of one dtype by their transforms."""
    a, b = x.aval.shape, y.aval.shape
    places = [i for i in axes if a[i] != 1 and b[i] != 1]
    if mode == "valid" and not _is_larger(name, a, b, places):
        a, b = b, a
    return _part(_by_transforms(x, y, places), a, b, mode, places)


def _method_for(in1: Any, in2: Any, mode: str) -> str:
    """The method that SciPy expects to be faster. Of integers, whose size is not known, the sums
    are made directly, which is exact."""
    from scipy.signal import choose_conv_method

    avals = [aval_of(x) for x in (in1, in2)]
    if any(a.dtype.kind not in "fc" for a in avals):
        return "direct"
    stand_ins = [np.broadcast_to(np.zeros((), a.dtype), a.shape) for a in avals]
    return choose_conv_method(*stand_ins, mode=mode)


def _not_empty(name: str, in1: Any, in2: Any) -> None:
    if 0 in (*shape_of(in1), *shape_of(in2)):
        raise ArgumentError(
            f"{name}: shapes {shape_of(in1)} and {shape_of(in2)}; give two arrays, neither empty."
        )


@implements(name="scipy.signal.convolve")
def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """The convolution of two arrays of any number of axes.

    With method="direct" it is summed, with "fft" multiplied as spectra, and "auto" takes what SciPy
    takes for arrays of these shapes; integers are always summed.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, k = np.array([1.0, 2.0, 3.0]), np.array([1.0, -1.0])
    >>> ad.grad(lambda k: (ad.scipy.signal.convolve(x, k) ** 2).sum())(k)
    array([ 12., -12.])
    """
    _checked("convolve", mode, in1, in2)
    if not shape_of(in1):
        return OPERATIONS["multiply"](in1, in2)
    _not_empty("convolve", in1, in2)
    if method not in ("auto", "direct", "fft"):
        raise ArgumentError(f"convolve: method={method!r}; give 'auto', 'direct' or 'fft'.")
    if mode == "valid":
        _is_larger("convolve", shape_of(in1), shape_of(in2), range(len(shape_of(in1))))
    if method == "auto":
        method = _method_for(in1, in2, mode)

    def record(x: Atom, y: Atom) -> Atom:
        x, y = promote([x, y])
        if method == "direct":
            return _convolved(x, y, mode, "convolve")
        if x.aval.dtype.kind in "fc":
            return _of_spectra(x, y, mode, range(x.aval.ndim), "convolve")
        whole = _of_spectra(floating(x), floating(y), mode, range(x.aval.ndim), "convolve")
        return cast_to(ew.rint(whole), x.aval.dtype)

    return apply(record, in1, in2)


def _reversed(v: Atom) -> Atom:
    return flip(conjugate(v), axes=tuple(range(v.aval.ndim)))


@implements(name="scipy.signal.correlate")
def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """The correlation of two arrays: the convolution with the second one conjugated, backwards.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, k = np.array([1.0, 2.0, 3.0]), np.array([1.0, -1.0])
    >>> ad.grad(lambda x: ad.scipy.signal.correlate(x, k, "valid").sum())(x)
    array([ 1.,  0., -1.])
    """
    _checked("correlate", mode, in1, in2)
    if not shape_of(in1):
        return OPERATIONS["multiply"](in1, OPERATIONS["conj"](in2))
    return convolve(in1, apply(_reversed, in2, trace=innermost((in1, in2))), mode, method)


def _fftconvolve(name: str, in1: Any, in2: Any, mode: str, axes: Any) -> Any:
    _checked(name, mode, in1, in2)
    ndim = len(shape_of(in1))
    if not ndim:
        return OPERATIONS["multiply"](in1, in2)
    if 0 in (*shape_of(in1), *shape_of(in2)):
        return OPERATIONS["zeros"](0)
    places = normalize_axes(axes, ndim, name)
    if not places:
        raise ArgumentError(f"{name}: axes={axes}; give at least one, or leave axes out.")
    for i, (n, k) in enumerate(zip(shape_of(in1), shape_of(in2), strict=True)):
        if i not in places and n != k and 1 not in (n, k):
            raise ArgumentError(
                f"{name}: sizes {n} and {k} of axis {i}, along which nothing is convolved; make "
                "them equal, or name the axis in axes."
            )

    def record(x: Atom, y: Atom) -> Atom:
        x, y = promote([floating(x), floating(y)])
        return _of_spectra(x, y, mode, places, name)

    return apply(record, in1, in2)


@implements(name="scipy.signal.fftconvolve")
def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """The convolution along axes (all by default) by Fourier transforms."""
    return _fftconvolve("fftconvolve", in1, in2, mode, axes)


@implements(name="scipy.signal.oaconvolve")
def oaconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """The same as `fftconvolve`, which it is recorded as."""
    return _fftconvolve("oaconvolve", in1, in2, mode, axes)


# Two axes, with boundaries


def _plane(name: str, in1: Any, in2: Any, mode: Any, boundary: Any) -> None:
    _checked(name, mode, in1, in2)
    if len(shape_of(in1)) != 2:
        raise ArgumentError(f"{name}: shape {shape_of(in1)}; give two arrays of two axes.")
    _not_empty(name, in1, in2)
    if boundary not in BOUNDARIES:
        raise ArgumentError(f"{name}: boundary={boundary!r}; give 'fill', 'wrap' or 'symm'.")


def _padded(x: Any, y: Any, boundary: str, fillvalue: Any) -> Any:
    """The first array continued on all sides by as much as the second one reaches out."""
    widths = [(k - 1, k - 1) for k in shape_of(y)]
    options = {"constant_values": fillvalue} if boundary == "fill" else {}
    return OPERATIONS["pad"](x, widths, mode=BOUNDARIES[boundary], **options)


def _over_boundary(name: str, x: Any, y: Any, mode: str, boundary: str, fillvalue: Any) -> Any:
    """A convolution, with the rows and columns that SciPy's correlate2d keeps for mode="same"
    counted from the other end."""
    shape, later = shape_of(x), int(name == "correlate2d")
    is_zero = boundary == "fill" and isinstance(fillvalue, int | float) and fillvalue == 0
    if mode == "valid" or is_zero:
        inner = mode if mode == "valid" else "full"
    else:
        inner, x = "valid", _padded(x, y, boundary, fillvalue)
    starts = [(k - 1 + later) // 2 for k in shape_of(y)]

    def record(x: Atom, y: Atom) -> Atom:
        x, y = promote([x, y])
        whole = _convolved(x, y, inner, name)
        if mode != "same":
            return whole
        stops = [i + n for i, n in zip(starts, shape, strict=True)]
        return slice_(whole, tuple(starts), tuple(stops))

    return apply(record, x, y)


@implements(name="scipy.signal.convolve2d")
def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Any:
    """The convolution of two matrices, the first of which goes on beyond its boundary: with
    `fillvalue`, as itself again ("wrap") or mirrored ("symm").

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, k = np.eye(3), np.array([[1.0, -1.0]])
    >>> convolve2d = ad.scipy.signal.convolve2d
    >>> ad.grad(lambda k: (convolve2d(x, k, boundary="wrap") ** 2).sum())(k)
    array([[ 8., -8.]])
    """
    _plane("convolve2d", in1, in2, mode, boundary)
    return _over_boundary("convolve2d", in1, in2, mode, boundary, fillvalue)


@implements(name="scipy.signal.correlate2d")
def correlate2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Any:
    """The correlation of two matrices; see `convolve2d`."""
    _plane("correlate2d", in1, in2, mode, boundary)
    trace = innermost((in1, in2))
    backwards = apply(_reversed, in2, trace=trace)
    if mode == "valid" and not _is_larger("correlate2d", shape_of(in1), shape_of(in2), (0, 1)):
        # SciPy exchanges the two here, and conjugates the first instead of the second.
        in1, backwards = [apply(conjugate, v, trace=trace) for v in (in1, backwards)]
    return _over_boundary("correlate2d", in1, backwards, mode, boundary, fillvalue)
