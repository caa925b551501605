"""A primitive: everything known about one operation, on one object."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.build import current
from gpuad.ir.graph import Atom, Literal, Var
from gpuad.ir.ranges import RangeRule, function

Label = int | None
"""The name of an axis; equal labels mean the same thing, None is opaque."""


@dataclass(frozen=True)
class Axes:
    """How the axes of operands and results correspond.

    A label that stands in an operand and a result is independent: the operation acts separately
    along it. A label of `reduced` is combined away (sum, prod, max, min, any, all, logsumexp).
    None is opaque: nothing is known of the axis.
    """

    operands: tuple[tuple[Label, ...], ...]
    outputs: tuple[tuple[Label, ...], ...]
    reduced: dict[int, str] = field(default_factory=dict)


class Primitive:
    """One operation. Declared through `gpuad.primitives.declare`, never directly.

    Attributes
    ----------
    infer(*avals, **params)
        The aval of the result (a tuple of them if `multiple`).
    run
        The array function: a name in the array namespace, or ``f(xp, *arrays, **params)``.
    jvp(primals, tangents, out, **params)
        The tangent(s) of the result, in gpuad operations; a tangent is None where it is zero.
    transpose(ct, *operands, **params)
        Cotangents for the operands that are `Aval`s (the linear ones), None for the others.
    batch(size, operands, mapped, params)
        The same operation with one more leading axis on the mapped operands: the result and
        whether it is mapped.
    axes(operands, outputs, **params)
        The correspondence of axes, from avals.
    range(*ranges, **params)
        The `Range` of the result, from those of the operands.
    weight
        Whether a zero of the result drops what it multiplies: nothing of it reaches a derivative.
    marks
        How many of the first operands only say what is dropped: nothing depends on how large they
        are, and no cotangent goes to them.
    moves
        If the elements of the result are those of the first operands, or zeros: how many operands
        these are (None: all). Else 0.
    holds_graph
        Whether a parameter is a graph. Then `jvp` and ``linearize(primals, tangents, **params)``
        both return ``(outs, tangents_out)``; `linearize` records what depends on a tangent as
        equations of its own, linear in the tangents.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        infer: Callable[..., Any],
        run: str | Callable[..., Any],
        axes: Callable[..., Axes],
        batch: Callable[..., Any],
        jvp: Callable[..., Any] | None,
        transpose: Callable[..., Any] | None = None,
        linearize: Callable[..., Any] | None = None,
        multiple: bool = False,
        text: str | Callable[..., str] | None = None,
        scalars_like: int = 0,
        domain: tuple[float, float] = (-2.0, 2.0),
        dtypes: str = "f",
        arity: int | None = None,
        holds_graph: bool = False,
        range: RangeRule | None = None,
        weight: bool = False,
        marks: int = 0,
        moves: int | None = 0,
    ):
        self.name = name
        self.kind = kind
        self.infer = infer
        self.run = run
        self.axes = axes
        self.batch = batch
        self.jvp = jvp
        self.transpose = transpose
        self.linearize = linearize
        self.multiple = multiple
        self.text = text
        self.scalars_like = scalars_like
        self.domain = domain
        self.dtypes = dtypes
        self.arity = arity
        self.holds_graph = holds_graph
        self.range = range or function()
        self.weight = weight
        self.marks = marks
        self.moves = moves

    def __call__(self, *operands: Any, **params: Any) -> Any:
        """Records the operation in the graph being built; numbers take the operands' dtype."""
        for x in operands:
            if type(x) is not Var and type(x) is not Literal:
                return current().add(self, self._atoms(operands), params)
        return current().add(self, operands, params)

    def _atoms(self, operands: Sequence[Any]) -> tuple[Atom, ...]:
        candidates = operands[self.scalars_like :]
        dtype = next(x.aval.dtype for x in candidates if isinstance(x, Var | Literal))
        return tuple(
            [x if isinstance(x, Var | Literal) else Literal(dtype.type(x)) for x in operands]
        )

    def implementation(self, xp: Any, params: dict[str, Any]) -> Callable[..., Any]:
        """The function of arrays that computes this operation in namespace `xp`."""
        run = self.run
        if isinstance(run, str):
            return getattr(xp, run)
        if params:
            return lambda *arrays: run(xp, *arrays, **params)
        return lambda *arrays: run(xp, *arrays)

    def scalar_text(self, params: dict[str, Any]) -> str:
        """The line of scalar code that computes one element, for the compiled targets."""
        text = self.text
        assert text is not None, f"{self.name} has no scalar text"
        return text if isinstance(text, str) else text(**params)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return (_by_name, (self.name,))


def _by_name(name: str) -> Primitive:
    return CATALOGUE[name]


CATALOGUE: dict[str, Primitive] = {}
"""Every declared primitive, by name."""


def full(aval: Aval, value: Any) -> Atom:
    """A value of this shape and dtype, equal to a number everywhere."""
    scalar = Literal(aval.dtype.type(value))
    if not aval.shape:
        return scalar
    return CATALOGUE["broadcast"](scalar, shape=aval.shape, dims=())


def zeros(aval: Aval) -> Atom:
    """A zero of this shape and dtype, written out."""
    return full(aval, 0)


def is_inexact(dtype: np.dtype) -> bool:
    """Whether values of this dtype have derivatives."""
    return dtype.kind in "fc"
