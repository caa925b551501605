"""Batches of small matrices, written out in operations on their elements.

A library takes one matrix after another, and what is around it has to be in memory. Written out, a
factorisation is elementwise over the batch: one sweep with all that is around it, on every target.
Here an array of shape (*batch, n, n) is n² cells (`transforms.cells`).

Where NumPy raises LinAlgError, for a matrix that is singular or not positive definite, NaN comes
out here. `written_out` can add one output that says whether this happened.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building, inline
from gpuad.ir.graph import Atom, Graph, Literal, Var, equations_within
from gpuad.ir.primitive import Primitive, Role
from gpuad.primitives import elementwise as ew
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.structure import broadcast
from gpuad.transforms import cells, small_factorizations, small_spectra
from gpuad.transforms.cells import (
    MOST_CELLS,
    Cells,
    Step,
    as_objects,
    fits,
    put_together,
    taken_apart,
)
from gpuad.transforms.memo import memo
from gpuad.transforms.simplify import simplify

LARGEST = 8
"""The most rows of a matrix that is written out."""
FEWEST = 32
"""The fewest matrices in a batch that is written out."""
MOST_EQUATIONS = 4000
"""When so many are recorded, arrays are no longer taken apart: compiling takes longer than it
saves."""


@memo
def written_out(graph: Graph, flagged: bool) -> Graph:
    """The graph, simplified, with small matrices written out; the same graph, if it has none.

    `flagged`: with one more output, if there is anything that NumPy might refuse: not 0 if it had
    to be refused. Graphs that equations hold are written out then, too, to have it from them.
    """
    simple = simplify(graph)
    equations = equations_within(simple) if flagged else simple.equations
    if not any(_is_written(e.primitive, e.operands) for e in equations):
        return graph
    with building(WritingOut(graph.name, flagged)) as builder:
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

    def __init__(self, name: str, flagged: bool):
        super().__init__(name)
        self._flagged = flagged
        self.refused: dict[tuple[tuple[int, ...], np.dtype], Any] = {}
        self.swaps: dict[Atom, list[list[Any]]] = {}
        self._cells: dict[tuple[Atom, tuple[int, ...]], Cells] = {}
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
        if self._flagged and primitive.applies_once:
            return self._with_graph_written_out(primitive, operands, params)
        result = super().add(primitive, operands, params)
        self._note_known(primitive, operands, params, result)
        return result

    def _with_graph_written_out(
        self, primitive: Primitive, operands: tuple[Atom, ...], params: dict[str, Any]
    ) -> Any:
        """An operation that applies the graph that it holds."""
        (graph,) = primitive.held_graphs(params)
        written = written_out(graph, True)
        results = super().add(primitive, operands, primitive.with_graphs(params, [written]))
        if len(written.outputs) == len(graph.outputs):
            return results
        *results, flag = results
        self.refuse(ew.ne(flag, 0.0), flag.aval.dtype)
        return tuple(results)

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
        if primitive.name in RULES:
            written = _is_written(primitive, operands)
            return operands[0].aval.shape[:-2] if written else None
        return next((self._batch[x] for x in operands if x in self._batch), None)

    def _on_cells(
        self, primitive: Primitive, operands: Any, params: dict[str, Any], batch: tuple[int, ...]
    ) -> Any:
        avals = primitive.infer(*[x.aval for x in operands], **params)
        results = avals if primitive.multiple else (avals,)
        if not all(fits(a, batch) for a in (*results, *[x.aval for x in operands])):
            return None
        rule = RULES.get(primitive.name) or ROLES.get(primitive.role)
        found = None if rule is None else rule(Step(self, primitive, params, batch), *operands)
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
        self._cells[v, batch] = as_objects(cells, (*(1,) * len(batch), *aval.shape[len(batch) :]))
        self._batch[v] = batch
        return v

    def cells(self, x: Atom, batch: tuple[int, ...]) -> Cells:
        """The cells of an array; of a value without axes, that value."""
        if type(x) is Literal or not x.aval.shape:
            return as_objects([x], ())
        if (x, batch) not in self._cells:
            found = self._repeated_cells(x, batch)
            apart = taken_apart(self.whole(x), batch) if found is None else found
            self._cells[x, batch] = apart
        return self._cells[x, batch]

    def _repeated_cells(self, x: Atom, batch: tuple[int, ...]) -> Cells | None:
        """The cells of an array that is repeated along the batch: numbers, if it is known."""
        source, dims = self._repeated.get(x, (None, ()))
        if source is None or any(d < len(batch) for d in dims):
            return None
        if type(source) is Literal:
            found = as_objects([source], ())
        elif source in self._known:
            found = as_objects(map(Literal, self._known[source].flat), source.aval.shape)
        else:
            apart = taken_apart(source, ())
            wide = [broadcast(e, shape=batch, dims=()) for e in apart.flat]
            found = as_objects(wide, apart.shape)
        sizes = dict(zip(dims, source.aval.shape, strict=True))
        narrow = found.reshape([sizes.get(d, 1) for d in range(x.aval.ndim)])
        inner = (*(1,) * len(batch), *x.aval.shape[len(batch) :])
        return as_objects(np.broadcast_to(narrow, inner), inner)

    def whole(self, x: Atom) -> Atom:
        """A value as an array."""
        if x not in self._batch:
            return x
        if x not in self._whole:
            batch = self._batch[x]
            self._whole[x] = put_together(self._cells[x, batch], x.aval, batch)
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


ROLES: dict[Role, Callable[..., Any]] = {
    Role.ELEMENTWISE: cells.elementwise,
    Role.VIEW: cells.rearranged,
    Role.COPY: cells.rearranged,
    Role.CONTRACTION: cells.contracted,
    Role.REDUCTION: cells.summed,
    Role.GATHER: small_factorizations.gathered,
}
"""Rules for operations around them, by what these do with elements."""
RULES: dict[str, Callable[..., Any]] = {
    "hermitian": small_factorizations.hermitian,
    "cholesky": small_factorizations.cholesky,
    "lu": small_factorizations.lu,
    "triangular_solve": small_factorizations.triangular_solve,
    "factored_solve": small_factorizations.factored_solve,
    "inverse": small_factorizations.inverse,
    "determinant": small_spectra.determinant,
    "log_determinant": small_spectra.log_determinant,
    "cofactors": small_spectra.cofactors,
    "cofactors_moved": small_spectra.cofactors_moved,
    "eigvalsh": small_spectra.eigvalsh,
    "eigh": small_spectra.eigh,
}
"""Rules for operations of linear algebra: each gives the cells of its results, or None."""
