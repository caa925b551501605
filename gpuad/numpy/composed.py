"""Elementwise functions that are not ufuncs: clip, round, complex parts, nan_to_num, isclose."""

import builtins
import math
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.aval import Aval
from gpuad.ir.primitive import zeros
from gpuad.numpy import elementwise as e
from gpuad.numpy._arguments import check_layout, refuse
from gpuad.numpy._dispatch import aval_of, broadcast_to_shape, cast_to, implements
from gpuad.numpy._ufuncs import elementwise
from gpuad.primitives import elementwise as ew
from gpuad.tracing.operators import store
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

# Limits

_clip_ufunc: Any = np._core.umath.clip  # type: ignore[attr-defined]
_clip = elementwise("_clip", ew.clip, _clip_ufunc, _clip_ufunc, doc="x between two bounds.")


@implements(np.clip, cupy="cupy_clip")
def clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *,
    min: Any = None, max: Any = None, dtype: Any = None,
) -> Any:  # fmt: skip
    """`a` held between two bounds, either of them None.

    The derivative is 1 inside and at the bounds, 0 outside and where the bounds coincide.
    """
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ArgumentError("clip: a bound is given twice; give a_min and a_max, or min and max.")
    low, high = a_min if min is None else min, a_max if max is None else max
    if low is None and high is None:
        result = apply(lambda x: x, a)
        return result if out is None else e.positive(result, out=out)
    inexact = any(aval_of(x).dtype.kind == "f" for x in (a, low, high) if x is not None)
    if inexact:
        low, high = -math.inf if low is None else low, math.inf if high is None else high
        return _clip(a, low, high, out=out, dtype=dtype)
    if low is None:
        return e.minimum(a, high, out=out, dtype=dtype)
    if high is None:
        return e.maximum(a, low, out=out, dtype=dtype)
    return _clip(a, low, high, out=out, dtype=dtype)


@implements(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """`x` with numbers in place of NaN and infinities; the derivative by `x` is 0 there.

    With ``copy=False`` they are replaced in `x` itself.
    """
    given = [nan, *[v for v in (posinf, neginf) if v is not None]]

    def function(v: Any, nan: Any, *bounds: Any) -> Any:
        rest = iter(bounds)
        top, bottom = [None if given is None else next(rest) for given in (posinf, neginf)]
        if v.aval.dtype.kind == "c":
            parts = [_finite(part(v), nan, top, bottom) for part in (ew.real, ew.imag)]
            return ew.make_complex(*parts)
        return _finite(v, nan, top, bottom) if v.aval.dtype.kind == "f" else v

    result = apply(function, x, *given)
    return result if copy else store(result, x)


def _finite(v: Any, nan: Any, top: Any, bottom: Any) -> Any:
    limits = np.finfo(v.aval.dtype)
    found = v
    for where, value in (
        (ew.isnan(v), nan),
        (ew.eq(v, math.inf), float(limits.max) if top is None else top),
        (ew.eq(v, -math.inf), float(limits.min) if bottom is None else bottom),
    ):
        if not isinstance(value, float):
            value = broadcast_to_shape(cast_to(value, v.aval.dtype), v.aval.shape)
        found = ew.select(where, value, found)
    return found


# Rounding


@implements(np.round, np.around, name="round")
def round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """`a` rounded to a number of decimals, halves to even; its derivative is 0."""
    result = apply(lambda x: _round(x, int(decimals)), a)
    return result if out is None else e.positive(result, out=out)


def _round(x: Any, decimals: int) -> Any:
    kind, dtype = x.aval.dtype.kind, x.aval.dtype
    if kind == "c":
        return ew.make_complex(_round(ew.real(x), decimals), _round(ew.imag(x), decimals))
    if kind == "f":
        if not decimals:
            return ew.rint(x)
        scale = 10.0 ** builtins.abs(decimals)
        before, after = (ew.mul, ew.div) if decimals > 0 else (ew.div, ew.mul)
        return after(ew.rint(before(x, scale)), scale)
    if kind == "b":
        return ew.cast(x, dtype=np.dtype(np.float16))
    return (
        x if decimals >= 0 else ew.cast(_round(cast_to(x, np.dtype(float)), decimals), dtype=dtype)
    )


@implements(np.divmod, cupy="cupy_divmod")
def divmod(x1: Any, x2: Any, out1: Any = None, out2: Any = None, /, out: Any = None, *,
           where: Any = True, casting: Any = None, order: str = "K",
           dtype: Any = None) -> Any:  # fmt: skip
    """``(x // y, x % y)``."""
    _check_options("divmod", where, order)
    options = {k: v for k, v in (("casting", casting), ("dtype", dtype)) if v is not None}
    results = e.floor_divide(x1, x2, **options), e.remainder(x1, x2, **options)
    return _stored(results, (out1, out2), out)


def _check_options(name: str, where: Any, order: str) -> None:
    check_layout(order, name)
    if where is not True:
        raise UnsupportedError(
            f"{name}(where=...) leaves elements undefined and cannot be recorded; write "
            "np.where(mask, part, y) of the parts that it gives."
        )


def _stored(results: tuple[Any, ...], positional: Any, out: Any) -> tuple[Any, ...]:
    """Several results, each stored in the array that is given for it, in its place or in ``out=``,
    if there is one."""
    targets = positional if out is None else out
    return tuple([x if t is None else store(x, t) for x, t in zip(results, targets, strict=True)])


@implements(np.modf, cupy="cupy_modf")
def modf(x: Any, out1: Any = None, out2: Any = None, /, out: Any = None, *, where: Any = True,
         casting: Any = None, order: str = "K", dtype: Any = None) -> Any:  # fmt: skip
    """The fractional and the whole part of `x`."""
    _check_options("modf", where, order)
    refuse("modf", casting=casting, dtype=dtype)

    def function(v: Any) -> Any:
        v = v if v.aval.dtype.kind == "f" else ew.cast(v, dtype=_float_for(v, np.modf))
        infinite = ew.eq(ew.abs_(v), math.inf)
        fraction = ew.select(infinite, ew.copysign(0.0, v), ew.fmod(v, 1.0))
        return fraction, ew.trunc(v)

    return _stored(apply(function, x), (out1, out2), out)


def _float_for(v: Any, ufunc: Any) -> np.dtype:
    try:
        return ufunc.resolve_dtypes((v.aval.dtype, *[None] * ufunc.nout))[0]
    except TypeError:
        raise UnsupportedError(
            f"{ufunc.__name__} is not defined for {v.aval.dtype}; take the real part or abs(x) "
            "first."
        ) from None


@implements(np.frexp, cupy="cupy_frexp")
def frexp(x: Any, out1: Any = None, out2: Any = None, /, out: Any = None, *, where: Any = True,
          casting: Any = None, order: str = "K", dtype: Any = None) -> Any:  # fmt: skip
    """The mantissa, of absolute value 0.5 to 1, and the exponent of 2 that give `x`."""
    _check_options("frexp", where, order)
    refuse("frexp", casting=casting, dtype=dtype)
    return _stored(apply(_frexp, x), (out1, out2), out)


def _frexp(v: Any) -> Any:
    v = v if v.aval.dtype.kind == "f" else ew.cast(v, dtype=_float_for(v, np.frexp))
    limits = np.finfo(v.aval.dtype)
    size = ew.abs_(v)
    special = ew.bit_or(ew.eq(size, 0.0), ew.invert(ew.lt(size, math.inf)))
    small = ew.lt(size, float(limits.tiny))
    # Subnormal numbers are scaled, since a logarithm would lose them. One that is off by rounding
    # is put right by the size of the mantissa.
    shift = limits.nmant + 2
    scaled = ew.select(small, ew.mul(size, 2.0**shift), size)
    exponent = ew.floor(ew.log2(ew.select(special, 1.0, scaled)))
    exponent = ew.sub(exponent, ew.select(small, float(shift), ew.mul(0.0, exponent)))
    mantissa = e.times_power_of_two(size, ew.neg(exponent))
    exponent = ew.add(exponent, ew.as_weight(ew.ge(mantissa, 1.0), exponent))
    exponent = ew.sub(exponent, ew.as_weight(ew.lt(mantissa, 0.5), exponent))
    exponent = ew.select(special, 0.0, exponent)
    return e.times_power_of_two(v, ew.neg(exponent)), ew.cast(exponent, dtype=np.dtype(np.int32))


# Complex parts


def _is_complex(x: Any) -> bool:
    return x.aval.dtype.kind == "c"


@implements(np.real, cupy="cupy_real", view=True)
def real(val: Any) -> Any:
    """The real part."""
    return apply(lambda x: ew.real(x) if _is_complex(x) else x, val)


@implements(np.imag, cupy="cupy_imag", view=True)
def imag(val: Any) -> Any:
    """The imaginary part; zero of a real array."""
    return apply(lambda x: ew.imag(x) if _is_complex(x) else _zeros(x), val)


def _zeros(x: Any) -> Any:
    return zeros(Aval(x.aval.shape, x.aval.dtype))


@implements(np.angle, cupy="cupy_angle")
def angle(z: Any, deg: bool = False) -> Any:
    """The angle of a complex number, in radians (or degrees); its gradient at 0 is 0."""
    result = e.arctan2(imag(z), real(z))
    return e.rad2deg(result) if deg else result


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex."""
    return aval_of(x).dtype.kind == "c"


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return aval_of(x).dtype.kind != "c"


@implements(np.isreal)
def isreal(x: Any) -> Any:
    """Whether each element has no imaginary part."""
    return e.equal(imag(x), 0)


@implements(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """Whether each element has an imaginary part."""
    return e.not_equal(imag(x), 0)


# Tests


@implements(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    """Whether x is +inf."""
    return e.equal(x, math.inf, out=out)


@implements(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    """Whether x is -inf."""
    return e.equal(x, -math.inf, out=out)


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether ``|a - b| <= atol + rtol * |b|``, or both are the same infinity."""
    near = e.less_equal(e.absolute(e.subtract(a, b)), e.add(atol, e.multiply(rtol, e.absolute(b))))
    close = e.logical_or(e.logical_and(near, e.isfinite(b)), e.equal(a, b))
    return e.logical_or(close, e.logical_and(e.isnan(a), e.isnan(b))) if equal_nan else close


@implements(np.allclose)
def allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are close; a Python bool, so the values must be known."""
    return bool(OPERATIONS["all"](isclose(a, b, rtol, atol, equal_nan)))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Whether shapes and elements are equal; a Python bool, so the values must be known."""
    if aval_of(a1).shape != aval_of(a2).shape:
        return False
    same = e.equal(a1, a2)
    if equal_nan:
        same = e.logical_or(same, e.logical_and(e.isnan(a1), e.isnan(a2)))
    return bool(OPERATIONS["all"](same))


@implements(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> bool:
    """Whether shapes broadcast and elements are equal; a Python bool."""
    try:
        np.broadcast_shapes(aval_of(a1).shape, aval_of(a2).shape)
    except ValueError:
        return False
    return bool(OPERATIONS["all"](e.equal(a1, a2)))


__all__ = [
    "allclose", "angle", "array_equal", "array_equiv", "clip", "divmod", "frexp", "imag", "isclose",
    "iscomplex", "iscomplexobj", "isneginf", "isposinf", "isreal", "isrealobj", "modf",
    "nan_to_num", "real", "round",
]  # fmt: skip
