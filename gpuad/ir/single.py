"""Operations on half precision, done in float32."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import GpuadError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Equation
from gpuad.ir.half import is_bfloat16, is_half, widened
from gpuad.ir.primitive import Role

MOVES = (Role.VIEW, Role.COPY, Role.GATHER)
"""The roles of operations that move elements as they are stored."""
AS_NUMPY = (Role.ELEMENTWISE, Role.SORT, Role.UPDATE)
"""The roles of operations that NumPy itself does well in float16: those of single elements it
computes in float32 and rounds."""


def has_half(e: Equation) -> bool:
    """Whether an operand or a result is in half precision."""
    return any(is_half(x.aval.dtype) for x in (*e.operands, *e.outputs))


def wide_params(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters, with float32 for a dtype of half precision."""
    return {k: widened(p) if isinstance(p, np.dtype) else p for k, p in params.items()}


def computes_in_single(e: Equation) -> bool:
    """Whether an operation can be done in float32 in place of half precision: its results then have
    the same types, with float32 in place of half precision."""
    p = e.primitive
    if p.held or p.calls_user or p.converts or p.by_precision or not e.operands:
        return False
    avals = [Aval(x.aval.shape, widened(x.aval.dtype), x.aval.weak) for x in e.operands]
    try:
        found = p.infer(*avals, **wide_params(e.params))
    except GpuadError:
        return False
    made = found if p.multiple else (found,)
    wanted = [(v.aval.shape, widened(v.aval.dtype)) for v in e.outputs]
    return [(a.shape, a.dtype) for a in made] == wanted


def runs_in_single(e: Equation) -> bool:
    """Whether an operation on whole arrays converts half precision to float32, and its result
    back."""
    if not has_half(e):
        return False
    library = any(is_bfloat16(x.aval.dtype) for x in (*e.operands, *e.outputs))
    kept = MOVES if library else (*MOVES, *AS_NUMPY)
    return e.primitive.role not in kept and computes_in_single(e)


def implementation(e: Equation, xp: Any) -> Callable[..., Any]:
    """The function of arrays that computes an equation in namespace `xp`.

    What adds up many elements in half precision does it in float32, and rounds the result.
    """
    if not runs_in_single(e):
        return e.primitive.implementation(xp, e.params)
    inner = e.primitive.implementation(xp, wide_params(e.params))
    dtypes = [v.aval.dtype for v in e.outputs]

    def in_single(*arrays: Any) -> Any:
        found = inner(*[x.astype(widened(x.dtype), copy=False) for x in arrays])
        if not e.primitive.multiple:
            return found.astype(dtypes[0], copy=False)
        return tuple([x.astype(d, copy=False) for x, d in zip(found, dtypes, strict=True)])

    return in_single
