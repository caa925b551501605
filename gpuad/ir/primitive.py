"""A primitive: everything known about one operation, on one object."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypedDict, Unpack

import numpy as np

from gpuad.errors import GraphError
from gpuad.ir.atoms import Atom, Literal, Var
from gpuad.ir.aval import Aval
from gpuad.ir.half import is_bfloat16
from gpuad.ir.ranges import RangeRule, function
from gpuad.ir.recorder import current

Label = int | None
"""The name of an axis: axes with equal labels correspond, None says that nothing is known."""


@dataclass(frozen=True)
class Axes:
    """How the axes of operands and results correspond.

    Along an axis whose label an operand and a result share, the operation acts on each index
    separately. `reduced` has the labels of the axes that are combined into one element, each with
    what combines them (sum, prod, max, min, any, all, logsumexp).
    """

    operands: tuple[tuple[Label, ...], ...]
    outputs: tuple[tuple[Label, ...], ...]
    reduced: dict[int, str] = field(default_factory=dict)


class Role(Enum):
    """What an operation does with the elements of its operands: how the planner, the code
    generators and the executors treat it."""

    ELEMENTWISE = "computes each element from one of each operand, by its scalar text"
    VIEW = "rearranges elements: a view of the operand's memory"
    COPY = "puts its operands side by side, or zeros around them"
    REDUCTION = "combines elements along `axes`, by its `combiner`"
    CUMULATIVE = "computes an element from the one before it along `axis`, by its `step`"
    CONTRACTION = "sums products over shared axes (`ir.contraction`)"
    GATHER = "reads rows of its first operand at indices"
    SCATTER = "combines rows of its second operand into its first one at indices, by its `combiner`"
    UPDATE = "puts its second operand into a window of its first one"
    SORT = "orders elements along `axis`"
    IOTA = "counts along `axis`, from no operand"
    CONSTANT = "is an array that is written into the graph"
    GRAPH = "applies the graphs that it holds"
    OPAQUE = "a library call, of which nothing more is known"


class Facts(TypedDict, total=False):
    """What is known of a primitive besides its calculus; see the attributes of `Primitive`.

    It has many attributes because each is a fact that some primitive has and others lack.
    """

    role: Role
    axes_by_rows: Callable[..., Axes]
    combiner: str
    step: str
    in_row: Callable[..., Any]
    resized: Callable[..., dict[str, Any]]
    parts: Callable[..., list[tuple[slice, ...]]]
    view: Callable[..., Any]
    linear_in: str
    integers: bool
    shows_nan: bool
    asks_finite: bool
    aliases: bool
    calls_user: bool
    converts: bool
    by_precision: bool
    into: Callable[..., None]
    workspace: float | Callable[..., int]
    gpu_workspace: Callable[..., int]


class Primitive:
    """One operation. Declared through `gpuad.primitives.declare`, never directly.

    Attributes
    ----------
    kind
        What it was declared as: "elementwise", "linear", "bilinear", "differentiable", "constant"
        or "graph".
    multiple
        Whether it has several results, as a tuple.
    text, domain, dtypes
        Of an elementwise operation: see `elementwise` in `gpuad.primitives.declare`.
    arity
        How many operands an elementwise operation has.
    scalars_like
        The first operand whose dtype a Python number among the operands takes.
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
        Whether a zero of the result drops what it multiplies: even if that is infinite or NaN,
        nothing of it reaches a derivative (`transforms.drop`).
    marks
        How many of the first operands only say what is dropped, by being zero. Nothing depends on
        how large they are, and no cotangent goes to them.
    moves
        How many of the first operands (None: all) the result takes its elements from, if each of
        its elements is one of theirs or zero. Else 0.
    held
        The names of the parameters that hold a graph, or a tuple of graphs. With any, `jvp` and
        ``linearize(primals, tangents, **params)`` both return ``(outs, tangents_out)``; `linearize`
        records what depends on a tangent as equations of its own, linear in the tangents.
    apply(functions, *arrays, **params)
        Of an operation that holds graphs: its results, from a function of arrays for each graph
        (see `once`). None if it runs another graph than those that it holds.

    It has many attributes because it is the one place for what is known of an operation. Those
    that follow are `Facts`, for all below the transforms:

    role
        What it does with elements, a `Role`.
    axes_by_rows(operands, outputs, **params)
        The correspondence of axes for a sweep over rows, if it is another one than `axes` says: a
        scatter-add is a sum over its updates, to which its first operand is added at the end.
    combiner
        Of a reduction "sum", "max" or "min"; of a scatter also "prod" and "set". Else "".
    step
        Of a cumulative operation: the scalar text of an element from the one before it, `x`, and
        those of the operands, `y` and `z`. Else "".
    in_row(params, from_axis, axis)
        Of a view, copy, reduction or cumulative operation: the axes of one row of the operand that
        are left, and the parameters for that row. The row axis is `from_axis` of the operand and
        `axis` of the result.
    resized(params, axis, n)
        The parameters for an operand and a result whose axis `axis` has the length n. If not
        given, they are the same for every length.
    parts(shapes, **params)
        Of a copy: where in the result operands of these shapes lie, as slices.
    view(x, **params)
        Of an operation whose result may share memory with its operand: its function of a NumPy
        array, which raises ValueError where it would have to copy. None if `run` never copies.
    linear_in
        What `transpose` is for. "all": the operation is linear in all linear operands together, as
        a sum is; "each": in each of two while the other is fixed, as a product is; "first": in the
        first operand only, as a quotient is.
    integers
        Whether its scalar text is right for integers.
    shows_nan
        Whether a result is NaN where an operand is.
    asks_finite
        Whether it asks if a value is finite. A program that asks may have inputs that are not.
    aliases
        Whether its result, on whole arrays, may share the memory of its operand.
    calls_user
        Whether it calls a function of the user's, which must not be called twice or left out.
    converts
        Whether all that it does is to give its operand another dtype.
    by_precision
        Whether its value depends on how many digits its operands have: it cannot be computed in
        more of them.
    into(*operands, out, threads, **params)
        Computes it on NumPy arrays into the array `out`, on at most so many threads. None if `run`
        alone does.
    workspace
        The memory that NumPy's implementation takes besides operands and results: a multiple of
        the largest of these, or a function of the equation and its operands that gives bytes.
    gpu_workspace(operands, outputs, **params)
        The bytes that CuPy's implementation takes besides, from the avals.
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
        held: tuple[str, ...] = (),
        apply: Callable[..., Any] | None = None,
        range: RangeRule | None = None,
        weight: bool = False,
        marks: int = 0,
        moves: int | None = 0,
        **facts: Unpack[Facts],
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
        self.held = held
        self.apply = apply
        self.range = range or function()
        self.weight = weight
        self.marks = marks
        self.moves = moves
        self.role = facts.get("role", _ROLES.get(kind, Role.OPAQUE))
        self.axes_by_rows = facts.get("axes_by_rows")
        self.combiner = facts.get("combiner", "")
        self.step = facts.get("step", "")
        self.in_row = facts.get("in_row", _no_row_params)
        self.resized = facts.get("resized", _same_size)
        self.parts = facts.get("parts")
        self.view = facts.get("view")
        self.linear_in = facts.get("linear_in", "each" if kind == "bilinear" else "all")
        self.integers = facts.get("integers", False)
        self.shows_nan = facts.get("shows_nan", False)
        self.asks_finite = facts.get("asks_finite", False)
        self.aliases = facts.get("aliases", self.role is Role.VIEW)
        self.calls_user = facts.get("calls_user", False)
        self.converts = facts.get("converts", False)
        self.by_precision = facts.get("by_precision", False)
        self.into = facts.get("into")
        self.workspace = facts.get("workspace", 0.0 if isinstance(run, str) else 1.0)
        self.gpu_workspace = facts.get("gpu_workspace", _no_bytes)

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

    @property
    def holds_graph(self) -> bool:
        return bool(self.held)

    @property
    def applies_once(self) -> bool:
        """Whether it applies the one graph that it holds to its operands, and does nothing else."""
        return self.apply is once

    def held_graphs(self, params: dict[str, Any]) -> tuple[Any, ...]:
        """The graphs that it holds, in order."""
        return tuple([g for name in self.held for g in graphs_of(params[name])])

    def with_graphs(self, params: dict[str, Any], graphs: Sequence[Any]) -> dict[str, Any]:
        """The parameters with other graphs in the places of those that it holds."""
        rest = iter(graphs)
        found = dict(params)
        for name in self.held:
            one = not isinstance(params[name], tuple)
            found[name] = next(rest) if one else tuple([next(rest) for _ in params[name]])
        return found

    def implementation(self, xp: Any, params: dict[str, Any]) -> Callable[..., Any]:
        """The function of arrays that computes this operation in namespace `xp`."""
        run = self.run
        if isinstance(run, str):
            return getattr(xp, run)
        if params:
            return lambda *arrays: run(xp, *arrays, **params)
        return lambda *arrays: run(xp, *arrays)

    def as_view(self, params: dict[str, Any]) -> Callable[..., Any]:
        """The function of a NumPy array that gives a view of it, or raises ValueError where the
        operation has to copy."""
        if self.view is None:
            return self.implementation(np, params)
        view = self.view
        return lambda x: view(x, **params)

    def scalar_text(self, params: dict[str, Any]) -> str:
        """The scalar code of one element (`ir.scalar_text`), for the compiled targets."""
        text = self.text
        assert text is not None, f"{self.name} has no scalar text"
        return text if isinstance(text, str) else text(**params)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return (_by_name, (self.name,))


def once(functions: Sequence[Callable[..., Any]], *arrays: Any, **params: Any) -> Any:
    """Applies the one graph that is held."""
    (function,) = functions
    return function(*arrays)


def infer_once(*avals: Aval, graph: Any, **params: Any) -> tuple[Aval, ...]:
    """The results of the held graph, which is applied to values of its inputs' shapes and dtypes.

    Their weakness may differ: a literal is weak.
    """
    inputs = [(a.shape, a.dtype) for a in graph.in_avals]
    if [(a.shape, a.dtype) for a in avals] != inputs:
        raise GraphError(f"{graph.name} takes {graph.in_avals}, and was applied to {avals}")
    return graph.out_avals


def graphs_of(held: Any) -> tuple[Any, ...]:
    """The graphs that a parameter holds: one, or a tuple of them."""
    return held if isinstance(held, tuple) else (held,)


_ROLES = {"elementwise": Role.ELEMENTWISE, "graph": Role.GRAPH}


def _no_row_params(params: dict[str, Any], from_axis: int | None, axis: int | None) -> Any:
    raise AssertionError("this operation has no parameters for one row")


def _same_size(params: dict[str, Any], axis: int, n: int) -> dict[str, Any]:
    return params


def _no_bytes(operands: Sequence[Aval], outputs: Sequence[Aval], **params: Any) -> int:
    return 0


def _by_name(name: str) -> Primitive:
    """For pickles."""
    if name not in CATALOGUE:
        declare_all()
    return CATALOGUE[name]


CATALOGUE: dict[str, Primitive] = {}
"""Every declared primitive, by name."""
ON_DEMAND: list[Callable[[], Any]] = []
"""What imports modules that declare further ones; called when one is looked up and not found."""


def declare_all() -> None:
    """Declares all primitives that there are."""
    while ON_DEMAND:
        ON_DEMAND.pop()()


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
    return dtype.kind in "fc" or is_bfloat16(dtype)
