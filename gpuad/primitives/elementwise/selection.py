"""Selections, the marks of what they drop, and the larger and smaller of two values."""

from typing import Any

import numpy as np

from gpuad.ir import ranges
from gpuad.ir.aval import Aval
from gpuad.ir.build import literal
from gpuad.ir.graph import Literal
from gpuad.ir.primitive import zeros
from gpuad.ir.ranges import Range, function
from gpuad.primitives.declare import Term, elementwise
from gpuad.primitives.elementwise.arithmetic import (
    ALL,
    REALS,
    bit_and,
    bit_or,
    cast,
    eq,
    invert,
    le,
    lt,
)

# Selection.


def _opposite(c: Any) -> Any:
    return Literal(np.bool_(not c.value)) if type(c) is Literal else invert(c)


def _transpose_select(ct: Any, c: Any, x: Any, y: Any) -> Any:
    return (
        None,
        keep(c, ct) if isinstance(x, Aval) else None,
        keep(_opposite(c), ct) if isinstance(y, Aval) else None,
    )


select = elementwise(
    "select", "where", "where(x, y, z)",
    None, Term(lambda t, c, x, y, out: keep(c, t)),
    Term(lambda t, c, x, y, out: keep(_opposite(c), t)),
    transpose=_transpose_select, range=ranges.chosen,
    scalars_like=1, dtypes=ALL, operator=True,
    integers=True,
)  # fmt: skip

# keep: what is not dropped (P3 of the conventions): x where the mark m is not zero, 0 elsewhere.
# The mark is a boolean, or a number that is zero where a seed or a weight is. If such a number has
# a tangent, a tangent of x is dropped only where both are zero: d(c m) at m = 0 is c dm, not 0. A
# `guard` only turns NaN into 0: where its mark is zero, x is zero, or zero times infinity.


def _keep_jvp(primals: Any, tangents: Any, out: Any, guard: bool) -> Any:
    (m, _), (m_dot, x_dot) = primals, tangents
    if x_dot is None:
        return None
    return keep(m if m_dot is None else either(m, m_dot), x_dot, guard)


def _keep_transpose(ct: Any, m: Any, x: Any, guard: bool) -> Any:
    # A mark that depends on x too has no value here (it is an Aval), and drops no cotangent.
    return None, ct if isinstance(m, Aval) else keep(m, ct, guard)


_keep = elementwise(
    "keep", lambda xp, m, x, guard: xp.where(m, x, x.dtype.type(0)), "where(x != 0, y, 0)", None, 1,
    jvp=_keep_jvp, transpose=_keep_transpose,
    range=lambda m, x, guard: ranges.union(x, Range(0, 0)),
    marks=1, scalars_like=1, dtypes=ALL,
)  # fmt: skip


# inside: x where m is true, 0 elsewhere, as the triangles in rules of linear algebra. Unlike what a
# selection of the user's drops, what is outside is not followed through products.
inside = elementwise(
    "inside", lambda xp, m, x: xp.where(m, x, x.dtype.type(0)), "where(x, y, 0)",
    None, Term(lambda t, m, x, out: inside(m, t)),
    transpose=lambda ct, m, x: (None, inside(m, ct)),
    range=lambda m, x: ranges.union(x, Range(0, 0)),
    scalars_like=1, dtypes=ALL,
)  # fmt: skip


def keep(m: Any, x: Any, guard: bool = False) -> Any:
    """`x` where `m` is true (is not zero); what is dropped elsewhere reaches no derivative."""
    if type(m) is Literal:
        return x if m.value else zeros(x.aval)
    return _keep(m, x, guard=guard)


def _either_jvp(primals: Any, tangents: Any, out: Any) -> Any:
    m_dot, n_dot = tangents
    if m_dot is None:
        return n_dot
    return either(m_dot, zeros(out.aval) if n_dot is None else n_dot)


def _both_jvp(primals: Any, tangents: Any, out: Any) -> Any:
    m, n = [x if t is None else either(x, t) for x, t in zip(primals, tangents, strict=True)]
    return both(m, as_mark(n, out.aval.dtype))


# Marks that are not zero where one of two is not, and where both are not.
either = elementwise(
    "either", lambda xp, m, n: xp.where(m, n.dtype.type(1), n), "where(x != 0, 1, y)", None, 1,
    jvp=_either_jvp, marks=2, scalars_like=1, dtypes=ALL,
)  # fmt: skip
both = elementwise(
    "both", lambda xp, m, n: xp.where(m, n, n.dtype.type(0)), "where(x != 0, y, 0)", None, 1,
    jvp=_both_jvp, marks=2, scalars_like=1, dtypes=ALL,
)  # fmt: skip


def as_mark(m: Any, dtype: np.dtype) -> Any:
    """The mark `m` in this dtype. If it has it already it stays, with any numbers."""
    return m if m.aval.dtype == dtype else either(m, zeros(Aval(m.aval.shape, dtype)))


def as_weight(mask: Any, like: Any) -> Any:
    """1 where `mask` holds and 0 elsewhere, in the dtype of `like`."""
    dtype = like.aval.dtype
    return literal(mask.value, dtype) if type(mask) is Literal else cast(mask, dtype=dtype)


def is_nan(x: Any) -> Any:
    """Where a real `x` is NaN, for derivative rules. `isnan` would say that the program asks for
    NaN, so that its inputs may be NaN (see `Primitive.asks_finite`)."""
    return invert(le(x, x))


def _wins(x: Any, out: Any) -> Any:
    return bit_or(eq(x, out), is_nan(x))


def _share_array(xp: Any, x: Any, y: Any, larger: bool, nan_wins: bool) -> Any:
    x_is_nan, y_is_nan = x != x, y != y
    beats = (x > y) if larger else (x < y)
    by_nan = x_is_nan & ~y_is_nan if nan_wins else y_is_nan & ~x_is_nan
    tied = (x == y) | (x_is_nan & y_is_nan)
    return (0.5 * tied + (beats | by_nan)).astype(x.dtype)


def _share_text(larger: bool, nan_wins: bool) -> str:
    beats = "x > y" if larger else "x < y"
    by_nan = "isnan(x) & (y == y)" if nan_wins else "isnan(y) & (x == x)"
    tied = "(x == y) | (isnan(x) & isnan(y))"
    return f"where(({beats}) | ({by_nan}), 1, where({tied}, 0.5, 0))"


# How much of the larger (or smaller) of two values is x: 1, 0, or one half at a tie.
share = elementwise(
    "share",
    _share_array,
    _share_text,
    None,
    None,
    range=function((0, 1)),
    weight=True,
    workspace=1.5,
)


def _extreme(name: str, larger: bool, nan_wins: bool) -> Any:
    choose = max if larger else min

    def of_x(x: Any, y: Any, out: Any) -> Any:
        return share(x, y, larger=larger, nan_wins=nan_wins)

    def of_y(x: Any, y: Any, out: Any) -> Any:
        return of_x(y, x, out)

    def image(x: Range, y: Range) -> tuple[float, float]:
        if (x.singular or y.singular) and not nan_wins:  # beside a NaN, the other operand
            return min(x.low, y.low), max(x.high, y.high)
        return choose(x.low, y.low), choose(x.high, y.high)

    return elementwise(
        name, name, f"{name}(x, y)", of_x, of_y,
        range=function(image), dtypes=REALS, integers=nan_wins,
    )  # fmt: skip


maximum = _extreme("maximum", larger=True, nan_wins=True)
minimum = _extreme("minimum", larger=False, nan_wins=True)
fmax = _extreme("fmax", larger=True, nan_wins=False)
fmin = _extreme("fmin", larger=False, nan_wins=False)


def _clip_partials() -> tuple[Any, Any, Any]:
    def inside(x: Any, low: Any, high: Any, out: Any) -> Any:
        return as_weight(bit_and(_wins(x, out), lt(low, high)), out)

    def below(x: Any, low: Any, high: Any, out: Any) -> Any:
        return as_weight(bit_and(lt(x, low), lt(low, high)), out)

    def above(x: Any, low: Any, high: Any, out: Any) -> Any:
        return as_weight(bit_or(lt(high, x), le(high, low)), out)

    return inside, below, above


clip = elementwise(
    "clip", lambda xp, x, low, high: xp.minimum(xp.maximum(x, low), high),
    "minimum(maximum(x, y), z)", *_clip_partials(),
    range=function(lambda x, low, high: (
        min(max(x.low, low.low), high.low), min(max(x.high, low.high), high.high)
    )),
    dtypes=REALS,
)  # fmt: skip
