"""Elementwise operations that are one call of SciPy's or CuPy's special functions."""

import decimal
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.errors import UnsupportedError
from gpuad.ir.primitive import Primitive
from gpuad.ir.ranges import SINGULAR, function
from gpuad.primitives.declare import elementwise


def special(xp: Any) -> Any:
    """The special functions that go with an array namespace."""
    if xp is np:
        import scipy.special

        return scipy.special
    import cupyx.scipy.special

    return cupyx.scipy.special


def has(xp: Any, name: str) -> bool:
    """Whether there is a function of this name."""
    return getattr(special(xp), name, None) is not None


def call(xp: Any, name: str, *operands: Any) -> Any:
    """SciPy's (CuPy's) function of this name, or one that is composed of others."""
    function = getattr(special(xp), name, None)
    if function is None and name in _COMPOSED:
        return _COMPOSED[name](xp, *operands)
    if function is None:
        raise UnsupportedError(
            f"cupyx.scipy.special has no {name}, so that it cannot be computed on a GPU; call "
            f"scipy.special.{name} through gpuad.external on a copy in the host's memory."
        )
    return function(*operands)


def _ellipe(xp: Any, m: Any) -> Any:
    """By the arithmetic-geometric mean: E = K (1 - Σ 2ⁿ⁻¹ cₙ²), c₀² = m."""
    a, b, total, power = xp.ones_like(m), xp.sqrt(1 - m), 0.5 * m, 0.5
    for _ in range(8):
        c, power = (a - b) / 2, 2 * power
        a, b = (a + b) / 2, xp.sqrt(a * b)
        total = total + power * c * c
    return xp.where(m == 1, 1.0, math.pi / (2 * a) * (1 - total)).astype(m.dtype)


_COMPOSED: dict[str, Callable[..., Any]] = {
    "betaincc": lambda xp, a, b, x: call(xp, "betainc", b, a, 1 - x),
    "betainccinv": lambda xp, a, b, y: 1 - call(xp, "betaincinv", b, a, y),
    "ellipe": _ellipe,
}
"""What not every version of CuPy has."""


def from_library(name: str) -> Callable[..., Any]:
    """SciPy's (CuPy's) function of this name, in the dtype of its operand."""

    def run(xp: Any, x: Any, *rest: Any) -> Any:
        result = call(xp, name, x, *rest)
        return result if result.dtype == x.dtype else result.astype(x.dtype)

    return run


def by_library(
    name: str,
    *partials: Any,
    run: Callable[..., Any] | None = None,
    domain: tuple[float, float] = (0.5, 2.0),
    dtypes: str = "f",
    workspace: float = 0.0,
    entire: bool = False,
) -> Primitive:
    """An elementwise operation without scalar text: SciPy's (CuPy's) function of this name, or
    `run`.

    It is called between sweeps, for a piece of the rows at a time. `workspace` is a multiple of the
    bytes of a float64 array of the operands' size. Only of an `entire` function it is known that
    its value and derivatives are finite where the operands are.
    """
    return elementwise(
        name, run or from_library(name), None, *partials,
        range=function() if entire else lambda *ranges, **params: SINGULAR,
        domain=domain, dtypes=dtypes,
        workspace=functools.partial(_bytes, 2.0 + workspace),
    )  # fmt: skip


def _bytes(arrays: float, e: Any, operands: Any) -> int:
    return int(arrays * max([8, *[8 * x.aval.size for x in (*e.operands, *e.outputs)]]))


def in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of float64 arrays, for arrays and numbers of any real dtype."""

    def run(xp: Any, *operands: Any, **params: Any) -> Any:
        doubles = [x.astype(np.float64, copy=False) for x in operands]
        with np.errstate(all="ignore"):
            result = function(xp, *doubles, **params)
        return result.astype(operands[0].dtype, copy=False)

    return run


def piecewise(xp: Any, pieces: Sequence[tuple[Any, Callable[..., Any]]], *operands: Any) -> Any:
    """For each element, the function of the first condition that holds; the last one always does.

    NumPy computes each function only where it is needed, CuPy everywhere.
    """
    if xp is not np:
        result = pieces[-1][1](*operands)
        for holds, function in reversed(pieces[:-1]):
            result = xp.where(holds, function(*operands), result)
        return result
    shape = np.broadcast_shapes(*map(np.shape, operands))
    out, rest = None, np.ones(shape, bool)
    for holds, function in pieces:
        here = rest & holds
        if here.all():
            return function(*operands)
        if here.any():
            value = np.asarray(function(*[x[here] if np.ndim(x) else x for x in operands]))
            out = np.empty(shape, value.dtype) if out is None else out
            out[here] = value
        rest &= ~here
    return out


@functools.cache
def legendre(count: int) -> tuple[tuple[float, float], ...]:
    """Nodes and weights of Gauss's quadrature over 0 to 1, each to the last place: those of NumPy
    are not, near the ends."""
    pairs = []
    with decimal.localcontext(prec=40):
        for start in np.polynomial.legendre.leggauss(count)[0].tolist():
            x = decimal.Decimal(start)
            for _ in range(3):
                before, now = decimal.Decimal(1), x
                for k in range(1, count):
                    before, now = now, ((2 * k + 1) * x * now - k * before) / (k + 1)
                slope = count * (x * now - before) / (x * x - 1)
                x -= now / slope
            pairs.append((float((1 + x) / 2), float(1 / ((1 - x * x) * slope * slope))))
    return tuple(pairs)


def integral(function: Callable[[Any], Any], end: Any, count: int = 40) -> Any:
    """The integrals of a function from 0 to each element of `end`."""
    total = 0.0
    for node, weight in legendre(count):
        total = total + weight * function(node * end)
    return total * end
