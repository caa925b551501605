"""Complex arrays as real ones with one more axis, of their real and imaginary parts, and back.

Both share memory with their operand, if it lies in memory as they need it. Compiled programs
compute on the parts (`transforms.complex_parts`).
"""

from typing import Any

import numpy as np

from gpuad.ir.aval import Aval, real_dtype
from gpuad.ir.primitive import Axes
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import linear


def _lead(operands: Any, outputs: Any) -> Axes:
    n = min(operands[0].ndim, outputs[0].ndim)
    lead = tuple(range(n))
    return Axes(
        (lead + (None,) * (operands[0].ndim - n),), (lead + (None,) * (outputs[0].ndim - n),)
    )


def _pairs_array(xp: Any, x: Any) -> Any:
    x = xp.asarray(x)
    if xp is not np and not x.flags.c_contiguous:
        x = xp.ascontiguousarray(x)  # CuPy takes no other array as one of another dtype
    return x[..., None].view(real_dtype(x.dtype))


def _complex_array(xp: Any, x: Any) -> Any:
    x = xp.asarray(x)
    dense = x.strides[-1] == x.dtype.itemsize if xp is np else x.flags.c_contiguous
    x = x if dense else xp.ascontiguousarray(x)
    return x.view(ew.complex_dtype(x.dtype))[..., 0]


# The transposes are those of `real` and `imag`: no conjugate is taken in the products that a
# cotangent stands for, so a cotangent (p, q) of the parts is that of p - iq for the whole.
as_pairs = linear(
    "as_pairs",
    infer=lambda x: Aval((*x.shape, 2), real_dtype(x.dtype)),
    run=_pairs_array,
    axes=_lead,
    transpose=lambda ct, x: ew.conj(from_pairs(ct)),
    lift=lambda size: {},
    aliases=True,
    workspace=0.0,
)
from_pairs = linear(
    "from_pairs",
    infer=lambda x: Aval(x.shape[:-1], ew.complex_dtype(x.dtype)),
    run=_complex_array,
    axes=_lead,
    transpose=lambda ct, x: as_pairs(ew.conj(ct)),
    lift=lambda size: {},
    aliases=True,
    workspace=0.0,
)
