"""The lines of a CUDA kernel's loop body, and the names of what they compute."""

import math
import re
from collections import ChainMap
from collections.abc import Callable
from typing import Any, Self

from gpuad.ir.ranges import UNKNOWN, Range

_NEGATED = re.compile(r"\(-(\w+)\)")
_NUMBER = re.compile(r"(f\d\d)\(([^()]*)\)")
_SUM = re.compile(r"\((\w+) \+ (\w+)\)")
_SCALED = re.compile(r"\((f\d\d)\(([^()]*)\) \* (\w+)\)")


class Names:
    """Lines that each give a name to an expression; what is equal is computed once.

    Loads come before the other lines, so that many of them are in flight, unless lines are kept
    `in_order`. What the `outer` scope has computed has a name here too. `ranges` is what is known
    of the values of names.
    """

    def __init__(self, fresh: Callable[[], str], outer: Self | None = None, in_order: bool = False):
        self.loads: list[str] = []
        self.lines: list[str] = []
        self._in_order = in_order
        self._fresh = fresh
        self._known: ChainMap[str, Any] = ChainMap() if outer is None else outer._known.new_child()
        self._made: ChainMap[str, str] = ChainMap() if outer is None else outer._made.new_child()
        self.ranges: ChainMap[str, Range]
        self.ranges = ChainMap() if outer is None else outer.ranges.new_child()

    def inner(self) -> Self:
        """The lines of a branch here."""
        return type(self)(self._fresh, self, in_order=True)

    def apart(self) -> Self:
        """Lines that may be put anywhere: they know no names but those that they are given."""
        return type(self)(self._fresh, in_order=True)

    def recalled(self, key: str) -> Any:
        """What has been remembered under a key; None if nothing is. The key of an expression is its
        text."""
        return self._known.get(key)

    def remember(self, key: str, value: Any) -> None:
        self._known[key] = value

    def within(self, x: str, low: float, high: float) -> bool:
        """Whether all that a name may be, apart from NaN, is from `low` to `high`."""
        r = self.ranges.get(x, UNKNOWN)
        return bool(low <= r.low and r.high <= high)

    def within_or_infinite(self, x: str, size: float) -> bool:
        """Whether no finite number that a name may be has a larger magnitude."""
        return bool(self.ranges.get(x, UNKNOWN).magnitude <= size)

    def never_positive(self, x: str) -> bool:
        """Whether a name is known not to be positive: also as minus a magnitude."""
        made = _NEGATED.fullmatch(self._made.get(x, x))
        of_magnitude = made and self._made.get(made[1], "").startswith("absolute_")
        return bool(of_magnitude) or self.within(x, -math.inf, 0)

    def number(self, x: str) -> float | None:
        """The floating-point number that an expression is; None if it is none."""
        made = _NUMBER.fullmatch(self._made.get(x, x))
        return float(made[2]) if made else None

    def named(self, expression: str) -> str:
        """A name for the value of an expression."""
        return self._name(expression, self.lines)

    def loaded(self, expression: str) -> str:
        """A name for an element of an array."""
        return self._name(expression, self.lines if self._in_order else self.loads)

    def variable(self, expression: str) -> str:
        """A new name with this value, which may be assigned again."""
        name = self._fresh()
        self.lines.append(f"{name} = {expression}")
        return name

    def several(self, expression: str, n: int, made: bool = True, early: bool = False) -> list[str]:
        """Names for the `n` values of an expression; none, if they are not known and not to be
        `made`. They are made `early` with other loads."""
        found = self.recalled(expression)
        if found is None and made:
            found = ", ".join([self._fresh() for _ in range(n)])
            self.remember(expression, found)
            lines = self.loads if early and not self._in_order else self.lines
            lines.append(f"{found} = {expression}")
        return found.split(", ") if found else []

    def _name(self, expression: str, lines: list[str]) -> str:
        if expression.isidentifier():
            return expression
        found = self._known.get(expression)
        if found is None:
            found = self._known[expression] = self._fresh()
            self._made[found] = expression
            lines.append(f"{found} = {expression}")
        return str(found)

    def negated(self, x: str) -> str:
        """The expression of -x."""
        made = _NEGATED.fullmatch(self._made.get(x, x))
        return made[1] if made else f"(-{x})"

    def magnitude(self, x: str, kind: str) -> str:
        """|x|, of a name, which may be that of a magnitude, or of another number with a sign."""
        while made := _NEGATED.fullmatch(self._made.get(x, x)):
            x = made[1]
        function = f"absolute_{kind}("
        return x if self._made.get(x, x).startswith(function) else self.named(f"{function}{x})")

    def added(self, x: str, y: str, kind: str) -> str:
        """x + y, of names. A term that is added again, as the derivative of x·x is, is added twice
        at once."""
        for total, term in ((x, y), (y, x)):
            made = _SUM.fullmatch(self._made.get(total, ""))
            if made and term in made.groups():
                other = made[2] if term == made[1] else made[1]
                return self.named(f"fma_{kind}({kind}(2.0), {term}, {other})")
        return self.named(f"({x} + {y})")

    def product(self, x: str, y: str) -> str:
        """x·y. Of a number with another number's product, if one of both is a power of two, it is
        one product, or none."""
        first, second = _NUMBER.fullmatch(x), _SCALED.fullmatch(self._made.get(y, y))
        if first and second:
            a, b = float(first[2]), float(second[2])
            if 0.5 in (abs(math.frexp(a)[0]), abs(math.frexp(b)[0])):
                factor = f"{first[1]}({a * b!r})"
                return second[3] if a * b == 1 else self.named(f"({factor} * {second[3]})")
        return self.named(f"({x} * {y})")
