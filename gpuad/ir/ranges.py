"""What is known of the values of a variable without computing them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

INF = math.inf


@dataclass(frozen=True)
class Range:
    """Bounds of the elements of a value, for finite inputs of the graph.

    Attributes
    ----------
    low, high
        No element that is a number lies outside; of a complex value nothing is known.
    nonzero
        No element is zero.
    wild
        An element, or a derivative of any order by the graph's inputs, may be infinite or NaN.
        Overflow of sums, products and powers does not count.
    """

    low: float = -INF
    high: float = INF
    nonzero: bool = False
    wild: bool = False

    @property
    def without_zero(self) -> bool:
        return self.nonzero or self.low > 0 or self.high < 0

    def inside(self, low: float, high: float) -> bool:
        """Whether all elements lie strictly between these."""
        return low < self.low and self.high < high


UNKNOWN = Range()
WILD = Range(wild=True)
RangeRule = Callable[..., Range]
"""``f(*ranges of the operands, **params)``, the range of the result."""


def number(value: Any) -> Range:
    """The range of one number."""
    if isinstance(value, complex | np.complexfloating) or not math.isfinite(value):
        return Range(nonzero=bool(value), wild=not abs(value) < INF)
    return Range(float(value), float(value))


def union(*ranges: Range) -> Range:
    """Of values that are elements of any of these."""
    return Range(
        min(r.low for r in ranges),
        max(r.high for r in ranges),
        all(r.without_zero for r in ranges),
        any(r.wild for r in ranges),
    )


def function(
    image: tuple[float, float] | Callable[..., tuple[float, float]] = (-INF, INF),
    finite: Callable[..., bool] | None = None,
) -> RangeRule:
    """The rule of an operation with this image (or function of the operands' ranges), whose value
    and derivatives are finite where `finite` of the ranges holds (everywhere, if None)."""

    def rule(*ranges: Range, **params: Any) -> Range:
        low, high = image(*ranges, **params) if callable(image) else image
        wild = any(r.wild for r in ranges)
        if not wild and finite is not None:
            wild = not finite(*ranges, **params)
        return Range(low, high, wild=wild)

    return rule


def same(x: Range, *others: Range, **params: Any) -> Range:
    """Of an operation that only moves elements of its first operand."""
    return x


# Truth, as 0 and 1: a range of (0, 0) is known to be false.

FALSE, TRUE, EITHER = Range(0, 0), Range(1, 1), Range(0, 1)


def less(x: Range, y: Range) -> Range:
    if x.wild or y.wild:  # of a NaN nothing is true
        return EITHER
    return TRUE if x.high < y.low else FALSE if x.low >= y.high else EITHER


def less_equal(x: Range, y: Range) -> Range:
    if x.wild or y.wild:
        return EITHER
    return TRUE if x.high <= y.low else FALSE if x.low > y.high else EITHER


def equal(x: Range, y: Range) -> Range:
    apart = x.high < y.low or y.high < x.low
    return FALSE if apart or (y == number(0) and x.nonzero) else EITHER


def chosen(c: Range, x: Range, y: Range) -> Range:
    """Of x where the truth c holds and y elsewhere."""
    return x if c == TRUE else y if c == FALSE else union(x, y)


# Arithmetic


def negated(x: Range) -> Range:
    return Range(-x.high, -x.low, x.nonzero, x.wild)


def added(x: Range, y: Range) -> Range:
    return Range(x.low + y.low, x.high + y.high, wild=x.wild or y.wild)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def multiplied(x: Range, y: Range) -> Range:
    ends = [_times(a, b) for a in (x.low, x.high) for b in (y.low, y.high)]
    return Range(min(ends), max(ends), False, x.wild or y.wild)


def divided(x: Range, y: Range) -> Range:
    wild = x.wild or y.wild or not y.without_zero
    if y.low > 0 or y.high < 0:
        low, high = sorted((_reciprocal(y.low), _reciprocal(y.high)))
        within = Range(low, high)
        return replace(multiplied(x, within), wild=wild)
    return Range(wild=wild)


def _reciprocal(x: float) -> float:
    return math.copysign(INF, x) if x == 0 else 1 / x


def squared(x: Range) -> Range:
    ends = sorted((_times(x.low, x.low), _times(x.high, x.high)))
    low = 0.0 if x.low <= 0 <= x.high else ends[0]
    return Range(low, ends[1], wild=x.wild)


__all__ = [
    "UNKNOWN", "WILD", "Range", "RangeRule", "added", "chosen", "divided", "equal", "function",
    "less", "less_equal", "multiplied", "negated", "number", "same", "squared", "union",
]  # fmt: skip
