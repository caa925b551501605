"""Divergences, Huber's loss functions and the transforms of Box and Cox."""

import math
from typing import Any

import numpy as np

from gpuad.ir.primitive import Primitive
from gpuad.ir.ranges import function
from gpuad.primitives.declare import elementwise
from gpuad.primitives.elementwise import (
    abs_,
    add,
    bit_and,
    clip,
    div,
    eq,
    exp,
    integer_power,
    keep,
    le,
    log,
    log1p,
    lt,
    maximum,
    mul,
    neg,
    power,
    select,
    sqrt,
    square,
    sub,
)
from gpuad.primitives.integrals import exprel, log1p_ratio
from gpuad.primitives.library import by_library, from_library


def _log_quotient(x: Any, y: Any) -> Any:
    """log(x / y), by log1p where x is near y, and as a difference where x / y is not finite."""
    near = bit_and(le(mul(0.5, y), x), le(x, mul(2.0, y)))
    small = select(near, div(sub(x, y), y), 0.0)
    quotient = div(x, y)
    inside = bit_and(lt(float(np.finfo(x.aval.dtype).tiny), quotient), lt(quotient, math.inf))
    far = select(inside, log(select(inside, quotient, 1.0)), sub(log(x), log(y)))
    return select(near, log1p(small), far)


rel_entr = by_library(
    "rel_entr",
    lambda x, y, out: add(_log_quotient(x, y), 1.0), lambda x, y, out: neg(keep(x, div(x, y))),
)  # fmt: skip


def _kl_div_by_second(x: Any, y: Any, out: Any) -> Any:
    """1 - x/y, by y - x where they are near."""
    near = bit_and(le(mul(0.5, y), x), le(x, mul(2.0, y)))
    return select(near, div(sub(y, x), y), sub(1.0, div(x, y)))


kl_div = by_library("kl_div", lambda x, y, out: _log_quotient(x, y), _kl_div_by_second)

# Huber's loss of a residual r, with its derivatives clip(r, -delta, delta) and |r| - delta or 0.


def _huber_by_delta(delta: Any, r: Any, out: Any) -> Any:
    return maximum(sub(abs_(r), delta), 0.0)


def _huber_by_residual(delta: Any, r: Any, out: Any) -> Any:
    return clip(r, neg(delta), delta)


huber = elementwise(
    "huber", from_library("huber"),
    "where(x < 0, inf, where(absolute(y) <= x, 0.5 * y * y, x * (absolute(y) - 0.5 * x)))",
    _huber_by_delta, _huber_by_residual,
    range=function(finite=lambda x, y: x.low >= 0), domain=(0.5, 2.0), workspace=1.0,
)  # fmt: skip


# δ² (s - 1) with s = √(1 + v²) and v = r/δ. Its derivatives by δ and by r have these factors.

_ROOT = "sqrt(1 + (y / x) * (y / x))"


def _parts(delta: Any, r: Any) -> tuple[Any, Any]:
    v = div(r, delta)
    return v, sqrt(add(1.0, square(v)))


def _cube_of_slope(delta: Any, r: Any, out: Any) -> Any:
    v, root = _parts(delta, r)
    return integer_power(div(v, root), n=3)


def _inverse_cube(delta: Any, r: Any, out: Any) -> Any:
    return integer_power(_parts(delta, r)[1], n=-3)


def _curvature_by_delta(delta: Any, r: Any, out: Any) -> Any:
    v, root = _parts(delta, r)
    top = mul(square(div(v, root)), square(div(v, add(root, 1.0))))
    return neg(mul(top, div(add(1.0, mul(2.0, root)), root)))


def _root_array(xp: Any, delta: Any, r: Any) -> Any:
    v = r / delta
    return xp.sqrt(1 + v * v)


def _by_delta_array(xp: Any, delta: Any, r: Any) -> Any:
    v, root = r / delta, _root_array(xp, delta, r)
    return delta * ((v / root) * v) * ((v / (1 + root)) * (v / (1 + root)))


_by_delta = elementwise(
    "pseudo_huber_by_delta", _by_delta_array,
    f"x * (y / x / {_ROOT} * (y / x)) * (y / x / (1 + {_ROOT}) * (y / x / (1 + {_ROOT})))",
    _curvature_by_delta, _cube_of_slope,
    range=function(finite=lambda x, y: x.low > 0), domain=(0.5, 2.0), workspace=6.0,
)  # fmt: skip
_by_residual = elementwise(
    "pseudo_huber_by_residual", lambda xp, delta, r: r / _root_array(xp, delta, r),
    f"y / {_ROOT}", _cube_of_slope, _inverse_cube,
    range=function(finite=lambda x, y: x.low > 0), domain=(0.5, 2.0), workspace=3.0,
)  # fmt: skip
pseudo_huber = by_library(
    "pseudo_huber",
    lambda delta, r, out: _by_delta(delta, r), lambda delta, r, out: _by_residual(delta, r),
)  # fmt: skip

# (x^λ - 1) / λ = log(x) exprel(λ log(x)), its inverse (1 + λy)^(1/λ), and those of 1 + x.


def _boxcox_by_power(lam: Any, logarithm: Any, at_zero: Any) -> Any:
    inside = select(at_zero, 1.0, logarithm)
    slope = mul(square(inside), exprel(mul(lam, inside), n=1))
    return select(at_zero, div(1.0, square(lam)), slope)


boxcox = by_library(
    "boxcox",
    lambda x, lam, out: power(x, sub(lam, 1.0)),
    lambda x, lam, out: _boxcox_by_power(lam, log(x), eq(x, 0.0)),
)  # fmt: skip
boxcox1p = by_library(
    "boxcox1p",
    lambda x, lam, out: exp(mul(sub(lam, 1.0), log1p(x))),
    lambda x, lam, out: _boxcox_by_power(lam, log1p(x), eq(x, -1.0)),
)  # fmt: skip


def _inverse_by_value(y: Any, lam: Any, value: Any) -> Any:
    return div(value, add(1.0, mul(lam, y)))


def _inverse_by_power(y: Any, lam: Any, value: Any) -> Any:
    return mul(mul(value, square(y)), log1p_ratio(mul(lam, y), n=1))


def _inverse(name: str, lost: float) -> Primitive:
    def of(rule: Any) -> Any:
        return lambda y, lam, out: rule(y, lam, inv_boxcox(y, lam) if lost else out)

    return by_library(name, of(_inverse_by_value), of(_inverse_by_power))


inv_boxcox = _inverse("inv_boxcox", 0.0)
inv_boxcox1p = _inverse("inv_boxcox1p", 1.0)
