"""Powers, roots, exponentials and logarithms."""

import math
from dataclasses import replace
from typing import Any

from gpuad.ir import ranges
from gpuad.ir.build import literal
from gpuad.ir.graph import Literal
from gpuad.ir.primitive import CATALOGUE
from gpuad.ir.ranges import Range, function
from gpuad.primitives.declare import elementwise
from gpuad.primitives.elementwise.arithmetic import (
    NUMBERS,
    abs_,
    add,
    bit_and,
    div,
    div_or_zero,
    eq,
    is_complex,
    lt,
    mul,
    sub,
)
from gpuad.primitives.elementwise.selection import keep, select

LN2 = math.log(2.0)
LN10 = math.log(10.0)
INF = math.inf

# Powers and roots.


def _root(x: float) -> float:
    return math.sqrt(max(x, 0.0))


_positive = function(lambda x: (0.0, INF), lambda x: x.low > 0)
_roots = function(lambda x: (_root(x.low), _root(x.high)), lambda x: x.low > 0)

square = elementwise(
    "square", "square", "x * x", lambda x, out: mul(2.0, x),
    range=ranges.squared, dtypes=NUMBERS, operator=True,
    shows_nan=True,
)  # fmt: skip
sqrt = elementwise(
    "sqrt", "sqrt", "sqrt(x)", lambda x, out: div(0.5, out),
    range=_roots, domain=(0.5, 2.0), dtypes="fc",
    shows_nan=True,
)  # fmt: skip
# The root of a sum of squares. At 0 its slope is 0, that of a norm, and higher derivatives are not
# finite.
root_of_squares = elementwise(
    "root_of_squares", "sqrt", "sqrt(x)", lambda x, out: div_or_zero(0.5, out),
    range=_roots, domain=(0.5, 2.0),
)  # fmt: skip
# The p-th root of a sum of p-th powers, with the same derivatives at 0.
root_of_powers = elementwise(
    "root_of_powers", lambda xp, x, p: xp.power(x, x.dtype.type(1 / p)),
    lambda p: f"power(x, {1 / p})", lambda x, out, p: div_or_zero(mul(1 / p, out), x),
    range=function(lambda x, p: (0.0, INF), lambda x, p: x.low > 0), domain=(0.5, 2.0),
)  # fmt: skip
# The square of √x: x, and NaN where √x is NaN.
nonnegative = elementwise(
    "nonnegative", lambda xp, x: xp.where(x < 0, x.dtype.type(math.nan), x),
    "where(x < 0, nan, x)",
    lambda x, out: select(lt(x, 0.0), literal(math.nan, x.aval.dtype), literal(1, x.aval.dtype)),
    range=function((0.0, INF), lambda x: x.low >= 0), domain=(0.5, 2.0),
)  # fmt: skip
rsqrt = elementwise(
    "rsqrt", lambda xp, x: 1 / xp.sqrt(x), "rsqrt(x)", lambda x, out: mul(-0.5, div(out, x)),
    range=_positive, domain=(0.5, 2.0),
    shows_nan=True,
)  # fmt: skip
cbrt = elementwise(
    "cbrt", "cbrt", "cbrt(x)", lambda x, out: div(1 / 3, square(out)),
    range=function(finite=lambda x: x.without_zero), domain=(0.5, 2.0),
    shows_nan=True,
)  # fmt: skip


def _power_by_base(x: Any, y: Any, out: Any) -> Any:
    # 0 where y is 0, also at x = 0; but its derivative by y is x**-1 there.
    return keep(y, mul(power(x, sub(y, 1.0)), y))


def _power_by_exponent(x: Any, y: Any, out: Any) -> Any:
    if is_complex(x):
        return select(eq(x, 0.0), 0.0, mul(log(x), out))
    if type(x) is Literal and x.value != 0:
        return mul(log(x), out)
    return power_of_log(x, y, n=1, limit=False)


def _positive_power(x: Range, y: Range) -> bool:
    return x.low > 0 and y.low > -INF and y.high < INF


power = elementwise(
    "power", "power", "power(x, y)", _power_by_base, _power_by_exponent,
    range=function(lambda x, y: (0.0 if x.low >= 0 else -INF, INF), _positive_power),
    domain=(0.5, 2.0), dtypes="fc", operator=True,
)  # fmt: skip


def _power_of_log_text(n: int, limit: bool) -> str:
    zero, infinite = ("y > 0", "y <= 0") if limit else ("y >= 0", "y < 0")
    at_zero = f"where({zero}, 0, where({infinite}, {'-' * (n % 2)}inf, nan))"
    return f"where(x == 0, {at_zero}, power(x, y) * ({' * '.join(['log(x)'] * n)}))"


def _power_of_log_array(xp: Any, x: Any, y: Any, n: int, limit: bool) -> Any:
    zero, infinite = (y > 0, y <= 0) if limit else (y >= 0, y < 0)
    at_zero = xp.where(infinite, (-INF) ** n, xp.where(zero, 0.0, math.nan)).astype(x.dtype)
    return xp.where(x == 0, at_zero, xp.power(x, y) * xp.log(x) ** n)


def _power_of_log_by_base(x: Any, y: Any, out: Any, n: int, limit: bool) -> Any:
    below = sub(y, 1.0)
    first = mul(y, power_of_log(x, below, n=n, limit=True))
    rest = power(x, below) if n == 1 else power_of_log(x, below, n=n - 1, limit=True)
    return add(first, mul(float(n), rest))


# x**y log(x)**n. At x = 0: 0 for y > 0, infinite for y < 0, and at y = 0 its limit or 0, which is
# the slope of 0**y by the conventions.
power_of_log = elementwise(
    "power_of_log", _power_of_log_array, _power_of_log_text, _power_of_log_by_base,
    lambda x, y, out, n, limit: power_of_log(x, y, n=n + 1, limit=True),
    range=function(finite=lambda x, y, **params: _positive_power(x, y)), domain=(0.5, 2.0),
    workspace=5.0,
)  # fmt: skip
power_of_integer = elementwise(
    "power_of_integer", "power", "x ** y", None, None, domain=(1, 4), dtypes="iu", operator=True
)


def _integer_power_partial(x: Any, out: Any, n: int) -> Any:
    return None if n == 0 else mul(float(n), integer_power(x, n=n - 1))


def _integer_power_text(n: int) -> str:
    return " * ".join("x" * n) if 0 < n <= 4 else f"power(x, {n})"


# x**n for a whole number n known while recording: exact at zero, no logarithm.
integer_power = elementwise(
    "integer_power", lambda xp, x, n: xp.power(x, n), _integer_power_text, _integer_power_partial,
    range=function(
        lambda x, n: (0.0 if n % 2 == 0 or x.low >= 0 else -INF, INF),
        lambda x, n: n >= 0 or x.without_zero,
    ),
    domain=(0.5, 2.0), dtypes="fc", operator=True,
)  # fmt: skip

# Exponentials and logarithms.
LARGEST = 85.0
"""In float32, exp of more than this may be infinite, exp of less than -LARGEST zero or
subnormal."""


def _exponential(scale: float, lost: float = 0.0) -> ranges.RangeRule:
    """The rule of exp(scale x) - lost."""

    def ends(x: Range) -> tuple[float, float]:
        low, high = scale * x.low, scale * x.high
        return (
            (math.exp(low) if -LARGEST < low < LARGEST else 0.0) - lost,
            (math.exp(high) if high < LARGEST else INF) - lost,
        )

    return function(ends, lambda x: scale * x.high < LARGEST)


def _logarithm(shift: float) -> ranges.RangeRule:
    """The rule of log(shift + x), to any base from 2 to 10; those of float64 go to -1075."""

    def ends(x: Range) -> tuple[float, float]:
        return 0.0 if x.low + shift >= 1 else -INF, 0.0 if x.high + shift <= 1 else INF

    rule = function(ends, lambda x: x.low + shift > 0)
    return lambda x: replace(rule(x), largest=1075.0)


exp = elementwise(
    "exp", "exp", "exp(x)", lambda x, out: out, range=_exponential(1.0), dtypes="fc", shows_nan=True
)
exp2 = elementwise(
    "exp2",
    "exp2",
    "exp2(x)",
    lambda x, out: mul(LN2, out),
    range=_exponential(LN2),
    dtypes="fc",
    shows_nan=True,
)
expm1 = elementwise(
    "expm1",
    "expm1",
    "expm1(x)",
    lambda x, out: exp(x),
    range=_exponential(1.0, 1.0),
    dtypes="fc",
    shows_nan=True,
)


def reciprocal_inside(x: Any, shifted: Any, scale: float) -> Any:
    """scale / shifted, and NaN where that is negative: outside the domain of a logarithm."""
    if is_complex(x):
        return div(scale, shifted)
    nan, one = literal(math.nan, x.aval.dtype), literal(scale, x.aval.dtype)
    return div(select(lt(shifted, 0.0), nan, one), shifted)


log = elementwise(
    "log", "log", "log(x)", lambda x, out: reciprocal_inside(x, x, 1.0),
    range=_logarithm(0.0), domain=(0.5, 2.0), dtypes="fc",
    shows_nan=True,
)  # fmt: skip
log2 = elementwise(
    "log2", "log2", "log2(x)", lambda x, out: reciprocal_inside(x, x, 1 / LN2),
    range=_logarithm(0.0), domain=(0.5, 2.0), dtypes="fc",
    shows_nan=True,
)  # fmt: skip
log10 = elementwise(
    "log10", "log10", "log10(x)", lambda x, out: reciprocal_inside(x, x, 1 / LN10),
    range=_logarithm(0.0), domain=(0.5, 2.0), dtypes="fc",
    shows_nan=True,
)  # fmt: skip
log1p = elementwise(
    "log1p", "log1p", "log1p(x)", lambda x, out: reciprocal_inside(x, add(1.0, x), 1.0),
    range=_logarithm(1.0), domain=(-0.5, 1.0), dtypes="fc",
    shows_nan=True,
)  # fmt: skip


def _sigmoid_array(xp: Any, x: Any) -> Any:
    e = xp.exp(-abs(x))
    return xp.where(x >= 0, x.dtype.type(1), e) / (1 + e)


# s(x) s(-x) = sech²(x/2) / 4.
sigmoid = elementwise(
    "sigmoid", _sigmoid_array, "sigmoid(x)",
    lambda x, out: mul(0.25, CATALOGUE["sech_square"](mul(0.5, x))),
    range=function((0, 1)), weight=True,
    shows_nan=True, workspace=2.0,
)  # fmt: skip
softplus = elementwise(
    "softplus", lambda xp, x: xp.logaddexp(x, x.dtype.type(0)), "softplus(x)",
    lambda x, out: sigmoid(x), range=function((0, INF)),
    shows_nan=True,
)  # fmt: skip


def _share_of_sum(x: Any, y: Any, out: Any, scale: float = 1.0) -> Any:
    # Equal infinities would give NaN; their difference is taken as zero.
    both_infinite = bit_and(eq(x, y), eq(abs_(x), INF))
    difference = select(both_infinite, 0.0, sub(x, y))
    return sigmoid(difference if scale == 1.0 else mul(scale, difference))


# log 2 in two parts: x plus the first, of 9 bits, is exact where the result is near 0.
_LN2_PARTS = (0.693359375, -2.121944400546905827679e-4)
logaddexp = elementwise(
    "logaddexp", "logaddexp",
    f"where(x == y, x + {_LN2_PARTS[0]} + {_LN2_PARTS[1]}, "
    "maximum(x, y) + softplus(-absolute(x - y)))",
    _share_of_sum, lambda x, y, out: _share_of_sum(y, x, out),
    range=function(lambda x, y: (max(x.low, y.low), INF)),
)  # fmt: skip
logaddexp2 = elementwise(
    "logaddexp2", "logaddexp2",
    f"where(x == y, x + 1, maximum(x, y) + {1 / LN2} * log1p(exp2(-absolute(x - y))))",
    lambda x, y, out: _share_of_sum(x, y, out, LN2),
    lambda x, y, out: _share_of_sum(y, x, out, LN2),
)  # fmt: skip
