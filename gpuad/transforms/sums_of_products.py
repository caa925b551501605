"""Values as sums of products: numbers times powers of *factors*, which are computed otherwise.

A chain of products and sums, as derivatives are, becomes the few products in it that are different,
with equal ones added up. What has been divided by y is multiplied by 1/y to divide it by y again,
if 1/y is there.

Each operation has been rounded as it was written, and is rounded as often or less now: results
differ by some ulp of the terms that are added. So a sum is multiplied out only where its terms are
products (rounded already) with a factor in common; the difference of two inputs, which is exact,
never is, nor are terms that cancel. Products on the way can underflow or overflow where others did.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.transforms.simplify import repeats

MOST_TERMS = 4
"""Terms of a sum, at most: a longer one is a factor of others, or a term."""
HIGHEST_POWER = 32
LARGEST = 1e18
"""Numbers of a sum are at most this and at least its inverse: no dtype overflows."""


@dataclass(frozen=True)
class Factor:
    """A variable; with `dims`, repeated along other axes, as by `broadcast`."""

    var: Var
    dims: tuple[int, ...] | None = None

    def repeated(self, dims: tuple[int, ...]) -> "Factor":
        own = range(self.var.aval.ndim) if self.dims is None else self.dims
        return Factor(self.var, tuple([dims[d] for d in own]))


Product = frozenset[tuple[Factor, int]]
"""Factors with their exponents, which are 1 or more."""
ONE: Product = frozenset()
Sum = dict[Product, float]
"""Products, each with the number that it is multiplied by."""


def times(x: Product, y: Product) -> Product:
    powers = dict(x)
    for factor, n in y:
        powers[factor] = powers.get(factor, 0) + n
    return frozenset(powers.items())


def common(terms: Sum) -> Product:
    """The factors that all terms have."""
    first, *others = terms
    powers = dict(first)
    for term in others:
        own = dict(term)
        powers = {f: min(n, own[f]) for f, n in powers.items() if f in own}
    return frozenset(powers.items())


def divided(x: Product, y: Product) -> Product:
    """The factors of x without those of y, which it has."""
    own = dict(y)
    rest = [(f, n - own.get(f, 0)) for f, n in x]
    return frozenset([(f, n) for f, n in rest if n])


def degree(x: Product) -> int:
    return sum([n for _, n in x])


def scaled(terms: Sum, number: float) -> Sum:
    return {p: number * c for p, c in terms.items()}


def power_of_two(number: float) -> bool:
    return abs(np.frexp(number)[0]) == 0.5


def spreads(terms: Sum) -> bool:
    """Whether a sum may be multiplied out."""
    return len(terms) == 1 or (degree(common(terms)) > 0 and all(degree(p) > 1 for p in terms))


class SumsOfProducts:
    """The sums of products among the `wide` values of a graph.

    Attributes
    ----------
    sums : dict
        The values that are sums of products.
    """

    def __init__(self, graph: Graph, wide: set[Var], most_factors: int):
        self.sums: dict[Var, Sum] = {}
        self._most_factors = most_factors
        self._made = {v: e for e in graph.equations for v in e.outputs}
        self._reciprocals: dict[Factor, Factor] = {}
        for e in graph.equations:
            rule = RULES.get(e.primitive.name)
            if rule is not None and e.outputs[0] in wide:
                found = rule(self, e)
                if found is not None and self._suits(found):
                    self.sums[e.outputs[0]] = found

    @staticmethod
    def _suits(terms: Sum) -> bool:
        numbers = [*terms.values()]
        powers = [n for p in terms for _, n in p]
        return (
            len(terms) <= MOST_TERMS
            and all(1 / LARGEST <= abs(c) <= LARGEST for c in numbers)
            and max(powers, default=1) <= HIGHEST_POWER
        )

    def factor(self, x: Var) -> Factor:
        e = self._made.get(x)
        if e is None or not repeats(e):
            return Factor(x)
        return self.factor(e.operands[0]).repeated(e.params["dims"])  # type: ignore[arg-type]

    def itself(self, x: Any) -> Sum:
        return {frozenset([(self.factor(x), 1)]): 1.0}

    def of(self, x: Atom) -> Sum:
        if type(x) is not Var:
            return {ONE: float(x.value)}
        return self.sums[x] if x in self.sums else self.itself(x)

    # Rules: the sum of an equation's result, or None

    def multiplied(self, x: Atom, y: Atom) -> Sum | None:
        for a, b in self._ways(x, y):
            if len(a) > 1 and len(b) > 1:
                continue
            few, many = (a, b) if len(a) == 1 else (b, a)
            ((product, number),) = few.items()
            exact = product == ONE and power_of_two(number)
            if not spreads(many) and not exact:
                continue
            found = {times(product, p): number * c for p, c in many.items()}
            if all(len(p) <= self._most_factors for p in found):
                return found
        return None

    def _ways(self, x: Atom, y: Atom) -> list[tuple[Sum, Sum]]:
        """The operands as sums, and if that is too much, as factors: the larger one first."""
        a, b = self.of(x), self.of(y)
        if type(x) is Literal or type(y) is Literal:
            return [(a, b)]
        p, q = self.itself(x), self.itself(y)
        size_a, size_b = [max(map(len, terms)) + len(terms) for terms in (a, b)]
        apart = [(p, b), (a, q)] if size_a >= size_b else [(a, q), (p, b)]
        return [(a, b), *apart, (p, q)]

    def added(self, x: Sum, y: Sum) -> Sum | None:
        if len(x) == len(y) == 1 and x.keys() == y.keys() and ONE not in x:
            ((p, c),) = x.items()
            return {p: c + y[p]}
        if any(degree(p) == 1 for p in (*x, *y)):
            return None
        found = dict(x)
        for p, c in y.items():
            found[p] = found.get(p, 0.0) + c
        return found

    def over(self, x: Atom, y: Any) -> Sum | None:
        """x / y; None if 1/y is not there or x has not been divided by y before."""
        if type(y) is Literal:
            return None
        factor = self.factor(y)
        if type(x) is Literal and x.value == 1:
            return None
        reciprocal = self._reciprocal(factor)
        if reciprocal is None:
            return None
        terms = self.of(x)
        if type(x) is not Literal and any(reciprocal not in dict(p) for p in terms):
            return None
        once = frozenset([(reciprocal, 1)])
        return {times(p, once): c for p, c in terms.items()}

    def _reciprocal(self, y: Factor) -> Factor | None:
        found = self._reciprocals.get(y)
        if found is not None or y.dims is None:
            return found
        found = self._reciprocals.get(Factor(y.var))
        return None if found is None else found.repeated(y.dims)

    def note_reciprocal(self, e: Equation) -> None:
        x, y = e.operands
        if type(x) is Literal and x.value == 1 and type(y) is Var:
            self._reciprocals[self.factor(y)] = Factor(e.outputs[0])

    def power(self, x: Any, n: int) -> Sum | None:
        terms = self.of(x)
        if len(terms) > 1:
            terms = self.itself(x)
        ((product, number),) = terms.items()
        return {frozenset([(f, n * k) for f, k in product]): number**n}


def _divide(found: SumsOfProducts, e: Equation) -> Sum | None:
    found.note_reciprocal(e)
    return found.over(*e.operands)


def _power(found: SumsOfProducts, e: Equation) -> Sum | None:
    n = e.params["n"]
    return found.power(e.operands[0], n) if 2 <= n <= 8 else None


def _repeat(found: SumsOfProducts, e: Equation) -> Sum | None:
    (x,) = e.operands
    terms = found.sums.get(x) if type(x) is Var and repeats(e) else None
    if terms is None:
        return None
    dims = e.params["dims"]
    return {frozenset([(f.repeated(dims), n) for f, n in p]): c for p, c in terms.items()}


Rule = Callable[[SumsOfProducts, Equation], Sum | None]
RULES: dict[str, Rule] = {
    "neg": lambda found, e: scaled(found.of(e.operands[0]), -1.0),
    "mul": lambda found, e: found.multiplied(*e.operands),
    "square": lambda found, e: found.multiplied(e.operands[0], e.operands[0]),
    "integer_power": _power,
    "add": lambda found, e: found.added(*map(found.of, e.operands)),
    "sub": lambda found, e: found.added(
        found.of(e.operands[0]), scaled(found.of(e.operands[1]), -1.0)
    ),
    "div": _divide,
    "broadcast": _repeat,
}
