"""Lowering: operations written out in the simpler ones that compiled sweeps are made of.

A matrix product with a vector becomes a multiplication and a sum, which share their loop with what
is around them; softmax and its kin become extrema, exponentials and sums over lanes.
"""

from typing import Any

import numpy as np

from gpuad.ir.build import building, inline
from gpuad.ir.graph import Atom, Graph
from gpuad.ir.primitive import Primitive
from gpuad.primitives import elementwise as ew
from gpuad.primitives.linalg.factorization import cholesky, hermitian
from gpuad.primitives.linalg.solving import factored_solve
from gpuad.primitives.linalg.spectral import eigh, eigvalsh
from gpuad.primitives.reduction import count, reduce_max, reduce_sum, spread
from gpuad.transforms.collapse import collapse
from gpuad.transforms.complex_parts import OnParts
from gpuad.transforms.half_precision import in_single
from gpuad.transforms.memo import memo
from gpuad.transforms.rewrite import Rule
from gpuad.transforms.shared_products import with_shared_products
from gpuad.transforms.simplify import simplify
from gpuad.transforms.small_matrices import written_out
from gpuad.transforms.stacking import stacked
from gpuad.transforms.symmetric_sums import with_symmetric_sums
from gpuad.transforms.written_products import WrittenProduct, written_product


@memo
def lower(graph: Graph) -> Graph:
    """The graph, simplified, in the operations of compiled sweeps."""
    return lower_but_matrices(written_out(graph, False))


@memo
def lower_but_matrices(graph: Graph) -> Graph:
    """The same, but for small matrices: where these are refused, the library says so, or an output
    of what they have been written out in (see `small_matrices`)."""
    graph = simplify(graph)
    wide = in_single(graph)
    graph = graph if wide is graph else simplify(wide)
    graph = simplify(collapse(graph))
    with building(OnParts(graph.name, RULES)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        outputs = [builder.whole(x) for x in inline(graph, inputs)]
        graph = builder.graph(outputs, graph.captured)
    graph = simplify(graph)
    symmetric = with_symmetric_sums(graph)
    graph = graph if symmetric is graph else simplify(symmetric)
    return stacked(with_shared_products(graph))


def _product(x: Atom, y: Atom, axes: Any) -> WrittenProduct | None:
    return written_product(x, y, **axes) if x.aval.dtype.kind == "f" else None


def _dot_general(made: Any, x: Atom, y: Atom, **axes: Any) -> Atom | None:
    out = _product(x, y, axes)
    return None if out is None else out.sum(ew.mul(out.wide(x, 0), out.wide(y, 1)))


def _dot_kept(made: Any, mx: Atom, my: Atom, x: Atom, y: Atom, **axes: Any) -> Atom | None:
    out = _product(x, y, axes)
    if out is None:
        return None
    product = ew.mul(out.wide(x, 0), out.wide(y, 1))
    for k, m in enumerate((mx, my)):
        product = ew.select(_holds(out.wide(m, k)), product, 0.0)
    return out.sum(product)


def _norm(made: Any, x: Atom, axes: tuple[int, ...]) -> Atom:
    return ew.root_of_squares(reduce_sum(ew.square(x), axes=axes))


def _unit_vector(made: Any, x: Atom, axes: tuple[int, ...]) -> Atom:
    return ew.div_or_zero(x, spread(_norm(made, x, axes), x.aval, axes))


def _exponentials(x: Atom, axes: tuple[int, ...]) -> tuple[Atom, Atom, Atom]:
    """exp(x - top), 0 where x is -inf and 1 at the top; where it is at the top; and the top."""
    top = reduce_max(x, axes=axes)
    at_top = ew.eq(x, spread(top, x.aval, axes))
    # inf - inf at the top of a row is replaced below; -inf there has all weights zero.
    base = ew.maximum(top, -float(np.finfo(x.aval.dtype).max))
    e = ew.exp(ew.sub(x, spread(base, x.aval, axes)))
    return e, at_top, top


def _softmax(made: Any, x: Atom, axes: tuple[int, ...]) -> Atom | None:
    if not count(x.aval.shape, axes):
        return None
    e, at_top, top = _exponentials(x, axes)
    one = ew.as_weight(ew.ne(top, -np.inf), x)
    e = ew.select(at_top, spread(one, x.aval, axes), e)
    total = reduce_sum(e, axes=axes)
    total = ew.select(ew.eq(total, 0.0), 1.0, total)
    return ew.div(e, spread(total, x.aval, axes))


def _log_sum(x: Atom, axes: tuple[int, ...]) -> tuple[Atom, Atom]:
    """log(Σ exp(x - top)), the elements at the top counted apart; and the top."""
    e, at_top, top = _exponentials(x, axes)
    ties = reduce_sum(ew.cast(at_top, dtype=x.aval.dtype), axes=axes)
    rest = reduce_sum(ew.select(at_top, 0.0, e), axes=axes)
    some = ew.maximum(ties, 1.0)
    return ew.add(ew.log1p(ew.div(rest, some)), ew.log(some)), top


def _logsumexp(made: Any, x: Atom, axes: tuple[int, ...]) -> Atom | None:
    if not count(x.aval.shape, axes):
        return None
    log_sum, top = _log_sum(x, axes)
    return ew.add(log_sum, top)


def _log_softmax(made: Any, x: Atom, axes: tuple[int, ...]) -> Atom | None:
    if not count(x.aval.shape, axes):
        return None
    log_sum, top = _log_sum(x, axes)
    return ew.sub(ew.sub(x, spread(top, x.aval, axes)), spread(log_sum, x.aval, axes))


# Marks (see `keep`), in operations of sweeps.


def _keep(made: Any, m: Atom, x: Atom, guard: bool) -> Atom:
    return ew.select(_holds(m), x, 0.0)


def _either(made: Any, m: Atom, n: Atom) -> Atom:
    return ew.select(_holds(m), 1.0, n)


def _both(made: Any, m: Atom, n: Atom) -> Atom:
    return ew.select(_holds(m), n, 0.0)


def _kept_any(made: Any, m: Atom, axes: tuple[int, ...]) -> Atom:
    return reduce_max(ew.cast(_holds(m), dtype=m.aval.dtype), axes=axes)


def _holds(m: Atom) -> Atom:
    return m if m.aval.dtype.kind == "b" else ew.ne(m, 0.0)


# What reads one triangle of a matrix needs no copy with both.


def _of_triangle(primitive: Primitive) -> Rule:
    def rule(made: Any, a: Atom, *others: Atom, **params: Any) -> Any:
        e = made(a)
        if e is None or e.primitive is not hermitian:
            return None
        return primitive(e.operands[0], *others, **params)

    return rule


RULES: dict[str, list[Rule]] = {
    "dot_general": [_dot_general],
    "dot_kept": [_dot_kept],
    "keep": [_keep],
    "either": [_either],
    "both": [_both],
    "kept_any": [_kept_any],
    "reduce_norm": [_norm],
    "unit_vector": [_unit_vector],
    "softmax": [_softmax],
    "reduce_logsumexp": [_logsumexp],
    "log_softmax": [_log_softmax],
    "cholesky": [_of_triangle(cholesky)],
    "eigh": [_of_triangle(eigh)],
    "eigvalsh": [_of_triangle(eigvalsh)],
    "factored_solve": [_of_triangle(factored_solve)],  # which reads the factors alone
}
