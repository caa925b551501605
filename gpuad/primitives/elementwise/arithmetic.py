"""Arithmetic, comparison, logic, rounding, casts and complex parts."""

from typing import Any

import numpy as np

from gpuad.ir import ranges
from gpuad.ir.aval import Aval
from gpuad.ir.half import is_half
from gpuad.ir.primitive import is_inexact
from gpuad.ir.ranges import Range, function
from gpuad.primitives.declare import Term, elementwise

ALL = "biufc"
NUMBERS = "iufc"
REALS = "biuf"


def complex_dtype(dtype: np.dtype) -> np.dtype:
    """The complex dtype that holds this real one."""
    return np.result_type(dtype, np.complex64)


def is_complex(x: Any) -> bool:
    return x.aval.dtype.kind == "c"


# Linear arithmetic. A transpose gets an Aval in place of the operand whose cotangent it returns.


def _transpose_signed(sign_x: int, sign_y: int) -> Any:
    def transpose(ct: Any, x: Any, y: Any) -> Any:
        signed = [ct if sign == 1 else neg(ct) for sign in (sign_x, sign_y)]
        return [s if isinstance(o, Aval) else None for s, o in zip(signed, (x, y), strict=True)]

    return transpose


def _transpose_mul(ct: Any, x: Any, y: Any) -> Any:
    return (mul(ct, y), None) if isinstance(x, Aval) else (None, mul(x, ct))


neg = elementwise(
    "neg", "negative", "-x", -1, transpose=lambda ct, x: neg(ct),
    range=ranges.negated, dtypes=NUMBERS, operator=True,
    shows_nan=True, integers=True,
)  # fmt: skip
positive = elementwise(
    "positive", "positive", "+x", 1, transpose=lambda ct, x: ct,
    range=ranges.same, dtypes=NUMBERS, operator=True,
    shows_nan=True,
)  # fmt: skip
add = elementwise(
    "add", "add", "x + y", 1, 1, transpose=_transpose_signed(1, 1),
    range=ranges.added, dtypes=NUMBERS, operator=True,
    shows_nan=True, integers=True,
)  # fmt: skip
sub = elementwise(
    "sub", "subtract", "x - y", 1, -1, transpose=_transpose_signed(1, -1),
    range=lambda x, y: ranges.added(x, ranges.negated(y)), dtypes=NUMBERS, operator=True,
    shows_nan=True, integers=True,
)  # fmt: skip
mul = elementwise(
    "mul", "multiply", "x * y",
    Term(lambda t, x, y, out: mul(t, y)), Term(lambda t, x, y, out: mul(x, t)),
    transpose=_transpose_mul, range=ranges.multiplied, dtypes=NUMBERS, operator=True,
    shows_nan=True, integers=True, linear_in="each",
)  # fmt: skip
# The derivative by y is -(x/y)/y, since y² in -x/y² could overflow.
div = elementwise(
    "div", "true_divide", "x / y",
    Term(lambda t, x, y, out: div(t, y)), lambda x, y, out: neg(div(out, y)),
    transpose=lambda ct, x, y: (div(ct, y), None),
    range=ranges.divided, domain=(0.5, 2.0), dtypes="fc", operator=True,
    shows_nan=True, linear_in="first",
)  # fmt: skip
# The slope of a norm: x / y, and 0 where y is 0. Its derivatives are those of x / y, which are not
# finite there.
div_or_zero = elementwise(
    "div_or_zero", lambda xp, x, y: xp.where(y, x / y, 0), "where(y != 0, x / y, 0)",
    Term(lambda t, x, y, out: div(t, y)), lambda x, y, out: neg(div(out, y)),
    transpose=lambda ct, x, y: (div(ct, y), None),
    range=ranges.divided, domain=(0.5, 2.0), dtypes="fc",
    linear_in="first",
)  # fmt: skip

# Comparison, logic, bits: their derivative is zero.


def _comparison(name: str, function: str, text: str, range: Any = None, dtypes: str = REALS) -> Any:
    return elementwise(
        name, function, text, None, None,
        result="bool", range=range, dtypes=dtypes, integers=True,
    )  # fmt: skip


eq = _comparison("eq", "equal", "x == y", ranges.equal, ALL)
ne = _comparison("ne", "not_equal", "x != y", None, ALL)
lt = _comparison("lt", "less", "x < y", ranges.less)
le = _comparison("le", "less_equal", "x <= y", ranges.less_equal)
gt = _comparison("gt", "greater", "x > y", lambda x, y: ranges.less(y, x))
ge = _comparison("ge", "greater_equal", "x >= y", lambda x, y: ranges.less_equal(y, x))
isnan = elementwise(
    "isnan", "isnan", "isnan(x)", None, result="bool", dtypes="fc", asks_finite=True
)
isinf = elementwise(
    "isinf", "isinf", "isinf(x)", None, result="bool", dtypes="fc", asks_finite=True
)
isfinite = elementwise(
    "isfinite", "isfinite", "isfinite(x)", None, result="bool", dtypes="fc", asks_finite=True
)
signbit = elementwise("signbit", "signbit", "signbit(x)", None, result="bool", dtypes="f")
bit_and = elementwise(
    "bit_and", "bitwise_and", "x & y", None, None, dtypes="biu", operator=True, integers=True
)
bit_or = elementwise(
    "bit_or", "bitwise_or", "x | y", None, None, dtypes="biu", operator=True, integers=True
)
bit_xor = elementwise(
    "bit_xor", "bitwise_xor", "x ^ y", None, None, dtypes="biu", operator=True, integers=True
)
invert = elementwise("invert", "invert", "~x", None, dtypes="biu", operator=True)
shift_left = elementwise(
    "shift_left", "left_shift", "x << y", None, None, dtypes="iu", operator=True
)
shift_right = elementwise(
    "shift_right", "right_shift", "x >> y", None, None, dtypes="iu", operator=True
)

# Rounding and sign.
_rounded = function(lambda x: (x.low - 1, x.high + 1))
_by_nonzero = function(finite=lambda x, y: y.without_zero)
floor = elementwise("floor", "floor", "floor(x)", None, range=_rounded)
ceil = elementwise("ceil", "ceil", "ceil(x)", None, range=_rounded)
trunc = elementwise("trunc", "trunc", "trunc(x)", None, range=_rounded)
rint = elementwise("rint", "rint", "rint(x)", None, range=_rounded)
sign = elementwise("sign", "sign", "sign(x)", None, range=function((-1, 1)), dtypes="iuf")
floor_divide = elementwise(
    "floor_divide", "floor_divide", "floor_divide(x, y)", None, None,
    range=_by_nonzero, domain=(0.5, 2.0), dtypes="iuf", operator=True,
)  # fmt: skip
gcd = elementwise("gcd", "gcd", "gcd(x, y)", None, None, domain=(1, 9), dtypes="iu")
lcm = elementwise("lcm", "lcm", "lcm(x, y)", None, None, domain=(1, 9), dtypes="iu")
nextafter = elementwise("nextafter", "nextafter", "nextafter(x, y)", 1, None, by_precision=True)


def _magnitude(x: Range) -> Range:
    low = max(x.low, -x.high, 0.0)
    return Range(low, max(-x.low, x.high), x.nonzero, x.singular)


def _abs_term(t: Any, x: Any, out: Any) -> Any:
    if not is_complex(x):
        return mul(sign(x), t)
    # d|z| = Re(conj(z)/|z| dz), and 0 at 0.
    return real(mul(conj(unit(x)), t))


def _unit_array(xp: Any, z: Any) -> Any:
    """z / |z|, and 0 at 0. In an infinite z, infinite parts count as ±1 and finite ones as 0."""
    size = xp.absolute(z)
    inf = xp.isinf(size)
    parts = [xp.where(inf, xp.copysign(xp.isinf(p), p), p) for p in (z.real, z.imag)]
    size = xp.where(inf, xp.hypot(*parts), size)
    # By parts: what NumPy multiplies complex numbers with, 1/|z|, overflows for subnormal z.
    parts = [p / size for p in parts]
    return xp.where(size, _complex_array(xp, *parts).astype(z.dtype), z.dtype.type(0))


def _unit_term(t: Any, z: Any, out: Any) -> Any:
    # Only the part of t across z changes the direction. dz/|z| - z d|z|/|z|² would cancel where t
    # is parallel to z.
    across = div(imag(mul(conj(out), t)), abs_(z))
    return mul(mul(out, 1j), cast(across, dtype=out.aval.dtype))


unit = elementwise(
    "unit", _unit_array, "where(x != 0, x / absolute(x), 0)", Term(_unit_term),
    range=function(finite=lambda x: x.without_zero), domain=(0.5, 2.0), dtypes="c",
    workspace=7.0,
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

# Casts and complex parts.


def _cast_array(xp: Any, x: Any, dtype: np.dtype) -> Any:
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = x.real
    # In the order in which sweeps read: what is converted is used in another computation.
    return x.astype(dtype, order="C") if xp is np else x.astype(dtype)


def _cast_range(x: Range, dtype: np.dtype) -> Range:
    if is_inexact(dtype):
        return x
    return Range(0, 1) if dtype.kind == "b" else Range(x.low - 1, x.high + 1)


def _derivative_cast(t: Any, dtype: np.dtype) -> Any:
    """A tangent or cotangent in another dtype: no rounding that the user asked for."""
    return (narrow if is_half(dtype) else cast)(t, dtype=dtype)


cast = elementwise(
    "cast", _cast_array, "cast(x)", Term(lambda t, x, out, dtype: _derivative_cast(t, dtype)),
    result=lambda aval_dtype, dtype: dtype,
    transpose=lambda ct, x, dtype: _derivative_cast(ct, x.dtype), range=_cast_range, dtypes=ALL,
    integers=True, converts=True,
)  # fmt: skip
# The rounding of a result that is computed in float32 and stored in half precision. Compiled
# programs leave it out where the value is not stored.
narrow = elementwise(
    "narrow", _cast_array, "cast(x)", Term(lambda t, x, out, dtype: narrow(t, dtype=dtype)),
    result=lambda aval_dtype, dtype: dtype,
    transpose=lambda ct, x, dtype: _derivative_cast(ct, x.dtype), range=_cast_range,
    converts=True,
)  # fmt: skip
real = elementwise(
    "real", lambda xp, x: xp.real(x), "real(x)", Term(lambda t, x, out: real(t)),
    result="real", transpose=lambda ct, x: cast(ct, dtype=x.dtype), dtypes="c",
    aliases=True,
)  # fmt: skip
imag = elementwise(
    "imag", lambda xp, x: xp.imag(x), "imag(x)", Term(lambda t, x, out: imag(t)),
    result="real", transpose=lambda ct, x: mul(cast(ct, dtype=x.dtype), -1j), dtypes="c",
    aliases=True,
)  # fmt: skip
conj = elementwise(
    "conj", "conjugate", "conj(x)", Term(lambda t, x, out: conj(t)),
    transpose=lambda ct, x: conj(ct), range=ranges.same, dtypes="c",
    shows_nan=True,
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
