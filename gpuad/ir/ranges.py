"""Interval arithmetic: what is known of the values of a variable without computing them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

INF = math.inf


@dataclass(frozen=True)
class Range:
    """What is known of the elements of a value, if the inputs of the graph are finite.

    Attributes
    ----------
    low, high
        No element lies outside, apart from NaN. A complex value has no bounds.
    nonzero
        No element is zero.
    singular
        An element, or its derivative of any order by the graph's inputs, may be infinite or NaN.
        That a sum, product or power may overflow does not count.
    largest
        No finite element has a larger magnitude: a logarithm is infinite, or rather small.
    """

    low: float = -INF
    high: float = INF
    nonzero: bool = False
    singular: bool = False
    largest: float = INF

    @property
    def magnitude(self) -> float:
        """No finite element has a larger one."""
        return min(self.largest, max(abs(self.low), abs(self.high)))

    @property
    def without_zero(self) -> bool:
        return self.nonzero or self.low > 0 or self.high < 0

    def inside(self, low: float, high: float) -> bool:
        """Whether all elements lie strictly between these."""
        return low < self.low and self.high < high


UNKNOWN = Range()
SINGULAR = Range(singular=True)
RangeRule = Callable[..., Range]
"""``f(*ranges, **params)``: the range of a result, from those of the operands."""


def number(value: Any) -> Range:
    """The range of one number."""
    if isinstance(value, complex | np.complexfloating) or not math.isfinite(value):
        return Range(nonzero=bool(value), singular=not abs(value) < INF)
    return Range(float(value), float(value))


def union(*ranges: Range) -> Range:
    """The range of a value whose elements come from values of these ranges."""
    return Range(
        min(r.low for r in ranges),
        max(r.high for r in ranges),
        all(r.without_zero for r in ranges),
        any(r.singular for r in ranges),
        max(r.magnitude for r in ranges),
    )


def function(
    image: tuple[float, float] | Callable[..., tuple[float, float]] = (-INF, INF),
    finite: Callable[..., bool] | None = None,
) -> RangeRule:
    """The rule of a function with this image, given as bounds or by a function of the operands'
    ranges. Its value and derivatives are finite where `finite(*ranges)` holds; everywhere, if None.
    """

    def rule(*ranges: Range, **params: Any) -> Range:
        low, high = image(*ranges, **params) if callable(image) else image
        singular = any(r.singular for r in ranges)
        if not singular and finite is not None:
            singular = not finite(*ranges, **params)
        return Range(low, high, singular=singular)

    return rule


def same(x: Range, *others: Range, **params: Any) -> Range:
    """The rule of an operation that only moves elements of its first operand."""
    return x


# Comparisons. Their results are ranges of 0 (false) and 1 (true).

FALSE, TRUE, EITHER = Range(0, 0), Range(1, 1), Range(0, 1)


def less(x: Range, y: Range) -> Range:
    if x.singular or y.singular:  # a comparison with NaN is false
        return EITHER
    return TRUE if x.high < y.low else FALSE if x.low >= y.high else EITHER


def less_equal(x: Range, y: Range) -> Range:
    if x.singular or y.singular:
        return EITHER
    return TRUE if x.high <= y.low else FALSE if x.low > y.high else EITHER


def equal(x: Range, y: Range) -> Range:
    apart = x.high < y.low or y.high < x.low
    return FALSE if apart or (y == number(0) and x.nonzero) else EITHER


def chosen(c: Range, x: Range, y: Range) -> Range:
    """The range of a selection: of x where c is true, of y elsewhere."""
    return x if c == TRUE else y if c == FALSE else union(x, y)


# Arithmetic


def negated(x: Range) -> Range:
    return Range(-x.high, -x.low, x.nonzero, x.singular, x.largest)


def added(x: Range, y: Range) -> Range:
    singular, largest = x.singular or y.singular, x.magnitude + y.magnitude
    return Range(x.low + y.low, x.high + y.high, False, singular, largest)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def multiplied(x: Range, y: Range) -> Range:
    ends = [_times(a, b) for a in (x.low, x.high) for b in (y.low, y.high)]
    return Range(min(ends), max(ends), False, x.singular or y.singular)


def divided(x: Range, y: Range) -> Range:
    singular = x.singular or y.singular or not y.without_zero
    if y.low > 0 or y.high < 0:
        low, high = sorted((1 / y.low, 1 / y.high))
        return replace(multiplied(x, Range(low, high)), singular=singular)
    return Range(singular=singular)


def squared(x: Range) -> Range:
    ends = sorted((_times(x.low, x.low), _times(x.high, x.high)))
    low = 0.0 if x.low <= 0 <= x.high else ends[0]
    return Range(low, ends[1], singular=x.singular)


__all__ = [
    "SINGULAR", "UNKNOWN", "Range", "RangeRule", "added", "chosen", "divided", "equal", "function",
    "less", "less_equal", "multiplied", "negated", "number", "same", "squared", "union",
]  # fmt: skip
