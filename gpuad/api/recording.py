"""From a user's function and its arguments to a graph: shared by all transforms."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from gpuad import tree
from gpuad.compile import canonical
from gpuad.errors import ArgumentError, DTypeError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Graph, Literal
from gpuad.ir.primitive import is_inexact
from gpuad.tracing import Trace, Tracer, is_array, lift, tracing
from gpuad.tracing.arrays import SCALARS, aval_of, is_number, number_dtype, usable
from gpuad.tracing.boundary import check_holds_no_tracer, raise_refusal
from gpuad.tracing.devices import check_together
from gpuad.tracing.operators import ArrayLike
from gpuad.tracing.trace import Outer
from gpuad.tracing.views import GIVEN


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
"""How to call those that do not return a function of the same arguments."""


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
        # Called for every derivative; inspect.signature takes 12 µs.
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


def argument_paths(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """What a user calls each leaf of the arguments, in the order of ``tree.flatten``."""
    names = argument_names(function, len(args))
    given = [*zip(names, args, strict=True), *sorted(kwargs.items())]
    return [p for n, x in given for p in tree.paths(x, n)]


def leaf_paths(function: Any, treedef: tree.TreeDef) -> list[str]:
    """What a user calls each leaf of the arguments ``(args, kwargs)`` of this structure."""
    args, kwargs = tree.unflatten(treedef, range(treedef.num_leaves))
    return argument_paths(function, args, kwargs)


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
    if not is_inexact(dtype):
        cast = f", or {name}.astype(float)" * hasattr(x, "astype")
        raise DTypeError(
            f"{transform}: {name} has dtype {dtype}, and a derivative by integers or booleans does "
            f"not exist. Pass floats (3.0 instead of 3{cast}), or choose "
            "other arguments with argnums."
        )


@dataclass(frozen=True)
class Recorded:
    """A traced function: its graph, the values that it captured, the structure of its result."""

    graph: Graph
    captured: list[Any]
    out_tree: tree.TreeDef
    aux: "Aux | None" = None


@dataclass(frozen=True)
class Arguments:
    """The arguments of a function to trace: leaves and structure of ``(args, kwargs)``."""

    leaves: Sequence[Any]
    treedef: tree.TreeDef
    traced: Sequence[bool] | None = None
    """Whether each leaf is traced; None: all are."""
    paths: Callable[[], list[str]] | None = None
    """What the user calls each leaf, for messages; None: as the signature of the function says."""


@dataclass(frozen=True)
class Hidden:
    """Which values Python code cannot ask for while a function is traced."""

    by: str | None
    """The transform that hides them, for messages; None: no value is hidden."""
    leaves: Sequence[bool] | None = None
    """Whether each leaf is hidden; None: all are."""
    avals: Sequence[Aval | None] | None = None
    """The aval that a hidden leaf is traced with; None: its own."""
    outer: bool = False
    """Whether values of outer traces are hidden too, since the graph is used again."""


NOTHING_HIDDEN = Hidden(None)


def record(
    function: Callable[..., Any],
    arguments: Arguments,
    *,
    name: str | None = None,
    hidden: Hidden = NOTHING_HIDDEN,
    differentiated: bool | Sequence[bool] = False,
    has_aux: bool = False,
) -> Recorded:
    """The graph of `function`, which is run on Tracers in place of the leaves that are traced.

    `differentiated` says by which leaves a derivative is taken: all, none, or a flag for each. With
    `has_aux` the function returns a pair, and the second part is kept aside as `Recorded.aux`; the
    traced arrays in it are further outputs of the graph.
    """
    leaves, treedef = arguments.leaves, arguments.treedef
    traced = [True] * len(leaves) if arguments.traced is None else arguments.traced
    hides = hidden.leaves or [hidden.by is not None] * len(leaves)
    avals = hidden.avals or [None] * len(leaves)
    trace = Trace(name or function_name(function), hidden.by, hidden.outer)
    active = [differentiated] * len(leaves) if isinstance(differentiated, bool) else differentiated
    paths = arguments.paths or (lambda: leaf_paths(function, treedef))
    trace.names = lambda: [p for p, on in zip(paths(), traced, strict=True) if on]
    given = [x if on else None for x, on in zip(leaves, traced, strict=True)]
    check_together(trace.name, given, paths)
    with tracing(trace):
        inputs = []
        for i, (x, on) in enumerate(zip(leaves, traced, strict=True)):
            if on:
                aval = avals[i] or leaf_aval(x)
                value = None if hides[i] else known_value(x)
                inputs.append(Tracer(trace, trace.argument(aval, value, active[i]), GIVEN))
            else:
                inputs.append(x)
        args, kwargs = tree.unflatten(treedef, inputs)
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            raise_refusal(error, trace)
            raise
        aux_leaves: list[Any] = []
        aux_tree = None
        if has_aux:
            result, aux = _split_aux(result, trace.name)
            aux_leaves, aux_tree = tree.flatten(aux)
            _check_aux(aux, aux_leaves, trace)
        out_leaves, out_tree = tree.flatten(result)
        for where, held in tree.metadata(result, "the result"):
            check_holds_no_tracer(held, where, trace)
        outputs = [lift(trace, _output(x, trace.name)) for x in out_leaves]
        traced_aux = [isinstance(x, Tracer) for x in aux_leaves]
        outputs += [lift(trace, x) for x in aux_leaves if isinstance(x, Tracer)]
        graph, captured = trace.finish(outputs)
    check_together(
        trace.name,
        [*given, *captured],
        lambda: [*paths(), *[_captured_name(x, leaves, paths()) for x in captured]],
    )
    aux = None if aux_tree is None else Aux(aux_leaves, traced_aux, aux_tree)
    return Recorded(canonical(graph), captured, out_tree, aux)


def _check_aux(aux: Any, leaves: Sequence[Any], trace: Trace) -> None:
    """Refuses auxiliary results that hold a traced array where gpuad does not see it."""
    for x, path in zip(leaves, tree.paths(aux, "aux"), strict=True):
        if not isinstance(x, Tracer):
            check_holds_no_tracer(x, path, trace)
    for path, held in tree.metadata(aux, "aux"):
        check_holds_no_tracer(held, path, trace)


def _captured_name(x: Any, leaves: Sequence[Any], names: Sequence[str]) -> str:
    """What the user calls a captured array; it may be an argument that is not traced."""
    pairs = zip(leaves, names, strict=True)
    shape = getattr(x, "shape", ())
    return next((n for y, n in pairs if y is x), f"a captured array of shape {shape}")


@dataclass(frozen=True)
class Aux:
    """Auxiliary results: traced ones are outputs of the graph, others are returned as they are."""

    leaves: list[Any]
    traced: list[bool]
    treedef: tree.TreeDef

    def fill(self, values: Sequence[Any]) -> Any:
        """The auxiliary results, with these values of the traced ones."""
        rest = iter(values)
        leaves = [next(rest) if on else x for x, on in zip(self.leaves, self.traced, strict=True)]
        return tree.unflatten(self.treedef, leaves)


def known_value(x: Any) -> Any:
    """The value of a leaf as a trace takes it: an array or NumPy scalar, or an `Outer`."""
    if isinstance(x, Tracer):
        trace, atom = x._now()
        return atom.value if type(atom) is Literal else Outer(trace, atom)
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
