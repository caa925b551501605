"""Special functions: the error functions, sinc, logit and x·log x with its kin."""

import functools
import math
from types import CodeType
from typing import Any

from gpuad.ir.ranges import function
from gpuad.primitives.declare import elementwise
from gpuad.primitives.elementwise import (
    add,
    div,
    keep,
    log,
    mul,
    neg,
    reciprocal_inside,
    sub,
)
from gpuad.primitives.elementwise import log1p as _log1p
from gpuad.primitives.library import from_library

HALF_SQRT_PI = math.sqrt(math.pi) / 2
TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


@functools.cache
def _compiled(text: str) -> CodeType:
    return compile(text, "<scalar text>", "eval")


def from_text(text: str, xp: Any, x: Any) -> Any:
    """A scalar text of one operand, computed on a whole array."""
    code = _compiled(text)
    names = {name: getattr(xp, name) for name in code.co_names if name != "x"}
    return eval(code, names, {"x": x})


# The error functions. exp(-x²) from the rounded square would lose x² units in the last place. On
# arrays, x is rounded to m, a multiple of 1/128, so that m·m is exact; the scalar text corrects the
# result by the rounding error of the square, which fma gives. Beyond 40 the result is zero.


def gaussian_array(xp: Any, x: Any, factor: float = 1.0) -> Any:
    """exp(-factor · x²), factor 1 or ½."""
    y = xp.minimum(abs(x), 40)
    m = xp.rint(128 * y) * 0.0078125
    return xp.exp(-factor * m * m) * xp.exp(factor * (m - y) * (m + y))


_Y = "minimum(absolute(x), 40)"
_GAUSSIAN = f"exp(-({_Y} * {_Y})) * (1 - fma({_Y}, {_Y}, -({_Y} * {_Y})))"

gaussian = elementwise(
    "gaussian", gaussian_array, _GAUSSIAN,
    lambda x, out: mul(mul(-2.0, x), out), range=function((0, 1)),
    shows_nan=True, workspace=4.0,
)  # fmt: skip
erf = elementwise(
    "erf", from_library("erf"), "erf(x)", lambda x, out: mul(TWO_OVER_SQRT_PI, gaussian(x)),
    range=function((-1, 1)),
    shows_nan=True,
)  # fmt: skip
erfc = elementwise(
    "erfc", from_library("erfc"), "erfc(x)", lambda x, out: mul(-TWO_OVER_SQRT_PI, gaussian(x)),
    range=function((0, 2)),
    shows_nan=True,
)  # fmt: skip
erfinv = elementwise(
    "erfinv", from_library("erfinv"), "erfinv(x)",
    lambda x, out: div(HALF_SQRT_PI, gaussian(out)),
    range=function(finite=lambda x: x.inside(-1, 1)), domain=(-0.9, 0.9),
)  # fmt: skip
erfcinv = elementwise(
    "erfcinv", from_library("erfcinv"), "erfcinv(x)",
    lambda x, out: div(-HALF_SQRT_PI, gaussian(out)),
    range=function(finite=lambda x: x.inside(0, 2)), domain=(0.2, 1.8),
)  # fmt: skip

# log(x / (1 - x)), x log y, x log(1 + y), -x log x.
logit = elementwise(
    "logit", from_library("logit"),
    # Around ½ the quotient is near 1, and rounded there.
    "where(absolute(2 * x - 1) < 0.5, log1p((2 * x - 1) / (1 - x)), log(x / (1 - x)))",
    # 1/x + 1/(1 - x): no cancellation, and no 0 · inf at the ends in reverse mode.
    lambda x, out: add(reciprocal_inside(x, x, 1.0), reciprocal_inside(x, sub(1.0, x), 1.0)),
    range=function(finite=lambda x: x.inside(0, 1)), domain=(0.1, 0.9),
)  # fmt: skip
xlogy = elementwise(
    "xlogy", from_library("xlogy"), "where((x == 0) & (y == y), 0, x * log(y))",
    lambda x, y, out: log(y), lambda x, y, out: keep(x, div(x, y)),
    range=function(finite=lambda x, y: y.low > 0), domain=(0.5, 2.0),
)  # fmt: skip
xlog1py = elementwise(
    "xlog1py", from_library("xlog1py"), "where((x == 0) & (y == y), 0, x * log1p(y))",
    lambda x, y, out: _log1p(y), lambda x, y, out: keep(x, div(x, add(1.0, y))),
    range=function(finite=lambda x, y: y.low > -1), domain=(0.5, 2.0),
)  # fmt: skip
entr = elementwise(
    "entr", from_library("entr"), "where(x == 0, x, where(x < 0, -inf, -x * log(x)))",
    lambda x, out: neg(add(log(x), 1.0)),
    range=function(finite=lambda x: x.low > 0), domain=(0.5, 2.0),
)  # fmt: skip

# sinc: the n-th derivative of f(u) = sin(u)/u, u = πx, by its Taylor series for |u| < 2 and by
# u·f⁽ⁿ⁾(u) = sin(u + nπ/2) - n·f⁽ⁿ⁻¹⁾(u) beyond, where that is stable. Sine and cosine of πx, x
# real, are those of π times what x is off a whole number, up to a sign: right near zeros too.

_TERMS = 15
_U = f"({math.pi} * x)"
_OFF = f"({math.pi} * (x - rint(x)))"
_EVEN = "rint(x) == 2 * rint(0.5 * rint(x))"


def _shifted_sine(n: int, real: bool) -> str:
    """sin(u + nπ/2)."""
    text = f"{('sin', 'cos')[n % 2]}{_OFF if real else _U}"
    text = f"where({_EVEN}, {text}, -{text})" if real else text
    return f"(-{text})" if n % 4 > 1 else text


def _sinc_series(n: int) -> str:
    first = (n + 1) // 2
    coefficients = [
        (-1) ** k * math.perm(2 * k, n) / math.factorial(2 * k + 1)
        for k in range(first, first + _TERMS)
    ]
    text = f"{coefficients.pop()}"
    while coefficients:
        text = f"({coefficients.pop()} + {_U} * {_U} * {text})"
    return f"{_U} * {text}" if n % 2 else text


def _sinc_closed(n: int, real: bool) -> str:
    text = f"{_shifted_sine(0, real)} / {_U}"
    for k in range(1, n + 1):
        text = f"({_shifted_sine(k, real)} - {k} * {text}) / {_U}"
    return text


@functools.cache
def _sinc_text(n: int, real: bool = True) -> str:
    inside = f"where(absolute(x) < {2 / math.pi}, {_sinc_series(n)}, {_sinc_closed(n, real)})"
    return f"{math.pi**n} * {inside}" if n else inside


sinc = elementwise(
    "sinc", lambda xp, x, n: from_text(_sinc_text(n, x.dtype.kind == "f"), xp, x), _sinc_text,
    lambda x, out, n: sinc(x, n=n + 1), dtypes="fc",
    shows_nan=True, workspace=16.0,
)  # fmt: skip
