"""Trigonometric and hyperbolic functions, their inverses, and hypot."""

import math
from typing import Any

from gpuad.ir.ranges import Range, function, squared
from gpuad.primitives.declare import elementwise
from gpuad.primitives.elementwise import (
    LARGEST,
    add,
    div,
    div_or_zero,
    is_complex,
    mul,
    neg,
    reciprocal_inside,
    rsqrt,
    sqrt,
    square,
    sub,
)

_unit_interval = function((-1.0, 1.0))
_right_angles = (-math.pi / 2, math.pi / 2)
_inside_one = function(finite=lambda x: x.inside(-1, 1))


def _away_from_origin(x: Range, y: Range) -> bool:
    return x.without_zero or y.without_zero


def _no_overflow(x: Range) -> bool:
    return x.inside(-LARGEST, LARGEST)


sin = elementwise(
    "sin", "sin", "sin(x)", lambda x, out: cos(x), range=_unit_interval, dtypes="fc", shows_nan=True
)
cos = elementwise(
    "cos",
    "cos",
    "cos(x)",
    lambda x, out: neg(sin(x)),
    range=_unit_interval,
    dtypes="fc",
    shows_nan=True,
)
tan = elementwise(
    "tan",
    "tan",
    "tan(x)",
    lambda x, out: add(1.0, square(out)),
    domain=(-1.0, 1.0),
    dtypes="fc",
    shows_nan=True,
)
sinh = elementwise(
    "sinh", "sinh", "sinh(x)", lambda x, out: cosh(x),
    range=function(finite=_no_overflow), dtypes="fc",
    shows_nan=True,
)  # fmt: skip
cosh = elementwise(
    "cosh", "cosh", "cosh(x)", lambda x, out: sinh(x),
    range=function((1, math.inf), _no_overflow), dtypes="fc",
    shows_nan=True,
)  # fmt: skip


def _sech_square_array(xp: Any, x: Any) -> Any:
    e = xp.exp(-2 * abs(x))
    return 4 * e / ((1 + e) * (1 + e))


_S = "sigmoid(-absolute(2 * x))"
# sech² without cancellation in the tails, at any order.
sech_square = elementwise(
    "sech_square", _sech_square_array, f"4 * ({_S} * (1 - {_S}))",
    lambda x, out: mul(-2.0, mul(tanh(x), out)), range=function((0, 1)),
    shows_nan=True, workspace=3.0,
)  # fmt: skip
tanh = elementwise(
    "tanh", "tanh", "tanh(x)",
    lambda x, out: sub(1.0, square(out)) if is_complex(x) else sech_square(x),
    range=_unit_interval, dtypes="fc",
    shows_nan=True,
)  # fmt: skip


def rsqrt_any(x: Any) -> Any:
    """1/sqrt(x), for complex x too."""
    return div(1.0, sqrt(x)) if is_complex(x) else rsqrt(x)


# 1 - x² without cancellation at ±1. Its derivative is one term: the two of the product would be
# inf - inf at ±1 in reverse mode.
one_minus_square = elementwise(
    "one_minus_square", lambda xp, x: (1 - x) * (1 + x), "(1 - x) * (1 + x)",
    lambda x, out: mul(-2.0, x),
    range=function(lambda x: (1 - squared(x).high, 1 - squared(x).low)), dtypes="fc",
)  # fmt: skip
arcsin = elementwise(
    "arcsin", "arcsin", "arcsin(x)", lambda x, out: rsqrt_any(one_minus_square(x)),
    range=_inside_one, domain=(-0.9, 0.9), dtypes="fc",
    shows_nan=True,
)  # fmt: skip
arccos = elementwise(
    "arccos", "arccos", "arccos(x)", lambda x, out: neg(rsqrt_any(one_minus_square(x))),
    range=_inside_one, domain=(-0.9, 0.9), dtypes="fc",
    shows_nan=True,
)  # fmt: skip
arctan = elementwise(
    "arctan", "arctan", "arctan(x)", lambda x, out: div(1.0, add(1.0, square(x))),
    range=function(_right_angles), dtypes="fc",
    shows_nan=True,
)  # fmt: skip


# x / hypot(x, y), 0 at the origin. Its derivative y²/h³ is not written as 1/h - x²/h³, which has no
# digits left where x is large.
hypot_slope = elementwise(
    "hypot_slope", lambda xp, x, y, h: xp.where(h, x / h, 0), "where(z != 0, x / z, 0)",
    lambda x, y, h, out: div(square(div(y, h)), h),
    lambda x, y, h, out: neg(div(mul(out, div(y, h)), h)), None,
    range=function((-1.0, 1.0), lambda x, y, h: h.without_zero), domain=(0.5, 2.0),
)  # fmt: skip
hypot = elementwise(
    "hypot", "hypot", "hypot(x, y)",
    lambda x, y, out: hypot_slope(x, y, out), lambda x, y, out: hypot_slope(y, x, out),
    range=function(
        lambda x, y: (max(x.low, -x.high, y.low, -y.high, 0.0), math.inf), _away_from_origin
    ),
    domain=(0.5, 2.0),
)  # fmt: skip
arcsinh = elementwise(
    "arcsinh", "arcsinh", "arcsinh(x)",
    lambda x, out: rsqrt_any(add(1.0, square(x))) if is_complex(x) else div(1.0, hypot(1.0, x)),
    dtypes="fc",
    shows_nan=True,
)  # fmt: skip
arccosh = elementwise(
    "arccosh", "arccosh", "arccosh(x)",
    lambda x, out: div(rsqrt_any(sub(x, 1.0)), sqrt(add(x, 1.0))),
    range=function((0, math.inf), lambda x: x.low > 1), domain=(1.5, 3.0), dtypes="fc",
    shows_nan=True,
)  # fmt: skip
arctanh = elementwise(
    "arctanh", "arctanh", "arctanh(x)",
    lambda x, out: reciprocal_inside(x, one_minus_square(x), 1.0),
    range=_inside_one, domain=(-0.9, 0.9), dtypes="fc",
    shows_nan=True,
)  # fmt: skip


def _arctan2_partial(y: Any, x: Any, out: Any) -> Any:
    h = hypot(x, y)
    return div_or_zero(div_or_zero(x, h), h)


arctan2 = elementwise(
    "arctan2", "arctan2", "arctan2(x, y)",
    _arctan2_partial, lambda y, x, out: neg(_arctan2_partial(x, y, out)),
    range=function((-math.pi, math.pi), _away_from_origin), domain=(0.5, 2.0),
)  # fmt: skip
