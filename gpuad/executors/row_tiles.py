"""The equation of a library call for fewer rows."""

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Equation, Literal, Var
from gpuad.plan.plan import SweepEquation


def acts_on_pieces(s: SweepEquation, rows: int) -> bool:
    """Whether the same equation is legal for fewer rows."""
    n = min(rows, max(1, rows // 2))
    tile = equation_of(s, n)
    try:
        aval = tile.primitive.infer(*[x.aval for x in tile.operands], **tile.params)
    except (TypeError, ValueError, IndexError, AssertionError):
        return False
    (v,) = tile.outputs
    return aval.shape == v.aval.shape and aval.dtype == v.aval.dtype


def equation_of(s: SweepEquation, n: int) -> Equation:
    """The equation for so many rows."""
    e = s.equation
    operands = [
        x if type(x) is Literal or u.axis is None else Var(_with_rows(x.aval, u.axis, n))
        for x, u in zip(e.operands, s.uses, strict=True)
    ]
    (v,) = e.outputs
    out = v if s.axis is None else Var(_with_rows(v.aval, s.axis, n))
    params = e.params if s.axis is None else e.primitive.resized(e.params, s.axis, n)
    return Equation(e.primitive, tuple(operands), params, (out,), e.where)


def _with_rows(aval: Aval, axis: int, n: int) -> Aval:
    return aval.with_shape((*aval.shape[:axis], n, *aval.shape[axis + 1 :]))
