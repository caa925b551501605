"""Recursive filters: y[n] = x[n] − Σ_k a[k] y[n − k] along the last axis."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Axes, zeros
from gpuad.primitives import elementwise as ew
from gpuad.primitives.convolution import convolve_full
from gpuad.primitives.declare import differentiable, with_leading_axis
from gpuad.primitives.structure import concatenate, expand, flip, slice_axis


def moving_sums(b: Any, x: Any, batch: int = 0) -> Any:
    """y[n] = Σ_k b[k] x[n − k] along the last axis, with zeros before the first element. The first
    `batch` axes of both go together; `b` has one more."""
    inner = x.aval.ndim - batch
    axes = tuple(range(batch, batch + inner - 1))
    return convolve_full(x, expand(b, axes), batch=batch)


def _filtered(xp: Any, a: Any, x: Any, batch: int) -> Any:
    if not x.size or not a.shape[-1]:
        return x.copy()
    if xp is np:
        from scipy.signal import lfilter
    else:
        from cupyx.scipy.signal import lfilter

    one = xp.ones(1, x.dtype)
    if not batch:
        return lfilter(one, xp.concatenate((one, a)), x)
    out = xp.empty(x.shape, x.dtype)
    for place in np.ndindex(x.shape[:batch]):
        out[place] = lfilter(one, xp.concatenate((one, a[place])), x[place])
    return out


def _axes(operands: Any, outputs: Any, batch: int) -> Axes:
    x = outputs[0]
    labels = (*range(x.ndim - 1), None)
    return Axes(((*range(batch), None), labels), (labels,))


def _jvp(primals: Any, tangents: Any, out: Any, batch: int) -> Any:
    (a, _), (a_dot, x_dot) = primals, tangents
    if a_dot is not None:
        last, n = out.aval.ndim - 1, out.aval.shape[-1]
        delayed = concatenate(_first_zero(a_dot), a_dot, axis=batch)
        source = ew.neg(slice_axis(moving_sums(delayed, out, batch), last, 0, n))
        x_dot = source if x_dot is None else ew.add(x_dot, source)
    return recursive_filter(a, x_dot, batch=batch)


def _first_zero(a: Any) -> Any:
    return zeros(Aval((*a.aval.shape[:-1], 1), a.aval.dtype))


def _transpose(ct: Any, a: Any, x: Any, batch: int) -> Any:
    """The same filter from the other end."""
    if not isinstance(a, Var):
        return None, None
    axes = (ct.aval.ndim - 1,)
    return None, flip(recursive_filter(a, flip(ct, axes=axes), batch=batch), axes=axes)


def _batch(size: int, operands: Sequence[Any], mapped: Sequence[bool], params: dict) -> Any:
    a, x = operands
    if not mapped[0] and not params["batch"]:
        return recursive_filter(a, x, batch=0), True
    a, x = [with_leading_axis(size, v, m) for v, m in zip(operands, mapped, strict=True)]
    return recursive_filter(a, x, batch=params["batch"] + 1), True


def _workspace(e: Any, operands: Sequence[Any]) -> int:
    """The result for one set of coefficients, of several."""
    return e.outputs[0].aval.nbytes if e.params["batch"] else 0


# The operand `a` has the coefficients from a[1], with a[0] = 1, for each index of the first `batch`
# axes, which x has, too.
recursive_filter = differentiable(
    "recursive_filter",
    infer=lambda a, x, batch: x,
    run=_filtered,
    axes=_axes,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    workspace=_workspace,
)
