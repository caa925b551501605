"""Functions that declare primitives, one for each kind; the kind supplies what all of it share.

A rule works on `Var`s and records into the graph being built; numbers in it take the dtype of the
operands. An incomplete declaration raises `GraphError`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import numpy as np

from gpuad.errors import GraphError, UnsupportedError
from gpuad.ir.aval import Aval, real_dtype
from gpuad.ir.graph import Atom
from gpuad.ir.half import widened
from gpuad.ir.interpret import program
from gpuad.ir.primitive import (
    CATALOGUE,
    Axes,
    Facts,
    Primitive,
    Role,
    full,
    infer_once,
    once,
    zeros,
)
from gpuad.ir.ranges import RangeRule, function, same
from gpuad.ir.scalar_text import TEXT_NAMES, check_text
from gpuad.primitives.batching import (
    elementwise_axes,
    elementwise_batch,
    lifted_batch,
    opaque_axes,
    with_leading_axis,
)

BOOL = np.dtype(bool)


def _declare(primitive: Primitive) -> Primitive:
    if primitive.name in CATALOGUE:
        raise GraphError(f"primitive {primitive.name!r} is declared twice; choose another name")
    CATALOGUE[primitive.name] = primitive
    return primitive


# Elementwise


class Term:
    """A partial derivative given as a linear function of its tangent: ``f(t, *operands, out)``."""

    def __init__(self, function: Callable[..., Atom]):
        self.function = function


def elementwise(
    name: str,
    run: str | Callable[..., Any],
    text: str | Callable[..., str] | None,
    *partials: Any,
    jvp: Callable[..., Any] | None = None,
    transpose: Callable[..., Any] | None = None,
    result: str | Callable[..., Any] = "same",
    range: RangeRule | None = None,
    weight: bool = False,
    marks: int = 0,
    scalars_like: int = 0,
    domain: tuple[float, float] = (-2.0, 2.0),
    dtypes: str = "f",
    operator: bool = False,
    **facts: Unpack[Facts],
) -> Primitive:
    """An operation that acts on each element separately.

    `text` is one line of scalar code in the language of `ir.scalar_text`, for the compiled
    targets, or a function of the parameters that gives it, or None: the operation is a library
    call, which can be made for a part of the elements. Each operand has a partial
    derivative: 1, -1, None (zero), a function ``f(*operands, out)`` that gives the coefficient,
    or a `Term`. With `jvp`, that is the whole rule instead. `range` gives the `Range` of the
    result from those of the operands; without, it has no bounds, and it and its derivatives are
    finite where the operands are. A `weight` that is zero drops what it multiplies (P3 of the
    conventions); the first `marks` operands only say what is dropped. `result` is "same", "bool",
    "real" (the real counterpart of a complex operand) or a function of the parameters giving the
    dtype; `domain` is an interval on which the function is smooth and finite; `dtypes` the kinds of
    dtype it accepts. An `operator` of weak values alone gives a weak value, as Python's operators
    of Python numbers do; NumPy's functions of them do not.
    """
    arity = len(partials)
    if not arity or text == "":
        raise GraphError(f"{name}: an elementwise primitive states its text and its partials")
    if isinstance(text, str):
        check_text(name, text, arity)
    if text is None:
        facts.setdefault("role", Role.OPAQUE)

    def infer(*avals: Aval, **params: Any) -> Aval:
        aval = _common_aval(name, avals, scalars_like)
        if widened(aval.dtype).kind not in dtypes:
            raise UnsupportedError(_not_defined(name, aval.dtype))
        if aval.weak and not operator:
            aval = Aval(aval.shape, aval.dtype)
        if callable(result):
            return aval.with_dtype(result(aval.dtype, **params))
        if result == "bool":
            return Aval(aval.shape, BOOL)
        if result == "real" and aval.dtype.kind == "c":
            return aval.with_dtype(real_dtype(aval.dtype))
        return aval

    def sum_of_terms(primals: Any, tangents: Any, out: Any, **params: Any) -> Any:
        total = None
        for partial, t in zip(partials, tangents, strict=True):
            if t is None or partial is None:
                continue
            term = _term(partial, t, primals, out, params)
            total = term if total is None else CATALOGUE["add"](total, term)
        return total

    return _declare(
        Primitive(
            name,
            "elementwise",
            infer=infer,
            run=run,
            jvp=jvp or (None if all(p is None for p in partials) else sum_of_terms),
            transpose=transpose,
            batch=elementwise_batch(name),
            axes=elementwise_axes,
            text=text,
            range=range or function(),
            weight=weight,
            marks=marks,
            scalars_like=scalars_like,
            domain=domain,
            dtypes=dtypes,
            arity=arity,
            **facts,
        )
    )


def _not_defined(name: str, dtype: np.dtype) -> str:
    if dtype.kind == "c":
        return f"{name} is not defined for {dtype}; take the real part or abs(x) first."
    return f"{name} is not defined for {dtype}; convert with .astype(float) first."


def _common_aval(name: str, avals: Sequence[Aval], scalars_like: int) -> Aval:
    shape = next((a.shape for a in avals if a.shape), ())
    typed = avals[scalars_like:]
    result = typed[0]
    for a in typed:
        if a.dtype != result.dtype:
            raise GraphError(f"{name}: operands of dtypes {result.dtype} and {a.dtype}; cast first")
        if (a.shape and not result.shape) or (result.weak and not a.weak):
            result = a
    for a in avals:
        if a.shape and a.shape != shape:
            raise GraphError(f"{name}: operands of shapes {shape} and {a.shape}; broadcast first")
    return result if result.shape == shape else Aval(shape, result.dtype, result.weak)


def _term(partial: Any, t: Any, primals: Sequence[Any], out: Any, params: dict) -> Any:
    if isinstance(partial, Term):
        return partial.function(t, *primals, out, **params)
    if partial == 1:
        return t
    if partial == -1:
        return CATALOGUE["neg"](t)
    coefficient = partial(*primals, out, **params)
    if coefficient is None:
        return zeros(t.aval)
    return CATALOGUE["mul"](coefficient, t)


# Everything else


def linear(
    name: str,
    *,
    infer: Callable[..., Aval],
    run: str | Callable[..., Any],
    axes: Callable[..., Axes],
    transpose: Callable[..., Any],
    lift: Callable[..., dict] | None = None,
    batch: Callable[..., Any] | None = None,
    operands: int | None = None,
    moves: bool = False,
    range: RangeRule | None = None,
    **facts: Unpack[Facts],
) -> Primitive:
    """An operation jointly linear in its first `operands` operands (all, if not given).

    The others (index arrays) have no derivative. If it `moves`, every element of the result is an
    element of one of those operands, or zero.

    ``transpose(ct, *operands, **params)`` gets an `Aval` in place of each operand whose cotangent
    is wanted. It returns one cotangent if there is one operand, else a tuple.
    """

    def jvp(primals: Any, tangents: Any, out: Any, **params: Any) -> Any:
        count = len(primals) if operands is None else operands
        if all(t is None for t in tangents[:count]):
            return None
        dots = [
            zeros(x.aval) if t is None else t
            for x, t in zip(primals[:count], tangents[:count], strict=True)
        ]
        return CATALOGUE[name](*dots, *primals[count:], **params)

    return _declare(
        Primitive(
            name,
            "linear",
            infer=infer,
            run=run,
            jvp=jvp,
            transpose=transpose,
            batch=batch or lifted_batch(name, lift),
            axes=axes,
            range=range or (same if moves else function()),
            moves=operands if moves else 0,
            **facts,
        )
    )


def bilinear(
    name: str,
    *,
    infer: Callable[..., Aval],
    run: str | Callable[..., Any],
    axes: Callable[..., Axes],
    transpose_x: Callable[..., Any],
    transpose_y: Callable[..., Any],
    batch: Callable[..., Any],
    **facts: Unpack[Facts],
) -> Primitive:
    """An operation linear in each of two operands.

    ``transpose_x(ct, x_aval, y, **params)`` and ``transpose_y(ct, x, y_aval, **params)`` return the
    cotangent of the operand that they are named for.
    """

    def jvp(primals: Any, tangents: Any, out: Any, **params: Any) -> Any:
        (x, y), (x_dot, y_dot) = primals, tangents
        primitive = CATALOGUE[name]
        if y_dot is None:
            return None if x_dot is None else primitive(x_dot, y, **params)
        second = primitive(x, y_dot, **params)
        return second if x_dot is None else CATALOGUE["add"](primitive(x_dot, y, **params), second)

    def transpose(ct: Any, x: Any, y: Any, **params: Any) -> Any:
        if isinstance(x, Aval):
            return transpose_x(ct, x, y, **params), None
        return None, transpose_y(ct, x, y, **params)

    return _declare(
        Primitive(
            name,
            "bilinear",
            infer=infer,
            run=run,
            jvp=jvp,
            transpose=transpose,
            batch=batch,
            axes=axes,
            **facts,
        )
    )


def differentiable(
    name: str,
    *,
    infer: Callable[..., Any],
    run: str | Callable[..., Any],
    axes: Callable[..., Axes],
    jvp: Callable[..., Any],
    lift: Callable[..., dict] | None = None,
    batch: Callable[..., Any] | None = None,
    transpose: Callable[..., Any] | None = None,
    multiple: bool = False,
    range: RangeRule | None = None,
    weight: bool = False,
    marks: int = 0,
    **facts: Unpack[Facts],
) -> Primitive:
    """An operation with a JVP rule ``jvp(primals, tangents, out, **params)``."""
    return _declare(
        Primitive(
            name,
            "differentiable",
            infer=infer,
            run=run,
            jvp=jvp,
            transpose=transpose,
            batch=batch or lifted_batch(name, lift, multiple),
            axes=axes,
            multiple=multiple,
            range=range or function(),
            weight=weight,
            marks=marks,
            **facts,
        )
    )


def constant(
    name: str,
    *,
    infer: Callable[..., Any],
    run: str | Callable[..., Any],
    axes: Callable[..., Axes],
    lift: Callable[..., dict] | None = None,
    batch: Callable[..., Any] | None = None,
    range: RangeRule | None = None,
    **facts: Unpack[Facts],
) -> Primitive:
    """An operation whose derivative is zero everywhere."""
    return _declare(
        Primitive(
            name,
            "constant",
            infer=infer,
            run=run,
            jvp=None,
            batch=batch or lifted_batch(name, lift),
            axes=axes,
            range=range or function(),
            **facts,
        )
    )


def holding(
    name: str,
    *,
    jvp: Callable[..., Any],
    linearize: Callable[..., Any],
    transpose: Callable[..., Any] | None,
    batch: Callable[..., Any],
    graphs: tuple[str, ...] = ("graph",),
    infer: Callable[..., Any] | None = None,
    apply: Callable[..., Any] | None = once,
    run: Callable[..., Any] | None = None,
    **facts: Unpack[Facts],
) -> Primitive:
    """An operation that holds graphs, in the parameters named by `graphs`.

    ``apply(functions, *arrays, **params)`` computes the results. It gets a function of arrays for
    each graph, interpreted or compiled. Without `apply` and `infer`, the one graph is applied to
    the operands. An operation that runs another graph than it holds has a `run`, and None for
    `apply`.
    """
    if (apply is None) is (run is None) or (infer is None and apply is not once):
        raise GraphError(f"{name}: what holds graphs states how they are applied, and its results")

    def interpreted(xp: Any, *arrays: Any, **params: Any) -> Any:
        functions = [program(g, xp) for g in primitive.held_graphs(params)]
        return apply(functions, *arrays, **params)  # type: ignore[misc]

    primitive = Primitive(
        name,
        "graph",
        infer=infer or infer_once,
        run=run or interpreted,
        jvp=jvp,
        linearize=linearize,
        transpose=transpose,
        batch=batch,
        axes=opaque_axes,
        multiple=True,
        held=graphs,
        apply=apply,
        **facts,
    )
    return _declare(primitive)


__all__ = [
    "TEXT_NAMES",
    "Role",
    "Term",
    "bilinear",
    "check_text",
    "constant",
    "differentiable",
    "elementwise",
    "full",
    "holding",
    "lifted_batch",
    "linear",
    "opaque_axes",
    "with_leading_axis",
    "zeros",
]
