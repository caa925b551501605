"""Determinants and eigenvalues of small matrices, on their cells."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.ir.graph import Atom, Literal
from gpuad.primitives import elementwise as ew
from gpuad.transforms.cells import Cells, Step
from gpuad.transforms.small_factorizations import either, flat

# Determinants


def _signed(swaps: list[list[Any]], x: Any) -> Any:
    """`x`, negative if the number of interchanges is odd."""
    for chosen in swaps:
        if chosen:
            x = ew.select(functools.reduce(ew.bit_or, chosen), ew.neg(x), x)
    return x


def _diagonal(step: Step, packed: Atom) -> list[Any]:
    return [row[i] for i, row in enumerate(step.matrix(packed))]


def determinant(step: Step, a: Atom, packed: Atom, pivots: Atom) -> Cells | None:
    swaps = step.builder.swaps.get(pivots)
    if swaps is None:
        return None
    return [_signed(swaps, functools.reduce(ew.mul, _diagonal(step, packed)))]


def _sign(d: Atom) -> Atom:
    """The sign of a pivot, 1 if it is NaN."""
    return ew.select(ew.ne(d, d), 1.0, ew.sign(d))


def log_determinant(step: Step, a: Atom, packed: Atom, pivots: Atom, perm: Atom) -> Any:
    swaps = step.builder.swaps.get(pivots)
    if swaps is None:
        return None
    diagonal = _diagonal(step, packed)
    sign = functools.reduce(ew.mul, [_sign(d) for d in diagonal])
    size = functools.reduce(ew.add, [ew.log(ew.abs_(d)) for d in diagonal])
    return [_signed(swaps, sign)], [size]


def _minor(x: list[list[Any]], i: int, j: int) -> list[list[Any]]:
    return [[*row[:j], *row[j + 1 :]] for k, row in enumerate(x) if k != i]


def _expanded(x: list[list[Any]], dtype: np.dtype) -> Any:
    """A determinant, by its first row."""
    if not x:
        return Literal(dtype.type(1))
    if len(x) == 1:
        return x[0][0]
    total: Any = None
    for j, y in enumerate(x[0]):
        term = ew.mul(y, _expanded(_minor(x, 0, j), dtype))
        total = term if total is None else (ew.sub if j % 2 else ew.add)(total, term)
    return total


MOST_EXPANDED = 4
"""The most rows of a matrix whose cofactors are written out as polynomials."""


def _alternating(n: int, of: Callable[[int, int], Any]) -> Cells:
    signs = itertools.product(range(n), range(n))
    return [ew.neg(of(i, j)) if (i + j) % 2 else of(i, j) for i, j in signs]


def cofactors(step: Step, a: Atom) -> Cells | None:
    x = step.matrix(a)
    if len(x) > MOST_EXPANDED:
        return None
    return _alternating(len(x), lambda i, j: _expanded(_minor(x, i, j), a.aval.dtype))


def cofactors_moved(step: Step, a: Atom, t: Atom, *others: Atom) -> Cells | None:
    """A determinant moves by the sum of those that have one row replaced by that of `t`."""
    x, moved = step.matrix(a), step.matrix(t)
    if others or len(x) > MOST_EXPANDED:
        return None
    zero = Literal(a.aval.dtype.type(0))

    def of(i: int, j: int) -> Any:
        here, there = _minor(x, i, j), _minor(moved, i, j)
        rows = range(len(here))
        terms = [_expanded([*here[:k], there[k], *here[k + 1 :]], a.aval.dtype) for k in rows]
        return functools.reduce(ew.add, terms) if terms else zero

    return _alternating(len(x), of)


# Eigenvalues of symmetric matrices of 2 and 3 rows, by Jacobi's rotations. Five rounds bring the
# largest matrices to rest in every digit.

ROUNDS = {1: 0, 2: 1, 3: 5}


def _rotated(x: list[list[Any]], v: list[list[Any]], p: int, q: int) -> None:
    """Makes x[p][q] zero, in place; the columns of `v` turn with it."""
    apart = ew.div(ew.sub(x[q][q], x[p][p]), ew.mul(x[p][q], 2.0))
    root = ew.add(ew.abs_(apart), ew.sqrt(ew.add(ew.square(apart), 1.0)))
    t = ew.div(ew.copysign(Literal(root.aval.dtype.type(1)), apart), root)
    t = ew.select(ew.eq(x[p][q], 0.0), 0.0, t)
    c = ew.rsqrt(ew.add(ew.square(t), 1.0))
    s, step = ew.mul(t, c), ew.mul(t, x[p][q])
    x[p][p], x[q][q] = ew.sub(x[p][p], step), ew.add(x[q][q], step)
    x[p][q] = x[q][p] = Literal(t.aval.dtype.type(0))
    for r in range(len(x)):
        if r not in (p, q):
            one, other = _turned(x[r][p], x[r][q], c, s)
            x[r][p] = x[p][r] = one
            x[r][q] = x[q][r] = other
    for row in v:
        row[p], row[q] = _turned(row[p], row[q], c, s)


def _turned(x: Any, y: Any, c: Any, s: Any) -> tuple[Any, Any]:
    return ew.sub(ew.mul(c, x), ew.mul(s, y)), ew.add(ew.mul(s, x), ew.mul(c, y))


def _spectrum(step: Step, a: Atom) -> tuple[list[Any], list[list[Any]]] | None:
    """The eigenvalues, ascending, and the vectors as rows."""
    x = step.matrix(a)
    n = len(x)
    if n not in ROUNDS:
        return None
    x = [[x[max(i, j)][min(i, j)] for j in range(n)] for i in range(n)]
    one, zero = [Literal(a.aval.dtype.type(k)) for k in (1, 0)]
    v = [[one if i == j else zero for j in range(n)] for i in range(n)]
    pairs = list(itertools.combinations(range(n), 2))
    for p, q in pairs * ROUNDS[n]:
        _rotated(x, v, p, q)
    values, vectors = [x[i][i] for i in range(n)], [list(c) for c in zip(*v, strict=True)]
    values[0] = step.refused(
        functools.reduce(ew.bit_or, [_not_finite(w) for w in values]), values[0]
    )
    for i, j in [(i, i + 1) for last in range(n - 1, 0, -1) for i in range(last)]:
        turn = ew.gt(values[i], values[j])
        _interchange_pair(values, i, j, turn)
        _interchange_pair(vectors, i, j, turn)
    return values, vectors


def _not_finite(w: Any) -> Any:
    return ew.invert(ew.isfinite(w))


def _interchange_pair(rows: list[Any], i: int, j: int, c: Any) -> None:
    rows[i], rows[j] = either(c, rows[j], rows[i]), either(c, rows[i], rows[j])


def eigvalsh(step: Step, a: Atom) -> Cells | None:
    found = _spectrum(step, a)
    return None if found is None else found[0]


def eigh(step: Step, a: Atom) -> Any:
    found = _spectrum(step, a) if step.params["any_sign"] else None
    if found is None:
        return None
    return found[0], flat([list(c) for c in zip(*found[1], strict=True)])
