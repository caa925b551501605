"""jit: record once for each signature, then run the plan."""

import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.recording import Recorded, argument_names, check_callable, function_name, record
from gpuad.compile import EXECUTORS, cleared_with_cache, explanation, run
from gpuad.errors import ArgumentError
from gpuad.executors.explain import Explanation
from gpuad.ir.graph import Graph, Literal
from gpuad.ir.show import show
from gpuad.tracing import Tracer, innermost, namespace_of
from gpuad.tracing.arrays import SCALARS, fingerprint, is_number
from gpuad.tracing.record import apply
from gpuad.tracing.trace import Outer, check_unchanged
from gpuad.transforms.calls import call

logger = logging.getLogger("gpuad.jit")


@dataclass(frozen=True)
class _Entry:
    """One recorded signature of a jitted function."""

    recorded: Recorded
    fingerprints: list[int | None]


class Jitted:
    """A function that is recorded once for each signature; made by `jit`.

    Attributes
    ----------
    retraces : list of str
        Why the function was recorded again: which argument changed, and how.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[..., Any],
        argnums: tuple[int, ...],
        names: tuple[str, ...],
        executor: str,
    ):
        functools.update_wrapper(self, function)
        self._function = function
        self._static_argnums = argnums
        self._static_names = frozenset(names)
        self._entries: dict[Any, _Entry] = {}
        self._last: tuple[Any, list[str]] | None = None
        self.retraces: list[str] = []
        self._executor = executor
        cleared_with_cache(self)

    def clear(self) -> None:
        """Forgets what was recorded."""
        self._entries.clear()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        recorded, values = self._recorded(args, kwargs)
        if innermost(values) is None and not any(type(x) is Outer for x in recorded.captured):
            results = run(recorded.graph, values, self._executor)
        else:
            results = _record_call(recorded.graph, values)
        return tree.unflatten(recorded.out_tree, results)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """What a call with these arguments does: sweeps, library calls, bytes, peak memory.

        Nothing is run. Print the result, or read its attributes; `sources` has the generated code.

        Raises
        ------
        ArgumentError
            If the call does not run compiled sweeps (CuPy arrays, ``executor="reference"``).
        """
        recorded, values = self._recorded(args, kwargs)
        return explanation(recorded.graph, values, self._executor)

    def _recorded(self, args: Any, kwargs: Any) -> tuple[Recorded, list[Any]]:
        """The recording for these arguments, made if there is none, and the graph's inputs."""
        static, dynamic, named = self._divide(args, kwargs)
        leaves, treedef = tree.flatten((dynamic, named))
        signature = tuple([_signature(x) for x in leaves])
        if None in signature:
            raise ArgumentError(self._no_array(leaves[signature.index(None)], args, kwargs))
        # 1, 1.0 and True are equal, and not the same argument.
        key = (treedef, signature, static, tuple([type(x) for _, x in static]))
        try:
            entry = self._entries.get(key)
        except TypeError as error:
            raise ArgumentError(self._unhashable(static)) from error
        if entry is None:
            entry = self._record(key, leaves, treedef, args, kwargs)
        recorded = entry.recorded
        for x, before in zip(recorded.captured, entry.fingerprints, strict=True):
            check_unchanged(x, before, self.__name__)
        return recorded, [*leaves, *recorded.captured]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def _divide(self, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
        """Static values, other positional arguments, other keyword arguments."""
        if not self._static_argnums and not self._static_names:
            return (), args, kwargs
        count = len(args)
        chosen = {i % count for i in self._static_argnums if -count <= i < count}
        static = tuple(
            [(i, args[i]) for i in sorted(chosen)]
            + [(k, kwargs[k]) for k in sorted(self._static_names & kwargs.keys())]
        )
        dynamic = tuple([x for i, x in enumerate(args) if i not in chosen])
        return static, dynamic, {k: v for k, v in kwargs.items() if k not in self._static_names}

    def _record(self, key: Any, leaves: Any, treedef: Any, args: Any, kwargs: Any) -> _Entry:
        static = dict(key[2])
        n_args = len(args)

        def with_static(*dynamic: Any, **named: Any) -> Any:
            rest = iter(dynamic)
            positional = [static[i] if i in static else next(rest) for i in range(n_args)]
            named.update({k: v for k, v in static.items() if isinstance(k, str)})
            return self._function(*positional, **named)

        paths = self._paths(args, kwargs, static)
        self._report(key, paths)
        recorded = record(
            with_static, leaves, treedef, [True] * len(leaves),
            name=self.__name__, unknown="jit", kept=True, paths=lambda: paths,
        )  # fmt: skip
        entry = _Entry(recorded, [fingerprint(x) for x in recorded.captured])
        if not any(type(x) is Outer for x in recorded.captured):
            self._entries[key] = entry
        return entry

    def _paths(self, args: Any, kwargs: Any, static: dict[Any, Any]) -> list[str]:
        names = argument_names(self._function, len(args))
        paths = [
            p
            for i, (name, x) in enumerate(zip(names, args, strict=True))
            if i not in static
            for p in tree.paths(x, name)
        ]
        for k in sorted(kwargs):
            if k not in static:
                paths += tree.paths(kwargs[k], k)
        return paths

    def _report(self, key: Any, paths: list[str]) -> None:
        """Notes which argument differs from the last recording."""
        last, self._last = self._last, (key, paths)
        if last is None:
            return
        (old_tree, old_signature, old_static, old_types), _ = last
        new_tree, new_signature, new_static, new_types = key
        if old_tree != new_tree:
            why = (
                f"the structure of the arguments changed from {_arguments(old_tree)} to "
                f"{_arguments(new_tree)}"
            )
        elif (old_static, old_types) != (new_static, new_types):
            old, new = dict(old_static), dict(new_static)
            changed = [
                f"{_static_name(k, self._function)}: {_given(new, k)} after {_given(old, k)}"
                for k in {**old, **new}
                if k not in old or k not in new or repr(old[k]) != repr(new[k])
            ]
            why = "a static argument changed, " + ", ".join(changed)
        else:
            changed = [
                f"{path}: {_describe(b)} after {_describe(a)}"
                for path, a, b in zip(paths, old_signature, new_signature, strict=True)
                if a != b
            ]
            why = ", ".join(changed) or "a value captured from an outer transform may differ"
        self.retraces.append(why)
        logger.info("%s is recorded again: %s", self.__name__, why)

    def _no_array(self, x: Any, args: Any, kwargs: Any) -> str:
        """What to do about an argument, or a part of one, that is no array."""
        named = zip(argument_names(self._function, len(args)), args, strict=True)
        name = next(
            (
                n
                for n, part in [*named, *kwargs.items()]
                if any(x is y for y in tree.flatten(part)[0])
            ),
            "an argument",
        )
        return (
            f"jit of {self.__name__}: {name} has a {type(x).__name__} ({x!r:.40}) where an array "
            "is expected. Pass arrays and numbers, or make the argument static with "
            f"jit(f, static_argnames={name!r})."
        )

    def _unhashable(self, static: Any) -> str:
        for name, x in static:
            if isinstance(x, Tracer):
                return (
                    f"jit of {self.__name__}: the static argument "
                    f"{_static_name(name, self._function)} is a traced array. Static arguments are "
                    "Python values; make it an ordinary argument."
                )
            try:
                hash(x)
            except TypeError:
                return (
                    f"jit of {self.__name__}: the static argument "
                    f"{_static_name(name, self._function)} is a {type(x).__name__}, which cannot "
                    "be hashed. Pass a tuple or another hashable value, or an array that is not "
                    "static."
                )
        return f"jit of {self.__name__}: the arguments cannot be hashed."

    def __repr__(self) -> str:
        return f"<jit of {self.__name__}>"


def _static_name(name: Any, function: Any) -> str:
    return name if isinstance(name, str) else argument_names(function, name + 1)[name]


def _signature(x: Any) -> Any:
    """What a recording depends on: shape, dtype, weakness and kind of a leaf; None if it is no
    array."""
    if type(x) is np.ndarray:
        return x.shape, x.dtype
    if isinstance(x, Tracer):
        return x.aval
    if is_number(x):
        return type(x)
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return x.shape, x.dtype, namespace_of(x).__name__
    return None


def _given(static: dict[Any, Any], key: Any) -> str:
    return repr(static[key]) if key in static else "its default"


def _arguments(treedef: tree.TreeDef) -> str:
    """The structure of arguments as a call: ``f({'w': *}, n=*)``."""
    args, kwargs = tree.unflatten(treedef, [tree.Leaf()] * treedef.num_leaves)
    return f"({', '.join([*map(repr, args), *[f'{k}={v!r}' for k, v in kwargs.items()]])})"


def _describe(signature: Any) -> str:
    if isinstance(signature, tuple):
        shape, dtype = signature[:2]
        return f"{dtype}{list(shape)}"
    return signature.__name__ if isinstance(signature, type) else str(signature)


def _record_call(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """The recorded graph as one equation of the trace that the values belong to."""
    values = [Tracer(x.trace, x.var) if type(x) is Outer else x for x in values]
    casts = [
        v.aval.dtype.type(x) if isinstance(x, SCALARS) else x
        for v, x in zip(graph.inputs, values, strict=True)
    ]
    if not graph.equations:
        by_input = dict(zip(graph.inputs, casts, strict=True))
        return [x.value if type(x) is Literal else by_input[x] for x in graph.outputs]
    return list(apply(lambda *operands: call(*operands, graph=graph), *casts))


def jit(
    function: Callable[..., Any] | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    executor: str = "auto",
) -> Any:
    """A function that is recorded once for each signature, and then run as a plan.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays. It must compute its result from its arguments
        with recordable operations: Python code in it runs only while it is recorded, and values of
        arrays are not known to it.
    static_argnums, static_argnames
        Arguments that are no arrays: hashable Python values. Each new value is a new recording.

    executor
        "auto": compiled sweeps where they are available; "native": those, on the CPU;
        "reference": operation by operation through NumPy or CuPy, to compare with or to debug.

    Returns
    -------
    A function of the same arguments. Its attribute `retraces` says why it was recorded again.
    Recordings are kept until `clear_cache`.

    Raises
    ------
    UnknownValueError
        If the function asks for the value of an array, as ``if x > 0:`` does.
    InPlaceError
        If an array that the function captured has been changed in place since it was recorded.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> f = ad.jit(ad.grad(lambda x: np.sin(x).sum()))
    >>> f(np.array([0.0, np.pi]))
    array([ 1., -1.])
    """
    if function is None:
        return functools.partial(
            jit, static_argnums=static_argnums, static_argnames=static_argnames, executor=executor
        )
    check_callable(function, "jit")
    argnums = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    argnums, names = _static(function, argnums, names)
    if executor not in EXECUTORS:
        raise ArgumentError(
            f"jit: executor={executor!r}; choose one of {', '.join(map(repr, EXECUTORS))}."
        )
    return Jitted(function, argnums, names, executor)


def _static(
    function: Any, argnums: tuple[int, ...], names: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The static arguments by position and by name, however they were given."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return argnums, names
    _check_static(function, parameters, argnums, names)
    positional = [n for n, p in parameters.items() if p.kind == p.POSITIONAL_OR_KEYWORD]
    by_name = [positional.index(n) for n in names if n in positional]
    by_position = [positional[i] for i in argnums if -len(positional) <= i < len(positional)]
    return tuple({*argnums, *by_name}), tuple({*names, *by_position})


def _check_static(
    function: Any, parameters: Any, argnums: Sequence[int], names: Sequence[str]
) -> None:
    kinds = {p.kind for p in parameters.values()}
    for n in names:
        if n not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
            raise ArgumentError(
                f"jit: static_argnames has {n!r}, which {function_name(function)} does not take; "
                f"its parameters are {', '.join(parameters)}."
            )
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return
    for i in argnums:
        if not -len(parameters) <= i < len(parameters):
            raise ArgumentError(
                f"jit: static_argnums has {i}, and {function_name(function)} takes "
                f"{len(parameters)} arguments."
            )


class GraphText:
    """A recorded function, printed as text; made by `make_graph`.

    Attributes
    ----------
    graph
        The recorded graph.
    """

    def __init__(self, graph: Graph):
        self.graph = graph

    def __repr__(self) -> str:
        return show(self.graph)


def make_graph(function: Callable[..., Any]) -> Callable[..., GraphText]:
    """A function of the same arguments that gives the recorded graph instead of the result.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> def f(x):
    ...     return np.sin(x**2)
    >>> ad.make_graph(ad.grad(f))(2.0)
    f(a: f64[]) {
      b: f64[] = square a
      c: f64[] = mul 2.0 a
      d: f64[] = cos b
      e: f64[] = mul d 1.0
      f: f64[] = mul c e
      return f
    }
    """
    check_callable(function, "make_graph")

    @functools.wraps(function)
    def text(*args: Any, **kwargs: Any) -> GraphText:
        leaves, treedef = tree.flatten((args, kwargs))
        recorded = record(function, leaves, treedef, [True] * len(leaves), differentiated=False)
        return GraphText(recorded.graph)

    return text


__all__ = ["GraphText", "Jitted", "jit", "make_graph"]
