"""Sums of products over the same rows that are added to each other, as one: x₁ᵀy₁ + x₂ᵀy₂ is the
sum of products of x₁ and x₂ side by side with y₁ and y₂.

A weight of a network gets such terms from the value and from each tangent. In a kernel, where side
by side costs nothing, they then have one sum.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from gpuad.ir.aval import Aval
from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.primitive import CATALOGUE, Role
from gpuad.ir.unread import without_unread

Term = tuple[tuple[int, ...] | None, Equation]
"""A product, with the permutation of its axes, or None."""
Terms = list[Term]


def join_added_products(graph: Graph, suits: Callable[[Equation], bool]) -> tuple[Graph, set[Var]]:
    """The graph with the products for which suits() is true joined, and their operands."""
    joining = _Joining(graph, suits)
    equations = joining.equations()
    if not joining.joined:
        return graph, set()
    found = without_unread(equations, graph.outputs, _is_term)
    return Graph(graph.inputs, found, graph.outputs, graph.captured, graph.name), joining.joined


class _Joining:
    def __init__(self, graph: Graph, suits: Callable[[Equation], bool]):
        self.joined: set[Var] = set()
        self._graph = graph
        self._suits = suits
        self._terms = _terms_of_sums(graph)

    def equations(self) -> list[Equation]:
        found: list[Equation] = []
        inner: set[Any] = set()
        for e in reversed(self._graph.equations):
            made = None
            if e.primitive.name == "add":
                terms = self._terms.get(e.outputs[0], [])
                part = e.outputs[0] in inner
                made = self._join(e, terms) if terms and not part else None
                if made or part:
                    inner.update(e.operands)
            found += made[::-1] if made else [e]
        return found[::-1]

    def _join(self, e: Equation, terms: Terms) -> list[Equation] | None:
        """The equations of a sum of products as one product; None if that does not suit."""
        perm, products = terms[0][0], [p for _, p in terms]
        made: list[Equation] = []
        sides = [_side_by_side([p.operands[k] for p in products], made, e.where) for k in range(2)]
        aval = products[0].outputs[0].aval
        out = e.outputs[0] if perm is None else Var(aval)
        params = {"contract": ((0, 1), (0, 1)), "batch": ((), ())}
        product = Equation(products[0].primitive, tuple(sides), params, (out,), e.where)
        if not self._suits(product):
            return None
        self.joined.update(sides)
        made.append(product)
        if perm is not None:
            made.append(
                Equation(CATALOGUE["transpose"], (out,), {"perm": perm}, e.outputs, e.where)
            )
        return made


def _terms_of_sums(graph: Graph) -> dict[Var, Terms]:
    """The terms of each value that is a product, or a sum of products of one form of which nothing
    else reads any part."""
    reads = Counter([x for e in graph.equations for x in e.operands if type(x) is Var])
    reads.update([x for x in graph.outputs if type(x) is Var])
    found: dict[Var, Terms] = {}
    for e in graph.equations:
        below = [found.get(x, []) if type(x) is Var and reads[x] == 1 else [] for x in e.operands]
        terms: Terms = []
        if e.primitive.role is Role.CONTRACTION and _form(e):
            terms = [(None, e)]
        elif e.primitive.name == "transpose" and [perm for perm, _ in below[0]] == [None]:
            terms = [(e.params["perm"], below[0][0][1])]
        elif e.primitive.name == "add" and all(below) and _joinable(*[x[0] for x in below]):
            terms = [*below[0], *below[1]]
        if terms:
            found[e.outputs[0]] = terms
    return found


def _joinable(x: Term, y: Term) -> bool:
    return x[0] == y[0] and _form(x[1]) == _form(y[1])


def _form(e: Equation) -> tuple[int, ...] | None:
    """Rows and the other axis of both operands, if the product sums over all axes in front: rows,
    or rows of several values side by side. None otherwise."""
    x = contraction_of(e)
    (first, second), ndim = x.contract, len(x.x)
    in_front = tuple(range(ndim - 1))
    if x.batch[0] or first != in_front or second != in_front or len(x.y) != ndim or ndim > 3:
        return None
    return (x.x[-2], x.x[-1], x.y[-1]) if ndim > 1 else None


def _side_by_side(operands: list[Any], made: list[Equation], where: Any) -> Var:
    """(streams, rows, lanes) of operands with and without the first axis."""
    wide = []
    for x in operands:
        if x.aval.ndim == 2:
            shape = (1, *x.aval.shape)
            v = Var(Aval(shape, x.aval.dtype))
            params = {"shape": shape, "dims": (1, 2)}
            made.append(Equation(CATALOGUE["broadcast"], (x,), params, (v,), where))
            x = v
        wide.append(x)
    shape = (sum(x.aval.shape[0] for x in wide), *wide[0].aval.shape[1:])
    v = Var(Aval(shape, wide[0].aval.dtype))
    made.append(Equation(CATALOGUE["concatenate"], tuple(wide), {"axis": 0}, (v,), where))
    return v


def _is_term(e: Equation) -> bool:
    """Whether this may be a part of a sum that is joined."""
    return e.primitive.name in ("add", "transpose") or e.primitive.role is Role.CONTRACTION
