"""Direct convolutions along several axes.

`convolve_full` sums x[i] y[n − i] for every n, `correlate_valid` sums z[n + j] y[j] where y lies
inside of z. They are each other's derivatives. The first `batch` axes of both operands go together.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Axes, Primitive
from gpuad.primitives.declare import bilinear, with_leading_axis
from gpuad.primitives.marked import with_marks
from gpuad.primitives.structure import expand

Shape = tuple[int, ...]

MOST_PASSES = 2000
"""Of up to so many sums or factors each gets a pass over whole arrays, which NumPy does ten times
as fast as SciPy its loops (14 against 142 ms for 7 x 7 elements in 512 x 512)."""
LEAST_ROW = 256
"""Rows from this length are convolved one by one: 2 ms for 100 rows of 10,000, not 20."""


def _window(batch: int, place: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """The window of this shape at a place, behind `batch` whole axes."""
    inner = [slice(i, i + n) for i, n in zip(place, shape, strict=True)]
    return (*[slice(None)] * batch, *inner)


def _is_row(x: Any, y: Any, batch: int) -> bool:
    """Whether each of many long rows meets the same few elements."""
    return not batch and y.size == y.shape[-1] and x.shape[-1] >= LEAST_ROW


def _in_rows(function: Callable[..., Any], x: Any, y: Any, shape: Shape) -> Any:
    out, line = np.empty(shape, x.dtype), y.reshape(-1)
    for place in np.ndindex(shape[:-1]):
        out[place] = function(x[place], line)
    return out


def _of_each(function: Callable[..., Any], x: Any, y: Any, out: Any, batch: int) -> Any:
    """`out`, with a function of the arrays that go together."""
    for place in np.ndindex(out.shape[:batch]):
        out[place] = function(x[place], y[place])
    return out


def _library(xp: Any) -> Any:
    if xp is np:
        import scipy.signal

        return scipy.signal
    import cupyx.scipy.signal

    return cupyx.scipy.signal


# convolve_full


def _full_shape(x: Any, y: Any, batch: int) -> Shape:
    inner = zip(x.shape[batch:], y.shape[batch:], strict=True)
    return (*x.shape[:batch], *[n + k - 1 for n, k in inner])


def _full_array(xp: Any, x: Any, y: Any, batch: int) -> Any:
    if x.size < y.size:
        x, y = y, x
    shape, factors = _full_shape(x, y, batch), y.shape[batch:]
    if xp is np and x.ndim == 1:
        return np.convolve(x, y)
    if xp is np and _is_row(x, y, batch):
        return _in_rows(np.convolve, x, y, shape)
    out = xp.zeros(shape, x.dtype)
    if not y.size:
        return out
    if math.prod(factors) > MOST_PASSES or (xp is not np and not batch):
        convolve = _library(xp).convolve
        return _of_each(lambda x, y: convolve(x, y, "full", "direct"), x, y, out, batch)
    for place in np.ndindex(factors):
        one = y[_window(batch, place, (1,) * len(place))]
        out[_window(batch, place, x.shape[batch:])] += x * one
    return out


def _full_axes(operands: Any, outputs: Any, batch: int) -> Axes:
    """Along an axis of size 1 of one operand, the elements of the other stay apart."""
    labels = []
    for i, (n, k) in enumerate(zip(*[x.shape for x in operands], strict=True)):
        alone = (i, None, i) if k == 1 else (None, i, i) if n == 1 else (None, None, None)
        labels.append((i, i, i) if i < batch else alone)
    x, y, out = [tuple([row[k] for row in labels]) for k in range(3)]
    return Axes((x, y), (out,))


def _batched(primitive: Any, size: int, operands: Any, mapped: Any, batch: int, may: Any) -> Any:
    """One more axis in front. Without other axes in front, it may belong to one operand alone: then
    the other one gets an axis of size 1."""
    if not batch and tuple(mapped) in may:
        x, y = [x if m else expand(x, (0,)) for x, m in zip(operands, mapped, strict=True)]
        return primitive(x, y, batch=0), True
    x, y = [with_leading_axis(size, x, m) for x, m in zip(operands, mapped, strict=True)]
    return primitive(x, y, batch=batch + 1), True


def _full_workspace(e: Equation, operands: Sequence[Any]) -> int:
    """A product of all elements and a factor; SciPy's padded copies; rows that are put together; or
    for lines the dense copies that NumPy's inner loop takes."""
    (v,) = e.outputs
    inputs = [x.aval.nbytes for x in e.operands]
    return sum(inputs) if v.aval.ndim == 1 else 2 * v.aval.nbytes


convolve_full = bilinear(
    "convolve_full",
    infer=lambda x, y, batch: Aval(_full_shape(x, y, batch), x.dtype),
    run=_full_array,
    axes=_full_axes,
    transpose_x=lambda ct, x, y, batch: correlate_valid(ct, y, batch=batch),
    transpose_y=lambda ct, x, y, batch: correlate_valid(ct, x, batch=batch),
    batch=lambda size, operands, mapped, params: _batched(
        convolve_full, size, operands, mapped, params["batch"], ((True, False), (False, True))
    ),
    workspace=_full_workspace,
)


# correlate_valid


def _valid_shape(z: Any, y: Any, batch: int) -> Shape:
    inner = zip(z.shape[batch:], y.shape[batch:], strict=True)
    return (*z.shape[:batch], *[n - k + 1 for n, k in inner])


def _conj(x: Any) -> Any:
    return x.conj() if x.dtype.kind == "c" else x


def _correlate(z: Any, y: Any) -> Any:
    return np.correlate(z, _conj(y), "valid")


def _valid_array(xp: Any, z: Any, y: Any, batch: int) -> Any:
    shape = _valid_shape(z, y, batch)
    sums, factors = shape[batch:], y.shape[batch:]
    if xp is np and z.ndim == 1:
        return _correlate(z, y)
    if xp is np and _is_row(z, y, batch):
        return _in_rows(_correlate, z, y, shape)
    out = xp.zeros(shape, z.dtype)
    few_sums = math.prod(sums) < math.prod(factors)
    if not z.size:
        return out
    if min(math.prod(sums), math.prod(factors)) > MOST_PASSES or not (xp is np or few_sums):
        correlate = _library(xp).correlate
        return _of_each(lambda z, y: correlate(z, _conj(y), "valid", "direct"), z, y, out, batch)
    inner = tuple(range(batch, z.ndim))
    for place in np.ndindex(sums if few_sums else factors):
        here = _window(batch, place, (1,) * len(place))
        if few_sums:
            out[here] = (z[_window(batch, place, factors)] * y).sum(inner, keepdims=True)
        else:
            out += z[_window(batch, place, sums)] * y[here]
    return out


def _valid_axes(operands: Any, outputs: Any, batch: int) -> Axes:
    z, y = operands
    shared = tuple([i if i < batch else None for i in range(z.ndim)])
    alone = tuple([i if i < batch or k == 1 else None for i, k in enumerate(y.shape)])
    return Axes((alone, shared), (alone,))


def _valid_workspace(e: Equation, operands: Sequence[Any]) -> int:
    (v,) = e.outputs
    inputs = [x.aval.nbytes for x in e.operands]
    return sum(inputs) if v.aval.ndim == 1 else sum(inputs) + v.aval.nbytes


correlate_valid = bilinear(
    "correlate_valid",
    infer=lambda z, y, batch: Aval(_valid_shape(z, y, batch), z.dtype),
    run=_valid_array,
    axes=_valid_axes,
    transpose_x=lambda ct, z, y, batch: convolve_full(ct, y, batch=batch),
    transpose_y=lambda ct, z, y, batch: correlate_valid(z, ct, batch=batch),
    batch=lambda size, operands, mapped, params: _batched(
        correlate_valid, size, operands, mapped, params["batch"], ((True, False),)
    ),
    workspace=_valid_workspace,
)


# The same with marks.


def _marked(name: str, plain: Primitive) -> Primitive:
    return with_marks(name, plain, lift=lambda size, batch: {"batch": batch + 1})


convolve_kept = _marked("convolve_kept", convolve_full)
correlate_kept = _marked("correlate_kept", correlate_valid)
