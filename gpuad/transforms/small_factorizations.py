"""Factorisations of small matrices and solutions of systems, on their cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.graph import Atom, Literal
from gpuad.primitives import elementwise as ew
from gpuad.transforms.cells import Cells, Step

# Factorisations


def hermitian(step: Step, a: Atom) -> Cells:
    x = step.matrix(a)
    return [x[max(i, j)][min(i, j)] for i in range(len(x)) for j in range(len(x))]


def cholesky(step: Step, a: Atom) -> Cells:
    x = step.matrix(a)
    n = len(x)
    zero = Literal(a.aval.dtype.type(0))
    out: list[list[Any]] = [[zero] * n for _ in range(n)]
    for j in range(n):
        rest = _less(x[j][j], out[j][:j], out[j][:j])
        out[j][j] = ew.sqrt(step.refused(ew.invert(ew.gt(rest, 0.0)), rest))
        for i in range(j + 1, n):
            out[i][j] = ew.div(_less(x[i][j], out[i][:j], out[j][:j]), out[j][j])
    return flat(out)


def flat(rows: list[list[Any]]) -> list[Any]:
    return [x for row in rows for x in row]


def _less(x: Any, ys: Sequence[Any], zs: Sequence[Any]) -> Any:
    """x - Σ y z."""
    for y, z in zip(ys, zs, strict=True):
        x = ew.sub(x, ew.mul(y, z))
    return x


def _pivot_column(x: list[list[Any]], k: int) -> list[Any]:
    """Whether each row after the k-th has the first of the largest elements of column k."""
    size = ew.abs_(x[k][k])
    larger = []
    for row in x[k + 1 :]:
        other = ew.abs_(row[k])
        larger.append(ew.gt(other, size))
        size = ew.select(larger[-1], other, size)
    chosen: list[Any] = []
    later = None
    for c in reversed(larger):
        chosen.append(c if later is None else ew.bit_and(c, ew.invert(later)))
        later = c if later is None else ew.bit_or(later, c)
    return chosen[::-1]


def _interchange(rows: list[Any], k: int, chosen: Sequence[Any]) -> None:
    """Interchanges row k (a value, or a list of them) with the one that is chosen, in place."""
    first = rows[k]
    for i, c in enumerate(chosen, k + 1):
        rows[i], rows[k] = either(c, first, rows[i]), either(c, rows[i], rows[k])


def either(c: Any, x: Any, y: Any) -> Any:
    if isinstance(x, list):
        return [ew.select(c, p, q) for p, q in zip(x, y, strict=True)]
    return ew.select(c, x, y)


def _eliminated(x: list[list[Any]]) -> list[list[Any]]:
    """L and U in the place of the matrix, and the interchanges."""
    swaps = []
    for k, first in enumerate(x):
        swaps.append(_pivot_column(x, k))
        _interchange(x, k, swaps[-1])
        first = x[k]
        divisor = ew.select(ew.eq(first[k], 0.0), 1.0, first[k])
        for row in x[k + 1 :]:
            row[k] = ew.div(row[k], divisor)
            row[k + 1 :] = [
                _less(y, [row[k]], [z]) for y, z in zip(row[k + 1 :], first[k + 1 :], strict=True)
            ]
    return swaps


def _refused_zeros(step: Step, x: list[list[Any]]) -> None:
    for i, row in enumerate(x):
        row[i] = step.refused(ew.eq(row[i], 0.0), row[i])


def lu(step: Step, a: Atom) -> tuple[Cells, Cells, Cells]:
    x = step.matrix(a)
    swaps = _eliminated(x)
    pivots, order = [], [Literal(np.int64(k)) for k in range(len(x))]
    for k, chosen in enumerate(swaps):
        pivot: Any = Literal(np.int32(k))
        for i, c in enumerate(chosen, k + 1):
            pivot = ew.select(c, Literal(np.int32(i)), pivot)
        pivots.append(pivot)
        _interchange(order, k, chosen)
    step.builder.swaps[a] = swaps
    return flat(x), pivots, order


# Solutions of systems, for right-hand sides as rows of lists


def _substituted(
    x: list[list[Any]], b: list[list[Any]], lower: bool, transposed: bool = False,
    unit: bool = False,
) -> list[list[Any]]:  # fmt: skip
    """The solution of a triangular system: `lower` says which triangle of x is read."""
    n, solved = len(x), [[*row] for row in b]
    forward = lower ^ transposed
    for i in range(n) if forward else range(n - 1, -1, -1):
        known = range(i) if forward else range(n - 1, i, -1)
        factors = [x[j][i] if transposed else x[i][j] for j in known]
        for k, total in enumerate(solved[i]):
            total = _less(total, factors, [solved[j][k] for j in known])
            solved[i][k] = total if unit else ew.div(total, x[i][i])
    return solved


def triangular_solve(step: Step, a: Atom, b: Atom) -> Cells:
    x, params = step.matrix(a), step.params
    if not params["unit"]:
        _refused_zeros(step, x)
    return flat(_substituted(x, step.matrix(b), **params))


def factored_solve(step: Step, a: Atom, factor: Atom, perm: Atom, b: Atom) -> Cells | None:
    x, y, transposed = step.matrix(factor), step.matrix(b), step.params["transposed"]
    if step.params["kind"] == "cholesky":
        y = _substituted(x, y, True)
        return flat(_substituted(x, y, True, transposed=True))
    swaps = step.builder.swaps.get(perm)
    if swaps is None:
        return None
    if step.params["refusing"]:
        _refused_zeros(step, x)
    return flat(_solved(x, swaps, y, transposed))


def _solved(x: Any, swaps: Any, y: list[list[Any]], transposed: bool = False) -> list[list[Any]]:
    """The solution from the factors of LU."""
    if transposed:
        y = _substituted(x, y, False, transposed=True)
        y = _substituted(x, y, True, transposed=True, unit=True)
        for k in range(len(swaps) - 1, -1, -1):
            _interchange(y, k, swaps[k])
        return y
    y = [[*row] for row in y]
    for k, chosen in enumerate(swaps):
        _interchange(y, k, chosen)
    return _substituted(x, _substituted(x, y, True, unit=True), False)


def inverse(step: Step, a: Atom) -> Cells:
    x = step.matrix(a)
    swaps = _eliminated(x)
    _refused_zeros(step, x)
    one, zero = [Literal(a.aval.dtype.type(k)) for k in (1, 0)]
    eye = [[one if i == j else zero for j in range(len(x))] for i in range(len(x))]
    return flat(_solved(x, swaps, eye))


def gathered(step: Step, x: Atom, *indices: Atom) -> Cells | None:
    """Rows in the order of an LU factorisation."""
    swaps = step.builder.swaps.get(indices[0])
    n = len(step.batch)
    if swaps is None or step.params["batch"] != n or x.aval.ndim != n + 2:
        return None
    rows = step.matrix(x)
    for k, chosen in enumerate(swaps):
        _interchange(rows, k, chosen)
    return flat(rows)
