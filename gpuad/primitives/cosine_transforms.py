"""Discrete cosine and sine transforms of types I to IV, as defined by `scipy.fft.dct` and `dst`.

A type and the type of its inverse have matrices that are each other's transposes, apart from the
weights of the first (cosine) or last (sine) elements. Those weights are 1 if `ortho`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.aval import Aval
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import linear
from gpuad.primitives.fourier import apart_from, shift_axes, times_runs, work_area

TRANSPOSED = {1: 1, 2: 3, 3: 2, 4: 4}
"""The type of the inverse, up to a factor."""


def _infer(kind: str) -> Callable[..., Aval]:
    def infer(x: Aval, type: int, axes: tuple[int, ...], **params: Any) -> Aval:
        if kind == "dct" and type == 1 and any(x.shape[a] < 2 for a in axes):
            raise ArgumentError(
                f"dct: type=1 of an array of shape {x.shape} along {axes}; give at least two "
                "elements along an axis, or another type."
            )
        return x

    return infer


def _of_parts(function: Callable[..., Any], xp: Any, x: Any) -> Any:
    """A real linear function of the real and the imaginary part."""
    if x.dtype.kind != "c":
        return function(x)
    out = xp.empty(x.shape, x.dtype)
    out.real[...], out.imag[...] = function(x.real), function(x.imag)
    return out


def _run(kind: str) -> Callable[..., Any]:
    def run(xp: Any, x: Any, type: int, axes: Any, norm: str, ortho: bool) -> Any:
        if not x.size:
            return x.copy()
        if xp is not np:
            options = {"type": type, "norm": norm, "ortho": ortho}
            return _of_parts(lambda x: _by_axes(xp, kind, x, axes, **options), xp, x)
        import scipy.fft

        transform = scipy.fft.dctn if kind == "dct" else scipy.fft.dstn
        options = {"type": type, "axes": axes, "norm": norm, "orthogonalize": ortho}
        return _of_parts(lambda x: transform(x, **options), xp, x)

    return run


# CuPy has the types 2 and 3, and no `orthogonalize`. The others are made of Fourier transforms of
# an array that is continued to twice its length.


def _by_axes(xp: Any, kind: str, x: Any, axes: Sequence[int], **options: Any) -> Any:
    for axis in axes:
        x = xp.moveaxis(_along_last(xp, kind, xp.moveaxis(x, axis, -1), **options), -1, axis)
    return x


def _along_last(xp: Any, kind: str, x: Any, type: int, norm: str, ortho: bool) -> Any:
    root = math.sqrt(2)
    before, after = _weights(kind, type, root), _weights(kind, TRANSPOSED[type], 1 / root)
    size = 2 * (x.shape[-1] + (0 if type != 1 else -1 if kind == "dct" else 1))
    factor = {"backward": 1.0, "ortho": 1 / math.sqrt(size), "forward": 1 / size}[norm]
    x = _without_factor(xp, kind, _times(xp, x, *before) if ortho and before else x, type)
    return (_times(xp, x, *after) if ortho and after else x) * x.dtype.type(factor)


def _times(xp: Any, x: Any, first: float, last: float) -> Any:
    x = x.copy()
    x[..., 0] *= x.dtype.type(first)
    x[..., -1] *= x.dtype.type(last)
    return x


def _without_factor(xp: Any, kind: str, x: Any, type: int) -> Any:
    """The transform along the last axis."""
    if type in (2, 3):
        import cupyx.scipy.fft

        return getattr(cupyx.scipy.fft, kind)(x, type=type, axis=-1)
    return continued(xp, kind, x, type)


def continued(xp: Any, kind: str, x: Any, type: int) -> Any:
    """The types 1 and 4 along the last axis, by a Fourier transform of twice the length."""
    n, backwards = x.shape[-1], x[..., ::-1]
    if type == 1:
        zero = xp.zeros((*x.shape[:-1], 1), x.dtype)
        if kind == "dct":
            return xp.fft.rfft(xp.concatenate((x, backwards[..., 1:-1]), -1)).real.astype(x.dtype)
        odd = xp.fft.rfft(xp.concatenate((zero, x, zero, -backwards), -1))
        return -odd[..., 1 : n + 1].imag.astype(x.dtype)
    turn = xp.exp(-0.5j * math.pi / n * xp.arange(n))
    twice = 2 * turn * complex(math.cos(0.25 * math.pi / n), -math.sin(0.25 * math.pi / n))
    precision = ew.complex_dtype(x.dtype)
    spectrum = xp.fft.fft(x * turn.astype(precision), 2 * n)[..., :n] * twice.astype(precision)
    return (spectrum.real if kind == "dct" else -spectrum.imag).astype(x.dtype)


# The transpose


def _weights(kind: str, type: int, weight: float) -> tuple[float, float] | None:
    """The weights of the first and the last of the elements that a transform of this type takes,
    relative to those of the others; None if they are equal."""
    if kind == "dct":
        return {1: (weight, weight), 3: (weight, 1.0)}.get(type)
    return (1.0, weight) if type == 3 else None


def _ends_times(x: Any, axis: int, first: float, last: float) -> Any:
    n = x.aval.shape[axis]
    return times_runs(
        x, axis, [(1, first * last)] if n == 1 else [(1, first), (n - 2, 1.0), (1, last)]
    )


def _transpose(kind: str) -> Callable[..., Any]:
    def transpose(ct: Any, x: Aval, type: int, axes: Any, norm: str, ortho: bool) -> Any:
        other = TRANSPOSED[type]
        before, after = _weights(kind, other, 2.0), _weights(kind, type, 0.5)
        if before is not None and not ortho:
            for axis in axes:
                ct = _ends_times(ct, axis, *before)
        primitive = dct if kind == "dct" else dst
        out = primitive(ct, type=other, axes=axes, norm=norm, ortho=ortho)
        if after is not None and not ortho:
            for axis in axes:
                out = _ends_times(out, axis, *after)
        return out

    return transpose


def _workspace(e: Any, operands: Sequence[Any]) -> int:
    """The parts of a complex value are transformed one after the other."""
    x = e.operands[0].aval
    return x.nbytes if x.dtype.kind == "c" else 0


def _gpu_workspace(
    operands: Sequence[Aval], outputs: Sequence[Aval], axes: tuple[int, ...], **params: Any
) -> int:
    """Complex arrays of twice the length: the continued operand, its copy, its transform, products
    of it, and the work area of cuFFT."""
    (x,) = operands
    lengths = [x.shape[a] + k for a in axes for k in (-1, 0, 1)]
    return (5 + work_area(lengths)) * 2 * 2 * x.nbytes


def _declared(kind: str) -> Any:
    return linear(
        kind,
        infer=_infer(kind),
        run=_run(kind),
        axes=apart_from,
        transpose=_transpose(kind),
        lift=shift_axes,
        shows_nan=True,
        workspace=_workspace,
        gpu_workspace=_gpu_workspace,
    )


dct = _declared("dct")
dst = _declared("dst")
