"""Discrete Fourier transforms: of complex values, of real ones to half of their spectrum, and back.

Along each of `axes`, Y[k] = Σ_j exp(∓2πi jk/n) x[j], times a factor by `norm` as in NumPy. The
matrix of a transform is symmetric, so its transpose (without conjugation) is the transform itself;
those of the half spectrum follow from Y[n − k] = conj(Y[k]).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval, real_dtype
from gpuad.ir.primitive import Axes, full
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import linear
from gpuad.primitives.structure import broadcast, concatenate

Shape = tuple[int, ...]

INVERSE = {"backward": "forward", "ortho": "ortho", "forward": "backward"}
"""The norm by which a transform in the other direction has the same factor."""


def apart_from(operands: Any, outputs: Any, axes: Shape, **params: Any) -> Axes:
    """Every axis is independent apart from those that are transformed."""
    labels = tuple([None if i in axes else i for i in range(outputs[0].ndim)])
    return Axes((labels,), (labels,))


def shift_axes(size: int, axes: Shape, **params: Any) -> dict:
    return {"axes": tuple([a + 1 for a in axes]), **params}


def library(xp: Any) -> Any:
    """SciPy's transforms for arrays of NumPy: along several axes they take half the time of NumPy's
    (16 against 37 ms for 1024 x 1024) and no array besides the result."""
    if xp is not np:
        return xp.fft
    import scipy.fft

    return scipy.fft


def _resized(shape: Shape, axis: int, n: int) -> Shape:
    return (*shape[:axis], n, *shape[axis + 1 :])


# Memory. SciPy allocates the result, and buffers of one line outside of NumPy's memory.
#
# cuFFT needs a work area: of as many complex elements as are transformed at least, and of 8 times
# as many at most (cuFFT API reference, on plans). It is small for lengths whose prime factors are
# 2, 3, 5 and 7. CuPy allocates it with the plan, and keeps the last 16 plans for each device and
# thread (cupy.fft.config.get_plan_cache), so it stays allocated. CuPy copies an operand that is not
# dense along the transformed axes, or that cuFFT would overwrite; where its axes do not fit one
# plan, it transforms one axis after the other, which needs an array in between.

WORST_WORK_AREA = 8


def work_area(lengths: Sequence[int]) -> int:
    """How many times as large as the transformed values it may be."""
    return 1 if all(map(_is_smooth, lengths)) else WORST_WORK_AREA


def _is_smooth(n: int) -> bool:
    for p in (2, 3, 5, 7):
        while n % p == 0 and n > 1:
            n //= p
    return n <= 1


def _gpu_workspace(operands: Sequence[Aval], outputs: Sequence[Aval], axes: Shape, **_: Any) -> int:
    (x,), (y,) = operands, outputs
    real = x if x.dtype.kind == "f" else y
    item = max(x.dtype.itemsize, y.dtype.itemsize)
    return (2 + work_area([real.shape[a] for a in axes])) * item * max(x.size, y.size)


# fft: complex to complex.


def _fft_array(xp: Any, x: Any, axes: Shape, inverse: bool, norm: str) -> Any:
    if not x.size or not axes:
        return x.copy()
    functions = library(xp)
    if len(axes) == 1:
        return (functions.ifft if inverse else functions.fft)(x, axis=axes[0], norm=norm)
    return (functions.ifftn if inverse else functions.fftn)(x, axes=axes, norm=norm)


MANY_VALUES = 1 << 16
"""With so many values several threads are faster than one."""


def _fft_into(x: Any, out: Any, threads: int, axes: Shape, inverse: bool, norm: str) -> None:
    """The transform in memory that is given: a copy of the operand is overwritten."""
    np.copyto(out, x)
    if not x.size or not axes:
        return
    function = library(np).ifftn if inverse else library(np).fftn
    workers = threads if x.size >= MANY_VALUES else 1
    found = function(out, axes=axes, norm=norm, overwrite_x=True, workers=workers)
    if not np.may_share_memory(found, out):
        np.copyto(out, found)


fft = linear(
    "fft",
    infer=lambda x, axes, inverse, norm: x,
    run=_fft_array,
    axes=apart_from,
    transpose=lambda ct, x, **params: fft(ct, **params),
    lift=shift_axes,
    shows_nan=True,
    into=_fft_into,
    workspace=0.0,
    gpu_workspace=_gpu_workspace,
)


# rfft: real values to the first n // 2 + 1 elements along the last of the axes, irfft: back to n
# real values. What the half spectrum leaves out is the conjugate of what it has, apart from the
# first element and, for an even n, the last one: those stand alone.


def times_runs(x: Any, axis: int, runs: Iterable[tuple[int, float]]) -> Any:
    """The value times weights along an axis, given as lengths of equal ones with their weight."""
    parts = [full(Aval((count,), x.aval.dtype), weight) for count, weight in runs if count > 0]
    weights = concatenate(*parts, axis=0) if len(parts) > 1 else parts[0]
    return ew.mul(x, broadcast(weights, shape=x.aval.shape, dims=(axis,)))


def _inner_times(x: Any, factor: float, axis: int, n: int) -> Any:
    """The elements of a half spectrum that stand for two of n, times a factor."""
    last = int(n % 2 == 0)
    counts = (1, x.aval.shape[axis] - 1 - last, last)
    return times_runs(x, axis, zip(counts, (1, factor, 1), strict=True))


def _rfft_infer(x: Aval, axes: Shape, norm: str) -> Aval:
    half = x.shape[axes[-1]] // 2 + 1
    return Aval(_resized(x.shape, axes[-1], half), ew.complex_dtype(x.dtype))


def _rfft_array(xp: Any, x: Any, axes: Shape, norm: str) -> Any:
    if not x.size:
        aval = _rfft_infer(Aval(x.shape, x.dtype), axes, norm)
        return xp.zeros(aval.shape, aval.dtype)
    if len(axes) == 1:
        return library(xp).rfft(x, axis=axes[0], norm=norm)
    return library(xp).rfftn(x, axes=axes, norm=norm)


def _rfft_transpose(ct: Any, x: Aval, axes: Shape, norm: str) -> Any:
    """Σ_k Re(ct[k] exp(−2πi jk/n)), over the half spectrum."""
    n = x.shape[axes[-1]]
    halved = _inner_times(ew.conj(ct), 0.5, axes[-1], n)
    return irfft(halved, axes=axes, n=n, norm=INVERSE[norm])


rfft = linear(
    "rfft",
    infer=_rfft_infer,
    run=_rfft_array,
    axes=apart_from,
    transpose=_rfft_transpose,
    lift=shift_axes,
    shows_nan=True,
    workspace=0.0,
    gpu_workspace=_gpu_workspace,
)


def _irfft_infer(x: Aval, axes: Shape, n: int, norm: str) -> Aval:
    return Aval(_resized(x.shape, axes[-1], n), real_dtype(x.dtype))


def _irfft_array(xp: Any, x: Any, axes: Shape, n: int, norm: str) -> Any:
    """The axes before the last one are transformed by themselves: cuFFT's transform to real values
    along several axes takes a symmetry along each for granted."""
    if not x.size:
        aval = _irfft_infer(Aval(x.shape, x.dtype), axes, n, norm)
        return xp.zeros(aval.shape, aval.dtype)
    if len(axes) > 1:
        x = _fft_array(xp, x, axes[:-1], True, norm)
    return library(xp).irfft(x, n=n, axis=axes[-1], norm=norm)


def _irfft_transpose(ct: Any, x: Aval, axes: Shape, n: int, norm: str) -> Any:
    """The conjugate spectrum of ct, where elements that stand for two count twice."""
    return _inner_times(ew.conj(rfft(ct, axes=axes, norm=INVERSE[norm])), 2.0, axes[-1], n)


def _irfft_workspace(e: Any, operands: Sequence[Any]) -> int:
    return e.operands[0].aval.nbytes if len(e.params["axes"]) > 1 else 0


irfft: Callable[..., Any] = linear(
    "irfft",
    infer=_irfft_infer,
    run=_irfft_array,
    axes=apart_from,
    transpose=_irfft_transpose,
    lift=shift_axes,
    workspace=_irfft_workspace,
    gpu_workspace=_gpu_workspace,
)
