"""Trigonometric and hyperbolic functions, their inverses, and hypot."""

from typing import Any

from gpuad.primitives.declare import elementwise
from gpuad.primitives.elementwise import (
    add,
    div,
    eq,
    is_complex,
    mul,
    neg,
    reciprocal_inside,
    rsqrt,
    select,
    sqrt,
    square,
    sub,
)

sin = elementwise("sin", "sin", "sin(x)", lambda x, out: cos(x), dtypes="fc")
cos = elementwise("cos", "cos", "cos(x)", lambda x, out: neg(sin(x)), dtypes="fc")
tan = elementwise(
    "tan", "tan", "tan(x)", lambda x, out: add(1.0, square(out)), domain=(-1.0, 1.0), dtypes="fc"
)
sinh = elementwise("sinh", "sinh", "sinh(x)", lambda x, out: cosh(x), dtypes="fc")
cosh = elementwise("cosh", "cosh", "cosh(x)", lambda x, out: sinh(x), dtypes="fc")


def _sech_square_array(xp: Any, x: Any) -> Any:
    e = xp.exp(-2 * abs(x))
    return 4 * e / ((1 + e) * (1 + e))


_S = "sigmoid(-absolute(2 * x))"
# sech² without cancellation in the tails, at any order.
sech_square = elementwise(
    "sech_square", _sech_square_array, f"4 * {_S} * (1 - {_S})",
    lambda x, out: mul(-2.0, mul(tanh(x), out)),
)  # fmt: skip
tanh = elementwise(
    "tanh", "tanh", "tanh(x)",
    lambda x, out: sub(1.0, square(out)) if is_complex(x) else sech_square(x), dtypes="fc",
)  # fmt: skip


def rsqrt_any(x: Any) -> Any:
    """1/sqrt(x), for complex x too."""
    return div(1.0, sqrt(x)) if is_complex(x) else rsqrt(x)


# 1 - x² without cancellation at ±1. Its derivative is one term: the two of the product would be
# inf - inf at ±1 in reverse mode.
one_minus_square = elementwise(
    "one_minus_square", lambda xp, x: (1 - x) * (1 + x), "(1 - x) * (1 + x)",
    lambda x, out: mul(-2.0, x), dtypes="fc",
)  # fmt: skip
arcsin = elementwise(
    "arcsin", "arcsin", "arcsin(x)", lambda x, out: rsqrt_any(one_minus_square(x)),
    guarded=True, domain=(-0.9, 0.9), dtypes="fc",
)  # fmt: skip
arccos = elementwise(
    "arccos", "arccos", "arccos(x)", lambda x, out: neg(rsqrt_any(one_minus_square(x))),
    guarded=True, domain=(-0.9, 0.9), dtypes="fc",
)  # fmt: skip
arctan = elementwise(
    "arctan", "arctan", "arctan(x)", lambda x, out: div(1.0, add(1.0, square(x))), dtypes="fc"
)


def _hypot_partial(x: Any, y: Any, out: Any) -> Any:
    return select(eq(out, 0.0), 0.0, div(x, out))


hypot = elementwise(
    "hypot", "hypot", "hypot(x, y)", _hypot_partial, lambda x, y, out: _hypot_partial(y, x, out),
    domain=(0.5, 2.0),
)  # fmt: skip
arcsinh = elementwise(
    "arcsinh", "arcsinh", "arcsinh(x)",
    lambda x, out: rsqrt_any(add(1.0, square(x))) if is_complex(x) else div(1.0, hypot(1.0, x)),
    dtypes="fc",
)  # fmt: skip
arccosh = elementwise(
    "arccosh", "arccosh", "arccosh(x)",
    lambda x, out: div(rsqrt_any(sub(x, 1.0)), sqrt(add(x, 1.0))),
    guarded=True, domain=(1.5, 3.0), dtypes="fc",
)  # fmt: skip
arctanh = elementwise(
    "arctanh", "arctanh", "arctanh(x)",
    lambda x, out: reciprocal_inside(x, one_minus_square(x), 1.0),
    guarded=True, domain=(-0.9, 0.9), dtypes="fc",
)  # fmt: skip


def _arctan2_partial(y: Any, x: Any, out: Any) -> Any:
    h = hypot(x, y)
    return select(eq(h, 0.0), 0.0, div(div(x, h), h))


arctan2 = elementwise(
    "arctan2", "arctan2", "arctan2(x, y)",
    _arctan2_partial, lambda y, x, out: neg(_arctan2_partial(x, y, out)), domain=(0.5, 2.0),
)  # fmt: skip
