"""Discrete Fourier transforms under the names of `numpy.fft`.

A recorded transform is SciPy's on the CPU and cuFFT's on a GPU (through `cupy.fft`). Its derivative
is a transform again.
"""

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import into, shape_of
from gpuad.numpy._dispatch import cast_to, implements, normalize_axis
from gpuad.numpy._fourier import c2c, c2r, conjugate, norm_of, one_axis, r2c, several_axes
from gpuad.numpy._missing import only
from gpuad.primitives.fourier import INVERSE
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS


def _real_of(given: Atom, v: Atom, axes: Any, lengths: Any, norm: str) -> Atom:
    """The real values of a half spectrum, which NumPy keeps in half precision."""
    result = c2r(v, axes, lengths, norm)
    half = given.aval.dtype == np.float16 and len(axes) == 1
    return cast_to(result, given.aval.dtype) if half else result


# One axis


@implements(np.fft.fft, name="fft.fft")
def fft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """The discrete Fourier transform along an axis, of its first n elements or with zeros behind.

    ``y[k] = Σ_j x[j] exp(−2πi jk/n)``, which norm="ortho" divides by √n and "forward" by n. Half
    and single precision give complex64, everything else complex128.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> power = lambda x: (abs(np.fft.fft(x)) ** 2).sum()
    >>> ad.grad(power)(np.array([1.0, 2.0, 3.0, 4.0]))  # Parseval: 2 n x
    array([ 8., 16., 24., 32.])
    """
    axes, lengths = one_axis(shape_of(a), n, axis, "fft")
    norm = norm_of(norm, "fft")
    return into(apply(lambda v: c2c(v, axes, lengths, False, norm), a), out)


@implements(np.fft.ifft, name="fft.ifft")
def ifft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `fft`."""
    axes, lengths = one_axis(shape_of(a), n, axis, "ifft")
    norm = norm_of(norm, "ifft")
    return into(apply(lambda v: c2c(v, axes, lengths, True, norm), a), out)


@implements(np.fft.rfft, name="fft.rfft")
def rfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """The first n // 2 + 1 elements of the transform of real values; the others are their
    conjugates."""
    axes, lengths = one_axis(shape_of(a), n, axis, "rfft")
    norm = norm_of(norm, "rfft")
    return into(apply(lambda v: r2c(v, axes, lengths, norm, "rfft"), a), out)


@implements(np.fft.irfft, name="fft.irfft")
def irfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfft`: n real values (by default an even number of them).

    The imaginary parts of the first element and, for an even n, of the last one do not count.
    """
    axes, lengths = one_axis(shape_of(a), n, axis, "irfft", half=True)
    norm = norm_of(norm, "irfft")
    return into(apply(lambda v: _real_of(v, v, axes, lengths, norm), a), out)


@implements(np.fft.hfft, name="fft.hfft")
def hfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """The n real values of the spectrum of a signal that is its own conjugate backwards, from the
    first half of the signal."""
    axes, lengths = one_axis(shape_of(a), n, axis, "hfft", half=True)
    norm = INVERSE[norm_of(norm, "hfft")]
    return into(apply(lambda v: _real_of(v, conjugate(v), axes, lengths, norm), a), out)


@implements(np.fft.ihfft, name="fft.ihfft")
def ihfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `hfft`."""
    axes, lengths = one_axis(shape_of(a), n, axis, "ihfft")
    norm = INVERSE[norm_of(norm, "ihfft")]
    return into(apply(lambda v: conjugate(r2c(v, axes, lengths, norm, "ihfft")), a), out)


# Several axes


@implements(np.fft.fftn, name="fft.fftn")
def fftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """The Fourier transform along several axes (all by default), with the lengths s."""
    places, lengths = several_axes(shape_of(a), s, axes, "fftn")
    norm = norm_of(norm, "fftn")
    return into(apply(lambda v: c2c(v, places, lengths, False, norm), a), out)


@implements(np.fft.ifftn, name="fft.ifftn")
def ifftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `fftn`."""
    places, lengths = several_axes(shape_of(a), s, axes, "ifftn")
    norm = norm_of(norm, "ifftn")
    return into(apply(lambda v: c2c(v, places, lengths, True, norm), a), out)


@implements(np.fft.rfftn, name="fft.rfftn")
def rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """The Fourier transform of real values along several axes: half of it along the last one."""
    places, lengths = several_axes(shape_of(a), s, axes, "rfftn")
    _check_some(places, "rfftn")
    norm = norm_of(norm, "rfftn")
    return into(apply(lambda v: r2c(v, places, lengths, norm, "rfftn"), a), out)


@implements(np.fft.irfftn, name="fft.irfftn")
def irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfftn`."""
    places, lengths = several_axes(shape_of(a), s, axes, "irfftn", half=True)
    norm = norm_of(norm, "irfftn")
    return into(apply(lambda v: _real_of(v, v, places, lengths, norm), a), out)


def _check_some(axes: tuple[int, ...], name: str) -> None:
    if not axes:
        raise ArgumentError(f"{name}: no axes; give at least one, which gets half of the spectrum.")


@implements(np.fft.fft2, name="fft.fft2")
def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """The Fourier transform along the last two axes."""
    return fftn(a, s, axes, norm, out)


@implements(np.fft.ifft2, name="fft.ifft2")
def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """The inverse of `fft2`."""
    return ifftn(a, s, axes, norm, out)


@implements(np.fft.rfft2, name="fft.rfft2")
def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """The Fourier transform of real values along the last two axes."""
    return rfftn(a, s, axes, norm, out)


@implements(np.fft.irfft2, name="fft.irfft2")
def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfft2`."""
    return irfftn(a, s, axes, norm, out)


# Order of frequencies


def _shifted(x: Any, axes: Any, sign: int, name: str) -> Any:
    shape = shape_of(x)
    given = range(len(shape)) if axes is None else np.atleast_1d(axes).tolist()
    places = [normalize_axis(axis, len(shape), name) for axis in given]
    shifts = tuple([sign * (shape[axis] // 2) for axis in places])
    return OPERATIONS["roll"](x, shifts, tuple(places)) if places else apply(lambda v: v, x)


@implements(np.fft.fftshift, name="fft.fftshift")
def fftshift(x: Any, axes: Any = None) -> Any:
    """The frequency zero moved to the middle of axes (all by default)."""
    return _shifted(x, axes, 1, "fftshift")


@implements(np.fft.ifftshift, name="fft.ifftshift")
def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return _shifted(x, axes, -1, "ifftshift")


def _count_of(n: Any, name: str) -> int:
    if not hasattr(n, "__index__") or operator.index(n) < 1:
        raise ArgumentError(f"{name}: n={n!r:.40}; give a number of samples, an int from 1.")
    return operator.index(n)


@implements(name="fft.fftfreq")
def fftfreq(n: Any, d: Any = 1.0, device: Any = None, *, dtype: Any = None) -> Any:
    """The frequencies of a transform of n samples at distances d (which may be traced)."""
    n = _count_of(n, "fftfreq")
    found = np.fft.fftfreq(n, 1.0 / n) * (1.0 / (n * d))
    return found if dtype is None else found.astype(dtype)


@implements(name="fft.rfftfreq")
def rfftfreq(n: Any, d: Any = 1.0, device: Any = None, *, dtype: Any = None) -> Any:
    """The first n // 2 + 1 frequencies, those of `rfft`."""
    n = _count_of(n, "rfftfreq")
    found = np.fft.rfftfreq(n, 1.0 / n) * (1.0 / (n * d))
    return found if dtype is None else found.astype(dtype)


__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift",
    "ihfft", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute
    __getattr__, __dir__ = only(__name__, __all__)
