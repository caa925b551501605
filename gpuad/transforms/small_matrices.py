"""Batches of small matrices, written out in operations on their elements.

A library takes one matrix after another, and what is around it has to be in memory. Written out, a
factorisation is elementwise over the batch: one sweep with all that is around it, on every target.
Here an array of shape (*batch, n, n) is n² *cells*, values of the shape of the batch. Operations
that only rearrange an array rearrange its cells, and cost nothing.

Where NumPy raises LinAlgError, for a matrix that is singular or not positive definite, NaN comes
out here. `written_out` can add one output that says whether this happened.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building, inline
from gpuad.ir.graph import Atom, Graph, Literal, Var
from gpuad.ir.primitive import Primitive, Role
from gpuad.primitives import elementwise as ew
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.structure import broadcast, concatenate, expand, reshape, slice_
from gpuad.transforms.memo import memo
from gpuad.transforms.simplify import simplify

LARGEST = 8
"""The most rows of a matrix that is written out."""
FEWEST = 32
"""The fewest matrices in a batch that is written out."""
MOST_CELLS = 64
"""The most cells of an array; and the most products in a matrix product of cells."""
MOST_EQUATIONS = 4000
"""When so many are recorded, arrays are no longer taken apart: compiling takes longer than it
saves."""

Cells = Any
"""An array of objects: the cells, with ones in place of the sizes of the batch."""


@memo
def written_out(graph: Graph, flagged: bool) -> Graph:
    """The graph, simplified, with small matrices written out; the same graph, if it has none.

    `flagged`: with one more output, if there is anything that NumPy might refuse: not 0 if it had
    to be refused.
    """
    simple = simplify(graph)
    if not any(_is_written(e.primitive, e.operands) for e in simple.equations):
        return graph
    with building(WritingOut(graph.name)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        outputs = [builder.whole(x) for x in inline(simple, inputs)]
        if flagged and builder.refused:
            outputs.append(builder.any_refused())
        return builder.graph(outputs, graph.captured)


def _is_written(primitive: Primitive, operands: Sequence[Atom]) -> bool:
    if primitive.name not in RULES or not operands:
        return False
    a = operands[0].aval
    if a.ndim < 3 or a.dtype.char not in "fd" or a.shape[-1] != a.shape[-2]:
        return False
    return 0 < a.shape[-1] <= LARGEST and math.prod(a.shape[:-2]) >= FEWEST


class WritingOut(Builder):
    """A Builder that takes arrays apart into cells, from the first factorisation of small matrices
    on, for as long as operations can be made on cells.

    Attributes
    ----------
    refused
        For a batch and a dtype, where NumPy would have raised an error.
    swaps
        Of an LU factorisation, by its pivots and its permutation as they were returned: for each
        column k, whether row k + 1, k + 2, ... is interchanged with row k.
    """

    def __init__(self, name: str):
        super().__init__(name)
        self.refused: dict[tuple[tuple[int, ...], np.dtype], Any] = {}
        self.swaps: dict[Atom, list[list[Any]]] = {}
        self._cells: dict[Atom, Cells] = {}
        self._whole: dict[Atom, Atom] = {}
        self._known: dict[Atom, np.ndarray] = {}
        self._repeated: dict[Atom, tuple[Atom, tuple[int, ...]]] = {}
        self._batch: dict[Atom, tuple[int, ...]] = {}

    def add(self, primitive: Any, operands: tuple[Atom, ...], params: dict[str, Any]) -> Any:
        batch = self._batch_of(primitive, operands)
        if batch is not None and len(self.equations) < MOST_EQUATIONS:
            found = self._on_cells(primitive, operands, params, batch)
            if found is not None:
                return found
        operands = tuple([self.whole(x) for x in operands])
        result = super().add(primitive, operands, params)
        self._note_known(primitive, operands, params, result)
        return result

    def _note_known(self, primitive: Any, operands: Any, params: dict[str, Any], v: Any) -> None:
        """Keeps the value of a small array that is the same at every call, and what an array is
        repeated from."""
        if primitive is broadcast:
            self._repeated[v] = operands[0], params["dims"]
        elif primitive.multiple or primitive.role is Role.OPAQUE or v.aval.size > MOST_CELLS:
            return
        if v.aval.size <= MOST_CELLS and all(
            type(x) is Literal or x in self._known for x in operands
        ):
            values = [x.value if type(x) is Literal else self._known[x] for x in operands]
            self._known[v] = np.asarray(primitive.implementation(np, params)(*values))

    def _batch_of(self, primitive: Primitive, operands: Sequence[Atom]) -> tuple[int, ...] | None:
        """The sizes of the batch, if the operation is to be made on cells."""
        if _is_written(primitive, operands):
            return operands[0].aval.shape[:-2]
        return next((self._batch[x] for x in operands if x in self._batch), None)

    def _on_cells(
        self, primitive: Primitive, operands: Any, params: dict[str, Any], batch: tuple[int, ...]
    ) -> Any:
        avals = primitive.infer(*[x.aval for x in operands], **params)
        results = avals if primitive.multiple else (avals,)
        if not all(_fits(a, batch) for a in (*results, *[x.aval for x in operands])):
            return None
        rule = RULES.get(primitive.name) or ROLES.get(primitive.role)
        found = None if rule is None else rule(_Step(self, primitive, params, batch), *operands)
        if found is None:
            return None
        made = found if primitive.multiple else (found,)
        outputs = [self._placed(c, a, batch) for c, a in zip(made, results, strict=True)]
        if primitive.name == "lu":
            self.swaps.update(dict.fromkeys(outputs[1:], self.swaps.pop(operands[0])))
        return tuple(outputs) if primitive.multiple else outputs[0]

    def _placed(self, cells: Cells, aval: Aval, batch: tuple[int, ...]) -> Any:
        """A stand-in for the array of these cells, which is made if something asks for it whole."""
        v = Var(aval)
        self._cells[v] = _as_objects(cells, (*(1,) * len(batch), *aval.shape[len(batch) :]))
        self._batch[v] = batch
        return v

    def cells(self, x: Atom, batch: tuple[int, ...]) -> Cells:
        """The cells of an array; of a value without axes, that value."""
        if type(x) is Literal or not x.aval.shape:
            return _as_objects([x], ())
        if x not in self._cells:
            found = self._repeated_cells(x, batch)
            self._cells[x] = _taken_apart(x, batch) if found is None else found
        return self._cells[x]

    def _repeated_cells(self, x: Atom, batch: tuple[int, ...]) -> Cells | None:
        """The cells of an array that is repeated along the batch: numbers, if it is known."""
        source, dims = self._repeated.get(x, (None, ()))
        if source is None or any(d < len(batch) for d in dims):
            return None
        if type(source) is Literal:
            found = _as_objects([source], ())
        elif source in self._known:
            found = _as_objects(map(Literal, self._known[source].flat), source.aval.shape)
        else:
            apart = _taken_apart(source, ())
            wide = [broadcast(e, shape=batch, dims=()) for e in apart.flat]
            found = _as_objects(wide, apart.shape)
        sizes = dict(zip(dims, source.aval.shape, strict=True))
        narrow = found.reshape([sizes.get(d, 1) for d in range(x.aval.ndim)])
        inner = (*(1,) * len(batch), *x.aval.shape[len(batch) :])
        return _as_objects(np.broadcast_to(narrow, inner), inner)

    def whole(self, x: Atom) -> Atom:
        """A value as an array."""
        if x not in self._batch:
            return x
        if x not in self._whole:
            self._whole[x] = _put_together(self._cells[x], x.aval, self._batch[x])
        return self._whole[x]

    def refuse(self, bad: Any, dtype: np.dtype) -> None:
        """Notes where NumPy would raise an error."""
        key = (bad.aval.shape, dtype)
        before = self.refused.get(key)
        self.refused[key] = bad if before is None else ew.bit_or(before, bad)

    def any_refused(self) -> Any:
        """A number that is not 0 if NumPy would have raised an error for any matrix."""
        found = None
        for (shape, dtype), bad in self.refused.items():
            count = reduce_sum(ew.cast(bad, dtype=dtype), axes=tuple(range(len(shape))))
            if found is not None and found.aval.dtype != dtype:
                count = ew.cast(count, dtype=found.aval.dtype)
            found = count if found is None else ew.add(found, count)
        return found


def _fits(a: Aval, batch: tuple[int, ...]) -> bool:
    if not a.shape:
        return True
    return a.shape[: len(batch)] == batch and math.prod(a.shape[len(batch) :]) <= MOST_CELLS


def _as_objects(values: Any, shape: tuple[int, ...]) -> Cells:
    """The values as an array of objects: Vars and Literals, which NumPy must not look into."""
    flat = list(values.flat) if isinstance(values, np.ndarray) else list(values)
    out = np.empty(len(flat), object)
    out[:] = flat
    return out.reshape(shape)


def _taken_apart(x: Any, batch: tuple[int, ...]) -> Cells:
    n = len(batch)
    inner, none = x.aval.shape[n:], (0,) * n
    if not inner:
        return _as_objects([x], (1,) * n)
    places = itertools.product(*map(range, inner))
    values = [
        reshape(slice_(x, (*none, *p), (*batch, *[i + 1 for i in p])), shape=batch) for p in places
    ]
    return _as_objects(values, (*(1,) * n, *inner))


def _put_together(cells: Cells, aval: Aval, batch: tuple[int, ...]) -> Any:
    n = len(batch)
    wide = [broadcast(x, shape=batch, dims=()) if not x.aval.shape else x for x in cells.flat]
    if aval.ndim == n:
        return wide[0]
    line = concatenate(*[expand(x, (n,)) for x in wide], axis=n)
    return reshape(line, shape=aval.shape)


class _Step:
    """An operation that is made on cells."""

    def __init__(
        self, builder: WritingOut, primitive: Any, params: dict[str, Any], batch: tuple[int, ...]
    ):
        self.builder = builder
        self.primitive = primitive
        self.params = params
        self.batch = batch

    def cells(self, x: Atom) -> Cells:
        return self.builder.cells(x, self.batch)

    def matrix(self, x: Atom) -> list[list[Any]]:
        """The cells of matrices as rows of a list, to be changed."""
        cells = self.cells(x)
        return cells.reshape(cells.shape[-2:]).tolist()

    def over_batch(self, x: Any) -> Any:
        """A value without axes that is no literal, as the cast of one is, repeated."""
        alone = type(x) is Var and not x.aval.shape
        return broadcast(x, shape=self.batch, dims=()) if alone else x

    def refused(self, bad: Any, x: Any) -> Any:
        """`x`, NaN where NumPy would raise an error."""
        self.builder.refuse(bad, x.aval.dtype)
        return ew.select(bad, float("nan"), x)


# Operations around the factorisations, by what they do with elements


def _elementwise(step: _Step, *operands: Atom) -> Cells:
    cells = np.broadcast_arrays(*[step.cells(x) for x in operands])
    values = [
        step.over_batch(step.primitive(*xs, **step.params))
        for xs in zip(*[c.flat for c in cells], strict=True)
    ]
    return _as_objects(values, cells[0].shape)


def _rearranged(step: _Step, *operands: Atom) -> Cells | None:
    """A view or a copy: NumPy's own function, on the array of cells."""
    n, params = len(step.batch), step.params
    avals = [x.aval for x in operands]
    out = step.primitive.infer(*avals, **params)
    axes = step.primitive.axes(avals, [out], **params)
    lead = axes.outputs[0][:n]
    if None in lead or any(labels[:n] != lead for labels in axes.operands):
        return None
    for axis in range(n):
        params = step.primitive.resized(params, axis, 1)
    found = step.primitive.run(np, *[step.cells(x) for x in operands], **params)
    zero = Literal(out.dtype.type(0))
    return np.array([zero if type(x) is int else x for x in found.flat], object)


def _contracted(step: _Step, x: Atom, y: Atom) -> Cells | None:
    contract, batch = step.params["contract"], step.params["batch"]
    n = len(step.batch)
    if step.primitive.name != "dot_general" or batch != (tuple(range(n)),) * 2:
        return None
    free = [
        [i for i in range(n, v.aval.ndim) if i not in c]
        for v, c in zip((x, y), contract, strict=True)
    ]
    left, right = [
        step.cells(v).transpose((*range(n), *f, *c)).reshape((_size(v, f), -1))
        for v, f, c in zip((x, y), free, contract, strict=True)
    ]
    if len(left) * len(right) * left.shape[1] > MOST_CELLS:
        return None
    return _as_objects([_inner(p, q) for p in left for q in right], (len(left), len(right)))


def _size(x: Atom, axes: Sequence[int]) -> int:
    return math.prod([x.aval.shape[i] for i in axes])


def _inner(xs: Any, ys: Any) -> Any:
    return functools.reduce(ew.add, [ew.mul(x, y) for x, y in zip(xs, ys, strict=True)])


def _summed(step: _Step, x: Atom) -> Cells | None:
    axes, n = step.params["axes"], len(step.batch)
    if step.primitive.name != "reduce_sum" or any(a < n for a in axes):
        return None
    kept = [i for i in range(x.aval.ndim) if i not in axes]
    lines = step.cells(x).transpose((*kept, *axes)).reshape((_size(x, kept[n:]), -1))
    return _as_objects([functools.reduce(ew.add, line) for line in lines], (len(lines),))


# Factorisations


def _hermitian(step: _Step, a: Atom) -> Cells:
    x = step.matrix(a)
    return [x[max(i, j)][min(i, j)] for i in range(len(x)) for j in range(len(x))]


def _cholesky(step: _Step, a: Atom) -> Cells:
    x = step.matrix(a)
    n = len(x)
    zero = Literal(a.aval.dtype.type(0))
    out: list[list[Any]] = [[zero] * n for _ in range(n)]
    for j in range(n):
        rest = _less(x[j][j], out[j][:j], out[j][:j])
        out[j][j] = ew.sqrt(step.refused(ew.invert(ew.gt(rest, 0.0)), rest))
        for i in range(j + 1, n):
            out[i][j] = ew.div(_less(x[i][j], out[i][:j], out[j][:j]), out[j][j])
    return _flat(out)


def _flat(rows: list[list[Any]]) -> list[Any]:
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
        rows[i], rows[k] = _either(c, first, rows[i]), _either(c, rows[i], rows[k])


def _either(c: Any, x: Any, y: Any) -> Any:
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


def _refused_zeros(step: _Step, x: list[list[Any]]) -> None:
    for i, row in enumerate(x):
        row[i] = step.refused(ew.eq(row[i], 0.0), row[i])


def _lu(step: _Step, a: Atom) -> tuple[Cells, Cells, Cells]:
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
    return _flat(x), pivots, order


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


def _triangular_solve(step: _Step, a: Atom, b: Atom) -> Cells:
    x, params = step.matrix(a), step.params
    if not params["unit"]:
        _refused_zeros(step, x)
    return _flat(_substituted(x, step.matrix(b), **params))


def _factored_solve(step: _Step, a: Atom, factor: Atom, perm: Atom, b: Atom) -> Cells | None:
    x, y, transposed = step.matrix(factor), step.matrix(b), step.params["transposed"]
    if step.params["kind"] == "cholesky":
        y = _substituted(x, y, True)
        return _flat(_substituted(x, y, True, transposed=True))
    swaps = step.builder.swaps.get(perm)
    if swaps is None:
        return None
    if step.params["refusing"]:
        _refused_zeros(step, x)
    return _flat(_solved(x, swaps, y, transposed))


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


def _inverse(step: _Step, a: Atom) -> Cells:
    x = step.matrix(a)
    swaps = _eliminated(x)
    _refused_zeros(step, x)
    one, zero = [Literal(a.aval.dtype.type(k)) for k in (1, 0)]
    eye = [[one if i == j else zero for j in range(len(x))] for i in range(len(x))]
    return _flat(_solved(x, swaps, eye))


def _gathered(step: _Step, x: Atom, *indices: Atom) -> Cells | None:
    """Rows in the order of an LU factorisation."""
    swaps = step.builder.swaps.get(indices[0])
    if swaps is None or step.params["batch"] != len(step.batch) or x.aval.ndim < 3:
        return None
    rows = step.matrix(x)
    for k, chosen in enumerate(swaps):
        _interchange(rows, k, chosen)
    return _flat(rows)


# Determinants


def _signed(swaps: list[list[Any]], x: Any) -> Any:
    """`x`, negative if the number of interchanges is odd."""
    for chosen in swaps:
        if chosen:
            x = ew.select(functools.reduce(ew.bit_or, chosen), ew.neg(x), x)
    return x


def _diagonal(step: _Step, packed: Atom) -> list[Any]:
    return [row[i] for i, row in enumerate(step.matrix(packed))]


def _determinant(step: _Step, a: Atom, packed: Atom, pivots: Atom) -> Cells | None:
    swaps = step.builder.swaps.get(pivots)
    if swaps is None:
        return None
    return [_signed(swaps, functools.reduce(ew.mul, _diagonal(step, packed)))]


def _log_determinant(step: _Step, a: Atom, packed: Atom, pivots: Atom, perm: Atom) -> Any:
    swaps = step.builder.swaps.get(pivots)
    if swaps is None:
        return None
    diagonal = _diagonal(step, packed)
    sign = functools.reduce(ew.mul, [ew.sign(d) for d in diagonal])
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


def _cofactors(step: _Step, a: Atom) -> Cells | None:
    x = step.matrix(a)
    if len(x) > MOST_EXPANDED:
        return None
    return _alternating(len(x), lambda i, j: _expanded(_minor(x, i, j), a.aval.dtype))


def _cofactors_moved(step: _Step, a: Atom, t: Atom, *others: Atom) -> Cells | None:
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


def _spectrum(step: _Step, a: Atom) -> tuple[list[Any], list[list[Any]]] | None:
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
    for i, j in [(i, i + 1) for last in range(n - 1, 0, -1) for i in range(last)]:
        turn = ew.gt(values[i], values[j])
        _interchange_pair(values, i, j, turn)
        _interchange_pair(vectors, i, j, turn)
    return values, vectors


def _interchange_pair(rows: list[Any], i: int, j: int, c: Any) -> None:
    rows[i], rows[j] = _either(c, rows[j], rows[i]), _either(c, rows[i], rows[j])


def _eigvalsh(step: _Step, a: Atom) -> Cells | None:
    found = _spectrum(step, a)
    return None if found is None else found[0]


def _eigh(step: _Step, a: Atom) -> Any:
    found = _spectrum(step, a) if step.params["any_sign"] else None
    if found is None:
        return None
    return found[0], _flat([list(c) for c in zip(*found[1], strict=True)])


ROLES: dict[Role, Callable[..., Any]] = {
    Role.ELEMENTWISE: _elementwise,
    Role.VIEW: _rearranged,
    Role.COPY: _rearranged,
    Role.CONTRACTION: _contracted,
    Role.REDUCTION: _summed,
    Role.GATHER: _gathered,
}
"""Rules for operations around them, by what these do with elements."""
RULES: dict[str, Callable[..., Any]] = {
    "hermitian": _hermitian,
    "cholesky": _cholesky,
    "lu": _lu,
    "triangular_solve": _triangular_solve,
    "factored_solve": _factored_solve,
    "inverse": _inverse,
    "determinant": _determinant,
    "log_determinant": _log_determinant,
    "cofactors": _cofactors,
    "cofactors_moved": _cofactors_moved,
    "eigvalsh": _eigvalsh,
    "eigh": _eigh,
}
"""Rules for operations of linear algebra: each gives the cells of its results, or None."""
