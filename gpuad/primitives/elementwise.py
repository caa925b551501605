"""Elementwise primitives: arithmetic, comparison, logic, rounding, powers, exponentials, ...

Names follow NumPy. The partial derivatives follow the conventions at hard points: ties split
evenly, kinks take the minimum-norm subgradient, a zero seed gives zero (`guarded`), and formulas
keep the relative accuracy of second derivatives.
"""

import math
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.build import literal
from gpuad.ir.graph import Literal
from gpuad.ir.primitive import CATALOGUE
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


def _transpose_mulz(ct: Any, x: Any, y: Any) -> Any:
    return (mulz(ct, y), None) if isinstance(x, Aval) else (None, mulz(x, ct))


neg = elementwise(
    "neg", "negative", "-x", -1, transpose=lambda ct, x: neg(ct), dtypes=NUMBERS, operator=True
)
positive = elementwise(
    "positive", "positive", "+x", 1, transpose=lambda ct, x: ct, dtypes=NUMBERS, operator=True
)
add = elementwise("add", "add", "x + y", 1, 1, transpose=_pass(1, 1), dtypes=NUMBERS, operator=True)
sub = elementwise(
    "sub", "subtract", "x - y", 1, -1, transpose=_pass(1, -1), dtypes=NUMBERS, operator=True
)
mul = elementwise(
    "mul", "multiply", "x * y",
    Term(lambda t, x, y, out: mul(t, y)), Term(lambda t, x, y, out: mul(x, t)),
    transpose=_transpose_mul, dtypes=NUMBERS, operator=True,
)  # fmt: skip
# The product of a partial derivative and a seed: zero where the seed y is zero, even if x is not
# finite.
mulz = elementwise(
    "mulz", lambda xp, x, y: xp.where(y, x * y, 0), "where(y != 0, x * y, 0)",
    Term(lambda t, x, y, out: mulz(t, y)), Term(lambda t, x, y, out: mulz(x, t)),
    transpose=_transpose_mulz, dtypes="fc", operator=True,
)  # fmt: skip
# x / y derives its second order through (x/y)/y, not x/y².
div = elementwise(
    "div", "true_divide", "x / y",
    Term(lambda t, x, y, out: divz(t, y)), lambda x, y, out: neg(div(out, y)),
    guarded=True, transpose=lambda ct, x, y: (div(ct, y), None),
    domain=(0.5, 2.0), dtypes="fc", operator=True,
)  # fmt: skip
divz = elementwise(
    "divz", lambda xp, x, y: xp.where(x, x / y, 0), "where(x != 0, x / y, 0)",
    Term(lambda t, x, y, out: divz(t, y)), lambda x, y, out: neg(divz(out, y)),
    guarded=True, transpose=lambda ct, x, y: (divz(ct, y), None),
    domain=(0.5, 2.0), dtypes="fc", operator=True,
)  # fmt: skip

# Comparison, logic, bits: a stated zero.
eq = elementwise("eq", "equal", "x == y", None, None, result="bool", dtypes=ALL)
ne = elementwise("ne", "not_equal", "x != y", None, None, result="bool", dtypes=ALL)
lt = elementwise("lt", "less", "x < y", None, None, result="bool", dtypes=REALS)
le = elementwise("le", "less_equal", "x <= y", None, None, result="bool", dtypes=REALS)
gt = elementwise("gt", "greater", "x > y", None, None, result="bool", dtypes=REALS)
ge = elementwise("ge", "greater_equal", "x >= y", None, None, result="bool", dtypes=REALS)
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
floor = elementwise("floor", "floor", "floor(x)", None)
ceil = elementwise("ceil", "ceil", "ceil(x)", None)
trunc = elementwise("trunc", "trunc", "trunc(x)", None)
rint = elementwise("rint", "rint", "rint(x)", None)
sign = elementwise("sign", "sign", "sign(x)", None, dtypes="iuf")
floor_divide = elementwise(
    "floor_divide", "floor_divide", "floor_divide(x, y)", None, None,
    domain=(0.5, 2.0), dtypes="iuf", operator=True,
)  # fmt: skip
gcd = elementwise("gcd", "gcd", "gcd(x, y)", None, None, domain=(1, 9), dtypes="iu")
lcm = elementwise("lcm", "lcm", "lcm(x, y)", None, None, domain=(1, 9), dtypes="iu")
nextafter = elementwise("nextafter", "nextafter", "nextafter(x, y)", 1, None)


def _abs_term(t: Any, x: Any, out: Any) -> Any:
    if not is_complex(x):
        return mul(sign(x), t)
    # d|z| = Re(conj(z)/|z| dz), and 0 at 0.
    unit = div(conj(x), cast(out, dtype=x.aval.dtype))
    return real(mul(select(eq(out, 0.0), 0.0, unit), t))


abs_ = elementwise(
    "abs",
    "absolute",
    "absolute(x)",
    Term(_abs_term),
    result="real",
    domain=(0.5, 2.0),
    dtypes="iufc",
    operator=True,
)
copysign = elementwise(
    "copysign", "copysign", "copysign(x, y)",
    lambda x, y, out: mul(sign(x), copysign(1.0, y)), None, domain=(0.5, 2.0),
)  # fmt: skip
remainder = elementwise(
    "remainder", "remainder", "remainder(x, y)",
    1, lambda x, y, out: neg(floor_divide(x, y)), domain=(0.5, 2.0), dtypes="iuf", operator=True,
)  # fmt: skip
fmod = elementwise(
    "fmod", "fmod", "fmod(x, y)",
    1, lambda x, y, out: neg(rint(div(sub(x, out), y))), domain=(0.5, 2.0), dtypes="iuf",
)  # fmt: skip

# Selection.


def _transpose_select(ct: Any, c: Any, x: Any, y: Any) -> Any:
    return (
        None,
        select(c, ct, 0.0) if isinstance(x, Aval) else None,
        select(c, 0.0, ct) if isinstance(y, Aval) else None,
    )


select = elementwise(
    "select", "where", "where(x, y, z)",
    None, Term(lambda t, c, x, y, out: select(c, t, 0.0)),
    Term(lambda t, c, x, y, out: select(c, 0.0, t)),
    transpose=_transpose_select, scalars_like=1, dtypes=ALL, operator=True,
)  # fmt: skip


def as_weight(mask: Any, like: Any) -> Any:
    """1 where `mask` holds and 0 elsewhere, in the dtype of `like`."""
    dtype = like.aval.dtype
    return literal(mask.value, dtype) if type(mask) is Literal else cast(mask, dtype=dtype)


def _wins(x: Any, out: Any) -> Any:
    return bit_or(eq(x, out), isnan(x))


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
share = elementwise("share", _share_array, _share_text, None, None)


def _extreme(name: str, larger: bool, nan_wins: bool) -> Any:
    def of_x(x: Any, y: Any, out: Any) -> Any:
        return share(x, y, larger=larger, nan_wins=nan_wins)

    def of_y(x: Any, y: Any, out: Any) -> Any:
        return of_x(y, x, out)

    return elementwise(name, name, f"{name}(x, y)", of_x, of_y, dtypes=REALS)


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
    "minimum(maximum(x, y), z)", *_clip_partials(), dtypes=REALS,
)  # fmt: skip

# Casts and complex parts.


def _cast_array(xp: Any, x: Any, dtype: np.dtype) -> Any:
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = x.real
    return x.astype(dtype)


cast = elementwise(
    "cast", _cast_array, "cast(x)", Term(lambda t, x, out, dtype: cast(t, dtype=dtype)),
    result=lambda aval_dtype, dtype: dtype,
    transpose=lambda ct, x, dtype: cast(ct, dtype=x.dtype), dtypes=ALL,
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
    transpose=lambda ct, x: conj(ct), dtypes="c",
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
square = elementwise(
    "square", "square", "x * x", lambda x, out: mul(2.0, x), dtypes=NUMBERS, operator=True
)
sqrt = elementwise(
    "sqrt", "sqrt", "sqrt(x)", lambda x, out: div(0.5, out),
    guarded=True, domain=(0.5, 2.0), dtypes="fc",
)  # fmt: skip
rsqrt = elementwise(
    "rsqrt", lambda xp, x: 1 / xp.sqrt(x), "rsqrt(x)", lambda x, out: mul(-0.5, div(out, x)),
    guarded=True, domain=(0.5, 2.0),
)  # fmt: skip
cbrt = elementwise(
    "cbrt", "cbrt", "cbrt(x)", lambda x, out: div(1 / 3, square(out)),
    guarded=True, domain=(0.5, 2.0),
)  # fmt: skip


def _power_by_base(x: Any, y: Any, out: Any) -> Any:
    # 0 where y is, also at x = 0; its own derivative by y there is x**-1.
    return mulz(power(x, sub(y, 1.0)), y)


def _power_by_exponent(x: Any, y: Any, out: Any) -> Any:
    slope = mulz(log(x), out)
    if type(x) is Literal and x.value != 0:
        return slope
    at_zero = 0.0 if is_complex(x) else select(lt(y, 0.0), -INF, mul(y, 0.0))
    return select(eq(x, 0.0), at_zero, slope)


power = elementwise(
    "power", "power", "power(x, y)", _power_by_base, _power_by_exponent,
    guarded=True, domain=(0.5, 2.0), dtypes="fc", operator=True,
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
    guarded=True, domain=(0.5, 2.0), dtypes="fc", operator=True,
)  # fmt: skip

# Exponentials and logarithms.
exp = elementwise("exp", "exp", "exp(x)", lambda x, out: out, dtypes="fc")
exp2 = elementwise("exp2", "exp2", "exp2(x)", lambda x, out: mul(LN2, out), dtypes="fc")
expm1 = elementwise("expm1", "expm1", "expm1(x)", lambda x, out: exp(x), dtypes="fc")


def reciprocal_inside(x: Any, shifted: Any, scale: float) -> Any:
    """scale / shifted, NaN where the logarithm is not real, and so are its derivatives."""
    if is_complex(x):
        return div(scale, shifted)
    nan, one = literal(math.nan, x.aval.dtype), literal(scale, x.aval.dtype)
    return div(select(lt(shifted, 0.0), nan, one), shifted)


log = elementwise(
    "log", "log", "log(x)", lambda x, out: reciprocal_inside(x, x, 1.0),
    guarded=True, domain=(0.5, 2.0), dtypes="fc",
)  # fmt: skip
log2 = elementwise(
    "log2", "log2", "log2(x)", lambda x, out: reciprocal_inside(x, x, 1 / LN2),
    guarded=True, domain=(0.5, 2.0), dtypes="fc",
)  # fmt: skip
log10 = elementwise(
    "log10", "log10", "log10(x)", lambda x, out: reciprocal_inside(x, x, 1 / LN10),
    guarded=True, domain=(0.5, 2.0), dtypes="fc",
)  # fmt: skip
log1p = elementwise(
    "log1p", "log1p", "log1p(x)", lambda x, out: reciprocal_inside(x, add(1.0, x), 1.0),
    guarded=True, domain=(-0.5, 1.0), dtypes="fc",
)  # fmt: skip


def _sigmoid_array(xp: Any, x: Any) -> Any:
    e = xp.exp(-abs(x))
    return xp.where(x >= 0, x.dtype.type(1), e) / (1 + e)


# s(x) s(-x) = sech²(x/2) / 4.
sigmoid = elementwise(
    "sigmoid", _sigmoid_array, "sigmoid(x)",
    lambda x, out: mul(0.25, CATALOGUE["sech_square"](mul(0.5, x))),
)  # fmt: skip
softplus = elementwise(
    "softplus", lambda xp, x: xp.logaddexp(x, x.dtype.type(0)), "softplus(x)",
    lambda x, out: sigmoid(x),
)  # fmt: skip


def _share_of_sum(x: Any, y: Any, out: Any, scale: float = 1.0) -> Any:
    # Equal infinities would give NaN; their difference is taken as zero.
    both_infinite = bit_and(eq(x, y), isinf(x))
    difference = select(both_infinite, 0.0, sub(x, y))
    return sigmoid(difference if scale == 1.0 else mul(scale, difference))


logaddexp = elementwise(
    "logaddexp", "logaddexp",
    f"where(x == y, x + {LN2}, maximum(x, y) + softplus(-absolute(x - y)))",
    _share_of_sum, lambda x, y, out: _share_of_sum(y, x, out),
)  # fmt: skip
logaddexp2 = elementwise(
    "logaddexp2", "logaddexp2",
    f"where(x == y, x + 1, maximum(x, y) + {1 / LN2} * log1p(exp2(-absolute(x - y))))",
    lambda x, y, out: _share_of_sum(x, y, out, LN2),
    lambda x, y, out: _share_of_sum(y, x, out, LN2),
)  # fmt: skip
