"""Fourier transforms of values being recorded, as `numpy.fft` and `scipy.fft` share them: the
meaning of their arguments, dtypes, cropping and padding."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, DTypeError
from gpuad.ir.graph import Atom
from gpuad.numpy._dispatch import cast_to, normalize_axis
from gpuad.primitives import elementwise as ew
from gpuad.primitives import fourier
from gpuad.primitives.structure import pad, slice_

Axes = tuple[int, ...]


def floating(v: Atom) -> Atom:
    """The value in the precision in which it is transformed: half as single, integers as double."""
    dtype = v.aval.dtype
    if dtype == np.float16:
        return cast_to(v, np.dtype(np.float32))
    return v if dtype.kind in "fc" else cast_to(v, np.dtype(np.float64))


def _complex(v: Atom) -> Atom:
    v = floating(v)
    return cast_to(v, ew.complex_dtype(v.aval.dtype))


def conjugate(v: Atom) -> Atom:
    return ew.conj(v) if v.aval.dtype.kind == "c" else v


def resized(v: Atom, axes: Axes, lengths: Sequence[int]) -> Atom:
    """The value with these lengths along the axes: the front of it, or zeros behind it."""
    wanted = list(v.aval.shape)
    for axis, n in zip(axes, lengths, strict=True):
        wanted[axis] = n
    kept = tuple(map(min, v.aval.shape, wanted))
    v = slice_(v, (0,) * len(kept), kept)
    if kept == tuple(wanted):
        return v
    high = tuple(map(operator.sub, wanted, kept))
    return pad(v, low=(0,) * len(kept), high=high, step=(1,) * len(kept))


# Arguments


def norm_of(norm: Any, name: str) -> str:
    if norm is not None and norm not in fourier.INVERSE:
        raise ArgumentError(f"{name}: norm={norm!r}; give 'backward', 'ortho' or 'forward'.")
    return norm or "backward"


def one_axis(shape: Axes, n: Any, axis: Any, name: str, half: bool = False) -> tuple[Axes, Axes]:
    """The axis of a transform and its length, each as a tuple. With `half`, the values along the
    axis are half of a spectrum."""
    if not shape:
        raise ArgumentError(f"{name}: a number has no axis to transform; give an array.")
    axis = normalize_axis(axis, len(shape), name)
    if n is None:
        n = 2 * (shape[axis] - 1) if half else shape[axis]
    return (axis,), _checked([operator.index(n)], name, "n")


def _checked(lengths: Sequence[int], name: str, argument: str) -> Axes:
    if any(n < 1 for n in lengths):
        raise ArgumentError(
            f"{name}: a transform of {min(lengths)} elements; give {argument} from 1, or an array "
            "that is not empty along the axis."
        )
    return tuple(lengths)


def _several(given: Any) -> list[Any]:
    return list(given) if isinstance(given, Iterable) else [given]


def several_axes(
    shape: Axes, s: Any, axes: Any, name: str, half: bool = False
) -> tuple[Axes, Axes]:
    """The axes of a transform (in the order given, perhaps some repeatedly) and its lengths."""
    count = len(shape)
    if axes is not None:
        given = _several(axes)
    elif s is not None:
        given = [*range(-len(_several(s)), 0)]
    else:
        given = [*range(count)]
    places = tuple([normalize_axis(axis, count, name) for axis in given])
    if half and not places:
        raise ArgumentError(f"{name}: no axes; give at least one, which has half of the spectrum.")
    sizes = [-1] * len(places) if s is None else _several(s)
    if len(sizes) != len(places):
        raise ArgumentError(
            f"{name}: s={s} has {len(sizes)} lengths and axes={axes} {len(places)} axes; give as "
            "many."
        )
    lengths = [
        shape[axis] if n is None or operator.index(n) == -1 else operator.index(n)
        for axis, n in zip(places, sizes, strict=True)
    ]
    if half and s is None:
        lengths[-1] = 2 * (shape[places[-1]] - 1)
    return places, _checked(lengths, name, "s")


# Transforms. Of an axis that is named repeatedly each turn is a transform of its own, the last
# named one first.


def c2c(v: Atom, axes: Axes, lengths: Axes, inverse: bool, norm: str) -> Atom:
    """The transform of complex values to complex values; no axes, no change."""
    if not axes:
        return v
    v = _complex(v)
    if len(set(axes)) < len(axes):
        for axis, n in zip(axes[::-1], lengths[::-1], strict=True):
            v = c2c(v, (axis,), (n,), inverse, norm)
        return v
    v = resized(v, axes, lengths)
    return fourier.fft(v, axes=axes, inverse=inverse, norm=norm)


def r2c(v: Atom, axes: Axes, lengths: Axes, norm: str, name: str) -> Atom:
    """Half of the spectrum of real values."""
    v = floating(v)
    if v.aval.dtype.kind == "c":
        raise DTypeError(
            f"{name}: the array is {v.aval.dtype}, and a half spectrum is of real values; "
            f"give x.real, or write {name.replace('rfft', 'fft').replace('ihfft', 'ifft')}."
        )
    if len(set(axes)) < len(axes):
        v = r2c(v, axes[-1:], lengths[-1:], norm, name)
        return c2c(v, axes[:-1], lengths[:-1], False, norm)
    return fourier.rfft(resized(v, axes, lengths), axes=axes, norm=norm)


def c2r(v: Atom, axes: Axes, lengths: Axes, norm: str) -> Atom:
    """The real values whose spectrum has these values as its half."""
    v, n = _complex(v), lengths[-1]
    if len(set(axes)) < len(axes):
        v = c2c(v, axes[:-1], lengths[:-1], True, norm)
        return c2r(v, axes[-1:], lengths[-1:], norm)
    v = resized(v, axes, (*lengths[:-1], n // 2 + 1))
    return fourier.irfft(v, axes=axes, n=n, norm=norm)
