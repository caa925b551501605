"""From a user's function and its arguments to a graph: shared by all transforms."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from gpuad import tree
from gpuad.compile import canonical
from gpuad.errors import ArgumentError, DTypeError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Graph, Literal
from gpuad.tracing import Trace, Tracer, is_array, lift, tracing
from gpuad.tracing.arrays import SCALARS, aval_of, is_number, number_dtype, usable
from gpuad.tracing.boundary import check_nothing_left, raise_ours
from gpuad.tracing.devices import check_together
from gpuad.tracing.operators import ArrayLike
from gpuad.tracing.trace import Outer


def function_name(function: Any) -> str:
    """What to call a function in messages and printed graphs."""
    return getattr(function, "__name__", type(function).__name__)


_CALLS = {
    "jvp": "Write jvp(f, primals, tangents).",
    "hvp": "Write hvp(f, primals, tangents).",
    "vjp": "Write vjp(f, *primals), and call the pullback that it returns with a cotangent.",
    "linearize": "Write linearize(f, *primals), and call the function that it returns.",
    "linear_transpose": "Write linear_transpose(f, *examples), and call what it returns.",
    "defjvp": "Write f.defjvp(rule).",
    "defvjp": "Write f.defvjp(forward, backward).",
    "check_grads": "Write check_grads(f, args).",
    "check_hvp": "Write check_hvp(f, args).",
}
"""How those are called that do not return a function of the same arguments."""


def check_callable(function: Any, transform: str) -> None:
    if not callable(function):
        raise ArgumentError(
            f"{transform} takes a function, got a {type(function).__name__}. "
            + _CALLS.get(
                transform, f"Write {transform}(f) and then call the result with the arguments."
            )
        )


def argument_names(function: Any, count: int) -> list[str]:
    """Names of the positional arguments, for messages."""
    if type(function) is FunctionType and not hasattr(function, "__wrapped__"):
        # On the path of every derivative, where inspect.signature takes 12 µs.
        names: Sequence[str] = function.__code__.co_varnames[: function.__code__.co_argcount]
    else:
        names = _inspected_names(function)
    return [names[i] if i < len(names) else f"argument {i}" for i in range(count)]


def _inspected_names(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def leaf_paths(function: Any, treedef: tree.TreeDef) -> list[str]:
    """What a user calls each leaf of the arguments ``(args, kwargs)`` of a function."""
    args, kwargs = tree.unflatten(treedef, range(treedef.num_leaves))
    names = argument_names(function, len(args))
    return [
        p for n, x in [*zip(names, args, strict=True), *kwargs.items()] for p in tree.paths(x, n)
    ]


def check_array(x: Any, name: str, transform: str) -> Any:
    """`x`, which must be an array, a number or a Tracer."""
    if isinstance(x, Tracer | SCALARS) or is_array(x):
        return x
    if isinstance(x, ArrayLike):
        x._check_array()
    raise ArgumentError(
        f"{transform}: {name} has a {type(x).__name__} ({x!r:.40}) where an array is expected. "
        "Pass NumPy or CuPy arrays, numbers, or tuples, lists and dicts of them; "
        "bind anything else beforehand, with functools.partial or a lambda."
    )


def leaf_aval(x: Any, name: str = "the argument") -> Aval:
    """The aval of a leaf: a Tracer, array or number."""
    if isinstance(x, Tracer):
        return x.aval
    return aval_of(x if is_number(x) else usable(x, name))


def check_inexact(x: Any, name: str, transform: str) -> None:
    """Refuses to differentiate by integers and booleans."""
    dtype = leaf_aval(x, name).dtype
    if dtype.kind not in "fc":
        raise DTypeError(
            f"{transform}: {name} has dtype {dtype}, and a derivative by integers or booleans does "
            f"not exist. Pass floats (3.0 instead of 3, or {name}.astype(float)), or choose "
            "other arguments with argnums."
        )


@dataclass(frozen=True)
class Recorded:
    """A traced function: its graph, the values that it captured, the structure of its result."""

    graph: Graph
    captured: list[Any]
    out_tree: tree.TreeDef
    aux: Any = None


@dataclass(frozen=True)
class Arguments:
    """Arguments of a traced function: the leaves of ``(args, kwargs)``, and their structure."""

    leaves: Sequence[Any]
    treedef: tree.TreeDef
    traced: Sequence[bool] | None = None
    """Of each leaf, whether it is traced; all are, if not given."""
    paths: Callable[[], list[str]] | None = None
    """What the user calls each leaf, for messages, where the function does not say."""


@dataclass(frozen=True)
class Hidden:
    """Values that Python may not look at while a function is traced."""

    by: str | None
    """The transform that hides them, for messages; None, if all can be seen."""
    leaves: Sequence[bool] | None = None
    """Of each leaf, whether it is hidden; all are, if not given."""
    avals: Sequence[Aval | None] | None = None
    """What a hidden leaf is traced as, if not as itself."""
    outer: bool = False
    """Also values of outer traces are hidden, since the graph is used again."""


SEEN = Hidden(None)


def record(
    function: Callable[..., Any],
    arguments: Arguments,
    *,
    name: str | None = None,
    hidden: Hidden = SEEN,
    differentiated: bool | Sequence[bool] = False,
    has_aux: bool = False,
) -> Recorded:
    """Runs `function` on Tracers for the leaves that are traced.

    `differentiated` says by which leaves a derivative is taken, if not by all or none. `has_aux`
    takes the second of a pair of results aside; its traced values are computed where they are
    known.
    """
    leaves, treedef = arguments.leaves, arguments.treedef
    traced = [True] * len(leaves) if arguments.traced is None else arguments.traced
    unseen = hidden.leaves or [hidden.by is not None] * len(leaves)
    avals = hidden.avals or [None] * len(leaves)
    trace = Trace(name or function_name(function), hidden.by, hidden.outer)
    moves = [differentiated] * len(leaves) if isinstance(differentiated, bool) else differentiated
    named = arguments.paths or (lambda: leaf_paths(function, treedef))
    trace.names = lambda: [p for p, on in zip(named(), traced, strict=True) if on]
    given = [x if on else None for x, on in zip(leaves, traced, strict=True)]
    check_together(trace.name, given, named)
    with tracing(trace):
        inputs = []
        for i, (x, on) in enumerate(zip(leaves, traced, strict=True)):
            if on:
                aval = avals[i] or leaf_aval(x)
                value = None if unseen[i] else _known(x)
                inputs.append(Tracer(trace, trace.argument(aval, value, moves[i])))
            else:
                inputs.append(x)
        args, kwargs = tree.unflatten(treedef, inputs)
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            raise_ours(error, trace)
            raise
        aux_leaves: list[Any] = []
        aux_tree = None
        if has_aux:
            result, aux = _split_aux(result, trace.name)
            aux_leaves, aux_tree = tree.flatten(aux)
            _check_aux(aux, aux_leaves, trace)
        out_leaves, out_tree = tree.flatten(result)
        for where, held in tree.metadata(result, "the result"):
            check_nothing_left(held, where, trace)
        outputs = [lift(trace, _output(x, trace.name)) for x in out_leaves]
        traced_aux = [isinstance(x, Tracer) for x in aux_leaves]
        outputs += [lift(trace, x) for x in aux_leaves if isinstance(x, Tracer)]
        graph, captured = trace.finish(outputs)
    check_together(
        trace.name,
        [*given, *captured],
        lambda: [*named(), *[_captured_name(x, leaves, named()) for x in captured]],
    )
    aux = None if aux_tree is None else Aux(aux_leaves, traced_aux, aux_tree)
    return Recorded(canonical(graph), captured, out_tree, aux)


def _check_aux(aux: Any, leaves: Sequence[Any], trace: Trace) -> None:
    """Refuses traced arrays that are hidden in auxiliary results, where they would stay."""
    for x, path in zip(leaves, tree.paths(aux, "aux"), strict=True):
        if not isinstance(x, Tracer):
            check_nothing_left(x, path, trace)
    for path, held in tree.metadata(aux, "aux"):
        check_nothing_left(held, path, trace)


def _captured_name(x: Any, leaves: Sequence[Any], names: Sequence[str]) -> str:
    """What the user calls an array that came in beside the traced arguments."""
    pairs = zip(leaves, names, strict=True)
    shape = getattr(x, "shape", ())
    return next((n for y, n in pairs if y is x), f"a captured array of shape {shape}")


@dataclass(frozen=True)
class Aux:
    """Auxiliary results: traced ones come back from the graph, others as they are."""

    leaves: list[Any]
    traced: list[bool]
    treedef: tree.TreeDef

    @property
    def count(self) -> int:
        return sum(self.traced)

    def fill(self, values: Sequence[Any]) -> Any:
        rest = iter(values)
        leaves = [next(rest) if on else x for x, on in zip(self.leaves, self.traced, strict=True)]
        return tree.unflatten(self.treedef, leaves)


def _known(x: Any) -> Any:
    if isinstance(x, Tracer):
        atom = x._current_var()
        return atom.value if type(atom) is Literal else Outer(x._trace, atom)
    return number_dtype(x).type(x) if is_number(x) else usable(x)


def _split_aux(result: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentError(
            f"{name} returned {type(result).__name__}; with has_aux=True a function returns a pair "
            "(value, aux). Return both, or drop has_aux."
        )
    return result


def _output(x: Any, name: str) -> Any:
    if isinstance(x, Tracer | SCALARS) or is_array(x):
        return x
    if isinstance(x, ArrayLike):
        x._check_array()
    raise ArgumentError(
        f"{name} returned a {type(x).__name__} ({x!r:.40}) where an array is expected. "
        "Return arrays, numbers, or tuples, lists and dicts of them."
    )
