"""Elementwise primitives: arithmetic, comparison, logic, rounding, powers, exponentials, ...

Names follow NumPy. The partial derivatives follow the conventions at hard points: ties split
evenly, kinks take the minimum-norm subgradient, and formulas keep the relative accuracy of second
derivatives. What a product with zero comes to is not their business: `transforms/drop.py` sees to
that.
"""

import math
from typing import Any

import numpy as np

from gpuad.ir import ranges
from gpuad.ir.aval import Aval
from gpuad.ir.build import literal
from gpuad.ir.graph import Literal
from gpuad.ir.primitive import CATALOGUE, zeros
from gpuad.ir.ranges import Range, function
from gpuad.primitives.declare import Term, elementwise

LN2 = math.log(2.0)
LN10 = math.log(10.0)
INF = math.inf
ALL = "biufc"
NUMBERS = "iufc"
REALS = "biuf"


def complex_dtype(dtype: np.dtype) -> np.dtype:
    """The complex dtype that holds this real one."""
    return np.result_type(dtype, np.complex64)


def is_complex(x: Any) -> bool:
    return x.aval.dtype.kind == "c"


# Linear arithmetic. A transpose finds an Aval in place of the operand whose cotangent it returns.


def _pass(sign_x: int, sign_y: int) -> Any:
    def transpose(ct: Any, x: Any, y: Any) -> Any:
        signed = [ct if sign == 1 else neg(ct) for sign in (sign_x, sign_y)]
        return [s if isinstance(o, Aval) else None for s, o in zip(signed, (x, y), strict=True)]

    return transpose


def _transpose_mul(ct: Any, x: Any, y: Any) -> Any:
    return (mul(ct, y), None) if isinstance(x, Aval) else (None, mul(x, ct))


neg = elementwise(
    "neg", "negative", "-x", -1, transpose=lambda ct, x: neg(ct),
    range=ranges.negated, dtypes=NUMBERS, operator=True,
)  # fmt: skip
positive = elementwise(
    "positive", "positive", "+x", 1, transpose=lambda ct, x: ct,
    range=ranges.same, dtypes=NUMBERS, operator=True,
)  # fmt: skip
add = elementwise(
    "add", "add", "x + y", 1, 1, transpose=_pass(1, 1),
    range=ranges.added, dtypes=NUMBERS, operator=True,
)  # fmt: skip
sub = elementwise(
    "sub", "subtract", "x - y", 1, -1, transpose=_pass(1, -1),
    range=lambda x, y: ranges.added(x, ranges.negated(y)), dtypes=NUMBERS, operator=True,
)  # fmt: skip
mul = elementwise(
    "mul", "multiply", "x * y",
    Term(lambda t, x, y, out: mul(t, y)), Term(lambda t, x, y, out: mul(x, t)),
    transpose=_transpose_mul, range=ranges.multiplied, dtypes=NUMBERS, operator=True,
)  # fmt: skip
# x / y derives its second order through (x/y)/y, not x/y².
div = elementwise(
    "div", "true_divide", "x / y",
    Term(lambda t, x, y, out: div(t, y)), lambda x, y, out: neg(div(out, y)),
    transpose=lambda ct, x, y: (div(ct, y), None),
    range=ranges.divided, domain=(0.5, 2.0), dtypes="fc", operator=True,
)  # fmt: skip
# The slope of a norm: x / y, and 0 where y is, but with the derivatives of x / y, which are not
# finite there.
div_or_zero = elementwise(
    "div_or_zero", lambda xp, x, y: xp.where(y, x / y, 0), "where(y != 0, x / y, 0)",
    Term(lambda t, x, y, out: div(t, y)), lambda x, y, out: neg(div(out, y)),
    transpose=lambda ct, x, y: (div(ct, y), None),
    range=ranges.divided, domain=(0.5, 2.0), dtypes="fc",
)  # fmt: skip

# Comparison, logic, bits: a stated zero.
eq = elementwise("eq", "equal", "x == y", None, None, result="bool", range=ranges.equal, dtypes=ALL)
ne = elementwise("ne", "not_equal", "x != y", None, None, result="bool", dtypes=ALL)
lt = elementwise("lt", "less", "x < y", None, None, result="bool", range=ranges.less, dtypes=REALS)
le = elementwise(
    "le", "less_equal", "x <= y", None, None, result="bool", range=ranges.less_equal, dtypes=REALS
)
gt = elementwise(
    "gt",
    "greater",
    "x > y",
    None,
    None,
    result="bool",
    range=lambda x, y: ranges.less(y, x),
    dtypes=REALS,
)
ge = elementwise(
    "ge",
    "greater_equal",
    "x >= y",
    None,
    None,
    result="bool",
    range=lambda x, y: ranges.less_equal(y, x),
    dtypes=REALS,
)
isnan = elementwise("isnan", "isnan", "isnan(x)", None, result="bool", dtypes="fc")
isinf = elementwise("isinf", "isinf", "isinf(x)", None, result="bool", dtypes="fc")
isfinite = elementwise("isfinite", "isfinite", "isfinite(x)", None, result="bool", dtypes="fc")
signbit = elementwise("signbit", "signbit", "signbit(x)", None, result="bool", dtypes="f")
bit_and = elementwise("bit_and", "bitwise_and", "x & y", None, None, dtypes="biu", operator=True)
bit_or = elementwise("bit_or", "bitwise_or", "x | y", None, None, dtypes="biu", operator=True)
bit_xor = elementwise("bit_xor", "bitwise_xor", "x ^ y", None, None, dtypes="biu", operator=True)
invert = elementwise("invert", "invert", "~x", None, dtypes="biu", operator=True)
shift_left = elementwise(
    "shift_left", "left_shift", "x << y", None, None, dtypes="iu", operator=True
)
shift_right = elementwise(
    "shift_right", "right_shift", "x >> y", None, None, dtypes="iu", operator=True
)

# Rounding and sign.
_near = function(lambda x: (x.low - 1, x.high + 1))
_by_nonzero = function(finite=lambda x, y: y.without_zero)
floor = elementwise("floor", "floor", "floor(x)", None, range=_near)
ceil = elementwise("ceil", "ceil", "ceil(x)", None, range=_near)
trunc = elementwise("trunc", "trunc", "trunc(x)", None, range=_near)
rint = elementwise("rint", "rint", "rint(x)", None, range=_near)
sign = elementwise("sign", "sign", "sign(x)", None, range=function((-1, 1)), dtypes="iuf")
floor_divide = elementwise(
    "floor_divide", "floor_divide", "floor_divide(x, y)", None, None,
    range=_by_nonzero, domain=(0.5, 2.0), dtypes="iuf", operator=True,
)  # fmt: skip
gcd = elementwise("gcd", "gcd", "gcd(x, y)", None, None, domain=(1, 9), dtypes="iu")
lcm = elementwise("lcm", "lcm", "lcm(x, y)", None, None, domain=(1, 9), dtypes="iu")
nextafter = elementwise("nextafter", "nextafter", "nextafter(x, y)", 1, None)


def _magnitude(x: Range) -> Range:
    low = max(x.low, -x.high, 0.0)
    return Range(low, max(-x.low, x.high), x.nonzero, x.wild)


def _abs_term(t: Any, x: Any, out: Any) -> Any:
    if not is_complex(x):
        return mul(sign(x), t)
    # d|z| = Re(conj(z)/|z| dz), and 0 at 0.
    return real(mul(conj(unit(x)), t))


def _unit_array(xp: Any, z: Any) -> Any:
    """z / |z|, 0 at 0; of an infinite part its sign, beside which a finite one is nothing."""
    size = xp.absolute(z)
    inf = xp.isinf(size)
    parts = [xp.where(inf, xp.copysign(xp.isinf(p), p), p) for p in (z.real, z.imag)]
    size = xp.where(inf, xp.hypot(*parts), size)
    return xp.where(size, _complex_array(xp, *parts).astype(z.dtype) / size, z.dtype.type(0))


def _unit_term(t: Any, z: Any, out: Any) -> Any:
    # Only what is across z turns it: dz/|z| - z d|z|/|z|² would cancel where they are parallel.
    across = div(imag(mul(conj(out), t)), abs_(z))
    return mul(mul(out, 1j), cast(across, dtype=out.aval.dtype))


unit = elementwise(
    "unit", _unit_array, "where(x != 0, x / absolute(x), 0)", Term(_unit_term),
    range=function(finite=lambda x: x.without_zero), domain=(0.5, 2.0), dtypes="c",
)  # fmt: skip


abs_ = elementwise(
    "abs",
    "absolute",
    "absolute(x)",
    Term(_abs_term),
    result="real",
    range=_magnitude,
    domain=(0.5, 2.0),
    dtypes="iufc",
    operator=True,
)
copysign = elementwise(
    "copysign", "copysign", "copysign(x, y)",
    lambda x, y, out: mul(sign(x), copysign(1.0, y)), None,
    range=function(lambda x, y: (-_magnitude(x).high, _magnitude(x).high)), domain=(0.5, 2.0),
)  # fmt: skip
remainder = elementwise(
    "remainder", "remainder", "remainder(x, y)",
    1, lambda x, y, out: neg(floor_divide(x, y)),
    range=_by_nonzero, domain=(0.5, 2.0), dtypes="iuf", operator=True,
)  # fmt: skip
fmod = elementwise(
    "fmod", "fmod", "fmod(x, y)",
    1, lambda x, y, out: neg(rint(div(sub(x, out), y))),
    range=_by_nonzero, domain=(0.5, 2.0), dtypes="iuf",
)  # fmt: skip

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
)  # fmt: skip

# keep: what is not dropped (P3 of the conventions): x where the mark m is not zero, 0 elsewhere.
# The mark is a boolean, or a number that is zero where a seed or a weight is. If that moves too,
# both it and its tangent have to be zero for a tangent of x to be dropped: d(c m) at m = 0 is c
# dm, not 0. A `guard` changes nothing but NaN, to 0: without it x is zero there, or zero times
# infinity.


def _keep_jvp(primals: Any, tangents: Any, out: Any, guard: bool) -> Any:
    (m, _), (m_dot, x_dot) = primals, tangents
    if x_dot is None:
        return None
    return keep(m if m_dot is None else either(m, m_dot), x_dot, guard)


def _keep_transpose(ct: Any, m: Any, x: Any, guard: bool) -> Any:
    # A mark that moves with x has no value here: that it is zero drops no cotangent.
    return None, ct if isinstance(m, Aval) else keep(m, ct, guard)


_keep = elementwise(
    "keep", lambda xp, m, x, guard: xp.where(m, x, x.dtype.type(0)), "where(x != 0, y, 0)", None, 1,
    jvp=_keep_jvp, transpose=_keep_transpose,
    range=lambda m, x, guard: ranges.union(x, Range(0, 0)),
    marks=1, scalars_like=1, dtypes=ALL,
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
    """The mark `m` in this dtype, of which it may be any number that is not zero."""
    return m if m.aval.dtype == dtype else either(m, zeros(Aval(m.aval.shape, dtype)))


def as_weight(mask: Any, like: Any) -> Any:
    """1 where `mask` holds and 0 elsewhere, in the dtype of `like`."""
    dtype = like.aval.dtype
    return literal(mask.value, dtype) if type(mask) is Literal else cast(mask, dtype=dtype)


def is_nan(x: Any) -> Any:
    """Where `x` is NaN, for rules. (`isnan` says besides that inputs may be NaN.)"""
    return ne(x, x)


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
    "share", _share_array, _share_text, None, None, range=function((0, 1)), weight=True
)


def _extreme(name: str, larger: bool, nan_wins: bool) -> Any:
    choose = max if larger else min

    def of_x(x: Any, y: Any, out: Any) -> Any:
        return share(x, y, larger=larger, nan_wins=nan_wins)

    def of_y(x: Any, y: Any, out: Any) -> Any:
        return of_x(y, x, out)

    bounds = function(lambda x, y: (choose(x.low, y.low), choose(x.high, y.high)))
    return elementwise(name, name, f"{name}(x, y)", of_x, of_y, range=bounds, dtypes=REALS)


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

# Casts and complex parts.


def _cast_array(xp: Any, x: Any, dtype: np.dtype) -> Any:
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = x.real
    return x.astype(dtype)


cast = elementwise(
    "cast", _cast_array, "cast(x)", Term(lambda t, x, out, dtype: cast(t, dtype=dtype)),
    result=lambda aval_dtype, dtype: dtype,
    transpose=lambda ct, x, dtype: cast(ct, dtype=x.dtype), range=ranges.same, dtypes=ALL,
)  # fmt: skip
real = elementwise(
    "real", lambda xp, x: xp.real(x), "real(x)", Term(lambda t, x, out: real(t)),
    result="real", transpose=lambda ct, x: cast(ct, dtype=x.dtype), dtypes="c",
)  # fmt: skip
imag = elementwise(
    "imag", lambda xp, x: xp.imag(x), "imag(x)", Term(lambda t, x, out: imag(t)),
    result="real", transpose=lambda ct, x: mul(cast(ct, dtype=x.dtype), -1j), dtypes="c",
)  # fmt: skip
conj = elementwise(
    "conj", "conjugate", "conj(x)", Term(lambda t, x, out: conj(t)),
    transpose=lambda ct, x: conj(ct), range=ranges.same, dtypes="c",
)  # fmt: skip


def _complex_array(xp: Any, x: Any, y: Any) -> Any:
    # x + 1j * y would turn an infinite y into a NaN.
    out = xp.empty(x.shape or y.shape, complex_dtype(x.dtype))
    out.real, out.imag = x, y
    return out


make_complex = elementwise(
    "make_complex", _complex_array, "complex(x, y)",
    Term(lambda t, x, y, out: cast(t, dtype=out.aval.dtype)),
    Term(lambda t, x, y, out: mul(cast(t, dtype=out.aval.dtype), 1j)),
    result=lambda dtype: complex_dtype(dtype),
)  # fmt: skip

# Powers and roots.


def _root(x: float) -> float:
    return math.sqrt(max(x, 0.0))


_positive = function(lambda x: (0.0, INF), lambda x: x.low > 0)
_roots = function(lambda x: (_root(x.low), _root(x.high)), lambda x: x.low > 0)

square = elementwise(
    "square", "square", "x * x", lambda x, out: mul(2.0, x),
    range=ranges.squared, dtypes=NUMBERS, operator=True,
)  # fmt: skip
sqrt = elementwise(
    "sqrt", "sqrt", "sqrt(x)", lambda x, out: div(0.5, out),
    range=_roots, domain=(0.5, 2.0), dtypes="fc",
)  # fmt: skip
# The root of a sum of squares. At 0 its slope is 0, that of a norm, and higher derivatives are not
# finite.
root_of_squares = elementwise(
    "root_of_squares", "sqrt", "sqrt(x)", lambda x, out: div_or_zero(0.5, out),
    range=_roots, domain=(0.5, 2.0),
)  # fmt: skip
# The same of a sum of powers: its p-th root.
root_of_powers = elementwise(
    "root_of_powers", lambda xp, x, p: xp.power(x, x.dtype.type(1 / p)),
    lambda p: f"power(x, {1 / p})", lambda x, out, p: div_or_zero(mul(1 / p, out), x),
    range=function(lambda x, p: (0.0, INF), lambda x, p: x.low > 0), domain=(0.5, 2.0),
)  # fmt: skip
# x itself, NaN where √x is: a square root undone.
nonnegative = elementwise(
    "nonnegative", lambda xp, x: xp.where(x < 0, x.dtype.type(math.nan), x),
    "where(x < 0, nan, x)",
    lambda x, out: select(lt(x, 0.0), literal(math.nan, x.aval.dtype), literal(1, x.aval.dtype)),
    range=function((0.0, INF), lambda x: x.low >= 0), domain=(0.5, 2.0),
)  # fmt: skip
rsqrt = elementwise(
    "rsqrt", lambda xp, x: 1 / xp.sqrt(x), "rsqrt(x)", lambda x, out: mul(-0.5, div(out, x)),
    range=_positive, domain=(0.5, 2.0),
)  # fmt: skip
cbrt = elementwise(
    "cbrt", "cbrt", "cbrt(x)", lambda x, out: div(1 / 3, square(out)),
    range=function(finite=lambda x: x.without_zero), domain=(0.5, 2.0),
)  # fmt: skip


def _power_by_base(x: Any, y: Any, out: Any) -> Any:
    # 0 where y is, also at x = 0; its own derivative by y there is x**-1.
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
"""Exponentials of more may be infinite, of less than its negative zero or subnormal, in float32."""


def _exponential(scale: float, lost: float = 0.0) -> ranges.RangeRule:
    """Of exp(scale x) - lost."""

    def ends(x: Range) -> tuple[float, float]:
        low, high = scale * x.low, scale * x.high
        return (
            (math.exp(low) if -LARGEST < low < LARGEST else 0.0) - lost,
            (math.exp(high) if high < LARGEST else INF) - lost,
        )

    return function(ends, lambda x: scale * x.high < LARGEST)


def _logarithm(shift: float) -> ranges.RangeRule:
    """Of log(shift + x), to any base from 2 to 10."""

    def ends(x: Range) -> tuple[float, float]:
        return 0.0 if x.low + shift >= 1 else -INF, 0.0 if x.high + shift <= 1 else INF

    return function(ends, lambda x: x.low + shift > 0)


exp = elementwise("exp", "exp", "exp(x)", lambda x, out: out, range=_exponential(1.0), dtypes="fc")
exp2 = elementwise(
    "exp2", "exp2", "exp2(x)", lambda x, out: mul(LN2, out), range=_exponential(LN2), dtypes="fc"
)
expm1 = elementwise(
    "expm1", "expm1", "expm1(x)", lambda x, out: exp(x), range=_exponential(1.0, 1.0), dtypes="fc"
)


def reciprocal_inside(x: Any, shifted: Any, scale: float) -> Any:
    """scale / shifted, NaN where the logarithm is not real, and so are its derivatives."""
    if is_complex(x):
        return div(scale, shifted)
    nan, one = literal(math.nan, x.aval.dtype), literal(scale, x.aval.dtype)
    return div(select(lt(shifted, 0.0), nan, one), shifted)


log = elementwise(
    "log", "log", "log(x)", lambda x, out: reciprocal_inside(x, x, 1.0),
    range=_logarithm(0.0), domain=(0.5, 2.0), dtypes="fc",
)  # fmt: skip
log2 = elementwise(
    "log2", "log2", "log2(x)", lambda x, out: reciprocal_inside(x, x, 1 / LN2),
    range=_logarithm(0.0), domain=(0.5, 2.0), dtypes="fc",
)  # fmt: skip
log10 = elementwise(
    "log10", "log10", "log10(x)", lambda x, out: reciprocal_inside(x, x, 1 / LN10),
    range=_logarithm(0.0), domain=(0.5, 2.0), dtypes="fc",
)  # fmt: skip
log1p = elementwise(
    "log1p", "log1p", "log1p(x)", lambda x, out: reciprocal_inside(x, add(1.0, x), 1.0),
    range=_logarithm(1.0), domain=(-0.5, 1.0), dtypes="fc",
)  # fmt: skip


def _sigmoid_array(xp: Any, x: Any) -> Any:
    e = xp.exp(-abs(x))
    return xp.where(x >= 0, x.dtype.type(1), e) / (1 + e)


# s(x) s(-x) = sech²(x/2) / 4.
sigmoid = elementwise(
    "sigmoid", _sigmoid_array, "sigmoid(x)",
    lambda x, out: mul(0.25, CATALOGUE["sech_square"](mul(0.5, x))),
    range=function((0, 1)), weight=True,
)  # fmt: skip
softplus = elementwise(
    "softplus", lambda xp, x: xp.logaddexp(x, x.dtype.type(0)), "softplus(x)",
    lambda x, out: sigmoid(x), range=function((0, INF)),
)  # fmt: skip


def _share_of_sum(x: Any, y: Any, out: Any, scale: float = 1.0) -> Any:
    # Equal infinities would give NaN; their difference is taken as zero.
    both_infinite = bit_and(eq(x, y), eq(abs_(x), INF))
    difference = select(both_infinite, 0.0, sub(x, y))
    return sigmoid(difference if scale == 1.0 else mul(scale, difference))


logaddexp = elementwise(
    "logaddexp", "logaddexp",
    f"where(x == y, x + {LN2}, maximum(x, y) + softplus(-absolute(x - y)))",
    _share_of_sum, lambda x, y, out: _share_of_sum(y, x, out),
    range=function(lambda x, y: (max(x.low, y.low), INF)),
)  # fmt: skip
logaddexp2 = elementwise(
    "logaddexp2", "logaddexp2",
    f"where(x == y, x + 1, maximum(x, y) + {1 / LN2} * log1p(exp2(-absolute(x - y))))",
    lambda x, y, out: _share_of_sum(x, y, out, LN2),
    lambda x, y, out: _share_of_sum(y, x, out, LN2),
)  # fmt: skip
