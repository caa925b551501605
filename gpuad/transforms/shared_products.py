"""Graphs whose work is in values of more elements than memory has, as of all pairs of particles:
their products and sums in the form that takes the fewest operations.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gpuad.ir.build import building, literal
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.primitives import elementwise as ew
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.structure import broadcast
from gpuad.transforms.memo import memo
from gpuad.transforms.simplify import RULES, Rebuilding
from gpuad.transforms.sums_of_products import (
    ONE,
    Factor,
    Product,
    Sum,
    SumsOfProducts,
    common,
    degree,
    divided,
    power_of_two,
    scaled,
)

WIDER = 8
"""A value is wide if it has so many times the elements of any input or output."""
MOST_WIDE = 2000
"""Wide values of a graph, at most: with more, looking for products would take seconds."""
FACTORS = (2, 3, 4)
"""Different factors of a product: what takes the fewest operations is found by trying."""
ENOUGH = 0.75
"""A graph is written anew if it has at most this part of the operations: results are rounded
otherwise, which less is not worth."""
DIVISION = 8
"""Operations that a division counts as."""


@memo
def with_shared_products(graph: Graph) -> Graph:
    """The graph with the products and sums of its wide values in the form that costs least."""
    wide = wide_values(graph)
    if not wide or len(wide) > MOST_WIDE:
        return graph
    found = [graph]
    last: dict[Var, Sum] = {}
    for most in FACTORS:
        sums = SumsOfProducts(graph, wide, most).sums
        if sums != last:
            found.append(_Written(graph, sums).graph)
        last = sums
    best = min(found, key=operations)
    return best if operations(best) <= ENOUGH * operations(graph) else graph


def wide_values(graph: Graph) -> set[Var]:
    """The real values with many more elements than any input or output."""
    sizes = [x.aval.size for x in (*graph.inputs, *graph.outputs)]
    least = WIDER * max(sizes, default=1)
    return {
        v
        for e in graph.equations
        for v in e.outputs
        if v.aval.size >= least and v.aval.dtype.kind == "f"
    }


def operations(graph: Graph) -> float:
    """Operations of all elements; a product that is only added to something counts as none."""
    uses: Counter[Any] = Counter([x for e in graph.equations for x in e.operands])
    fused: set[Any] = {
        x
        for e in graph.equations
        if e.primitive in (ew.add, ew.sub)
        for x in e.operands
        if uses[x] == 1
    }
    total = 0.0
    for e in graph.equations:
        v = e.outputs[0]
        if e.primitive.kind != "elementwise" or e.primitive is ew.neg:
            continue
        if e.primitive is not ew.mul or v not in fused:
            total += v.aval.size * (DIVISION if e.primitive is ew.div else 1)
    return total


def _over_lanes(e: Equation) -> bool:
    """Whether a sum is over the last axis, and not of all."""
    return e.params["axes"] == (e.operands[0].aval.ndim - 1,) and e.outputs[0].aval.ndim > 0


class _Written:
    """A graph in which some values are written as sums of products."""

    def __init__(self, graph: Graph, sums: dict[Var, Sum]):
        self._old, self._sums = graph, sums
        values = [*graph.inputs, *[v for e in graph.equations for v in e.outputs]]
        self._place = {v: k for k, v in enumerate(values)}
        self._scales: dict[Any, float] = {}
        self._uses: Counter[Var] = Counter()
        self._beginnings: Counter[Any] = Counter()
        needed = self._needed()
        self._sums = self._scaled(needed)
        self._count()
        with building(Rebuilding(graph.name, RULES)) as builder:
            self._builder = builder
            inputs = [builder.input(a) for a in graph.in_avals]
            self._env: dict[Any, Atom] = dict(zip(graph.inputs, inputs, strict=True))
            for e in graph.equations:
                if not needed.isdisjoint(e.outputs):
                    self._record(e)
            outputs = [self._value(x) for x in graph.outputs]
            self.graph = builder.graph(outputs, graph.captured)

    def _needed(self) -> set[Any]:
        """The values that are computed: results, operands and factors of others."""
        needed = {x for x in self._old.outputs if type(x) is Var}
        for e in reversed(self._old.equations):
            if needed.isdisjoint(e.outputs):
                continue
            terms = self._sums.get(e.outputs[0])
            if terms is None:
                needed.update([x for x in e.operands if type(x) is Var])
            else:
                needed.update([f.var for p in terms for f, _ in p])
        return needed

    def _scaled(self, needed: set[Any]) -> dict[Var, Sum]:
        """The sums without a power of two that multiplies what they are factors of, or the total of
        what is only added up, instead."""
        fixed = {x for x in self._old.outputs if type(x) is Var}
        for e in self._old.equations:
            added = e.primitive is reduce_sum and _over_lanes(e)
            if e.outputs[0] in needed and e.outputs[0] not in self._sums and not added:
                fixed.update([x for x in e.operands if type(x) is Var])
        found = {}
        for v, terms in self._sums.items():
            if v not in needed:
                continue
            terms = {p: c * self._scale_of(p) for p, c in terms.items()}
            numbers = [c for c in terms.values() if power_of_two(c)]
            if numbers and v not in fixed:
                self._scales[v] = numbers[0]
                terms = scaled(terms, 1 / numbers[0])
            found[v] = terms
        return found

    def _scale_of(self, p: Product) -> float:
        return math.prod([self._scales.get(f.var, 1.0) ** n for f, n in p])

    def _count(self) -> None:
        """Counts the products that each factor is in, and the products that others begin with."""
        products = []
        for terms in {frozenset(terms.items()): terms for terms in self._sums.values()}.values():
            g = common(terms) if len(terms) > 1 else ONE
            products += [(g, 1.0), *[(divided(p, g), abs(c)) for p, c in terms.items()]]
        self._uses.update([f.var for p, _ in products for f, _ in p])
        for p, c in products:
            order = self._ordered(p)
            self._beginnings.update([(c, order[:k]) for k in range(1, len(order) + 1)])

    def _ordered(self, p: Product) -> tuple[tuple[Factor, int], ...]:
        """First what is the same along most axes, and of this what other products have too."""
        return tuple(sorted(p, key=self._rank))

    def _value(self, x: Atom) -> Atom:
        return self._env[x] if type(x) is Var else x

    def _record(self, e: Equation) -> None:
        self._builder.where = e.where
        v = e.outputs[0]
        if v in self._sums:
            self._env[v] = self._sum(self._sums[v], v)
            return
        operands = tuple([self._value(x) for x in e.operands])
        result = self._builder.add(e.primitive, operands, e.params)
        scale = self._scales.get(e.operands[0], 1.0) if e.operands else 1.0
        if scale != 1:
            result = ew.mul(literal(scale, v.aval.dtype), result)
        results = result if e.primitive.multiple else (result,)
        self._env.update(zip(e.outputs, results, strict=True))

    def _sum(self, terms: Sum, v: Var) -> Atom:
        g = common(terms) if len(terms) > 1 else ONE
        if not degree(g):
            return self._added(terms, v)
        inner = {divided(p, g): c for p, c in terms.items()}
        size = max([f.var.aval.size for p in inner for f, _ in p])
        return self._product(g, 1.0, v, [(size, self._added(inner, v))])

    def _added(self, terms: Sum, v: Var) -> Atom:
        """The sum of terms: a number first, to be added in the same operation as a product is
        multiplied; then a positive term if there is one."""
        order = sorted(terms.items(), key=lambda term: (term[0] != ONE, term[1] < 0))
        (first, number), *others = order
        total = self._product(first, abs(number), v)
        for p, c in others:
            term = self._product(p, abs(c), v)
            if number > 0:
                total = ew.add(total, term) if c > 0 else ew.sub(total, term)
            elif c > 0:
                total, number = ew.sub(term, total), c
            else:
                total = ew.add(total, term)
        return total if number > 0 else ew.neg(total)

    def _product(
        self, p: Product, number: float, v: Var, more: Sequence[tuple[int, Atom]] = ()
    ) -> Atom:
        """A positive number times powers of factors, in order, and of `more` of given sizes."""
        order = self._ordered(p)
        constant: Atom = literal(number, v.aval.dtype)
        if not order and not more:
            return constant
        values = [(f.var.aval.size, self._power(self._placed(f, v), n)) for f, n in order]
        if number != 1:
            begun = [k for k in range(len(order) + 1) if self._beginnings[number, order[:k]] > 1]
            place = begun[-1] if begun and not more else 1
            values.insert(place, (values[0][0] if values else 0, constant))
        values = sorted([*values, *more], key=lambda value: value[0])
        total = values[0][1]
        for _, x in values[1:]:
            total = ew.mul(x, total) if type(x) is Literal else ew.mul(total, x)
        return total

    def _rank(self, part: tuple[Factor, int]) -> tuple[Any, ...]:
        f, _ = part
        return f.var.aval.size, f.dims or (), -self._uses[f.var], self._place[f.var]

    def _placed(self, f: Factor, v: Var) -> Atom:
        x = self._value(f.var)
        return x if f.dims is None else broadcast(x, shape=v.aval.shape, dims=f.dims)

    def _power(self, x: Atom, n: int) -> Atom:
        """By multiplications, half the power first, so that powers share them."""
        if n == 1:
            return x
        if n % 2:
            return ew.mul(self._power(x, n - 1), x)
        half = self._power(x, n // 2)
        return ew.mul(half, half)
