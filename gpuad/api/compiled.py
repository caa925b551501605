"""jit: a function is recorded and compiled once for each signature of its arguments."""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gpuad import tree
from gpuad.api.arguments import checked_budget
from gpuad.api.chosen import named_arguments
from gpuad.api.fast_path import Captured, FastPath, fast_path
from gpuad.api.recording import Arguments, Hidden, Recorded, argument_names, check_callable, record
from gpuad.api.signatures import Key, signature_of, static_name, what_changed
from gpuad.api.static_values import contents
from gpuad.compile import EXECUTORS, cleared_with_cache, explanation, prepared, run
from gpuad.errors import ArgumentError
from gpuad.executors.protocols import Explanation
from gpuad.ir.graph import Graph, Literal
from gpuad.tracing import Tracer, apply, as_tracers, innermost
from gpuad.tracing.arrays import SCALARS, plain
from gpuad.tracing.trace import Outer
from gpuad.transforms.calls import call

logger = logging.getLogger("gpuad.jit")


@dataclass
class _Entry:
    """One recorded signature of a jitted function."""

    recorded: Recorded
    treedef: tree.TreeDef
    captured: Captured
    donated: tuple[int, ...]
    """The leaves, by position, whose memory may be used."""
    has_run: bool = False
    """Whether it has run, so that there is a fast path if it can have one."""
    fast_path: FastPath | None = None


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
        static: tuple[tuple[int, ...], tuple[str, ...]],
        donated: tuple[tuple[int, ...], tuple[str, ...]],
        executor: str,
        max_bytes: int | None,
    ):
        functools.update_wrapper(self, function)
        self._function = function
        self._static_argnums = static[0]
        self._static_names = frozenset(static[1])
        self._donated_argnums = donated[0]
        self._donated_names = frozenset(donated[1])
        self._entries: dict[Key, _Entry] = {}
        self._last: tuple[Key, list[str]] | None = None
        self._fast_path: FastPath | None = None
        """The fast path of the last call, if no argument is static."""
        self.retraces: list[str] = []
        self._executor = executor
        self._max_bytes = max_bytes
        cleared_with_cache(self)

    def clear(self) -> None:
        """Forgets what was recorded."""
        self._entries.clear()
        self._fast_path = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        path = self._fast_path
        if path is not None:
            found = path(args, kwargs)
            if found is not None:
                return found[0] if path.one_result else tree.unflatten(path.out_tree, found)
        entry, leaves = self._entry(args, kwargs)
        path = entry.fast_path
        results = None if path is None else path.of_leaves(leaves)
        if results is None:
            results = self._run(entry, leaves)
        if entry.fast_path is not None and not (self._static_argnums or self._static_names):
            self._fast_path = entry.fast_path
        return tree.unflatten(entry.recorded.out_tree, results)

    def _run(self, entry: _Entry, leaves: Sequence[Any]) -> list[Any]:
        """The results without the fast path, which is built after the first run."""
        graph = entry.recorded.graph
        values = [*leaves, *entry.captured.checked()]
        if innermost(values) is not None or any(type(x) is Outer for x in entry.captured.arrays):
            return _record_call(graph, values)
        results = run(graph, values, self._executor, entry.donated, self._max_bytes)
        if not entry.has_run and not entry.donated and self._max_bytes is None:
            found = prepared(graph, self._executor)
            path = fast_path(entry.recorded, entry.treedef, leaves, entry.captured, found)
            entry.fast_path, entry.has_run = path, True
        return results

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """What a call with these arguments does: sweeps, library calls, bytes, peak memory.

        Nothing is run. Print the result, or read its attributes; `sources` has the generated code.

        Raises
        ------
        ArgumentError
            If the call does not run compiled sweeps (``executor="reference"``, no Numba).
        MemoryLimitError
            If it does not fit in `max_bytes`.
        """
        entry, leaves = self._entry(args, kwargs)
        values = [*leaves, *entry.captured.checked()]
        graph = entry.recorded.graph
        return explanation(graph, values, self._executor, entry.donated, self._max_bytes)

    def _entry(self, args: Any, kwargs: Any) -> tuple[_Entry, list[Any]]:
        """The recording for these arguments, made if there is none, and their leaves."""
        static, dynamic, named = self._divide(args, kwargs)
        leaves, treedef = tree.flatten((dynamic, named))
        leaves = [plain(x) for x in leaves]
        signature = tuple([signature_of(x) for x in leaves])
        if None in signature:
            raise ArgumentError(self._not_an_array(leaves[signature.index(None)], args, kwargs))
        key: Key = (treedef, signature, static, tuple([contents(x) for _, x in static]))
        try:
            entry = self._entries.get(key)
        except TypeError as error:
            raise ArgumentError(self._unhashable(static)) from error
        if entry is None:
            entry = self._record(key, leaves, args, kwargs)
        return entry, leaves

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def _divide(self, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
        """Static arguments by position or name, other positional ones, other keyword ones."""
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

    def _record(self, key: Key, leaves: Any, args: Any, kwargs: Any) -> _Entry:
        """A new recording; kept, if it captured no value of an outer trace."""
        treedef, static, n_args = key[0], dict(key[2]), len(args)

        def with_static(*dynamic: Any, **named: Any) -> Any:
            rest = iter(dynamic)
            positional = [static[i] if i in static else next(rest) for i in range(n_args)]
            named.update({k: v for k, v in static.items() if isinstance(k, str)})
            return self._function(*positional, **named)

        paths = self._paths(args, kwargs, static)
        self._report(key, paths)
        recorded = record(
            with_static,
            Arguments(leaves, treedef, paths=lambda: paths),
            name=self.__name__,
            hidden=Hidden("jit", outer=True),
        )
        donated = self._donated(args, kwargs, static)
        entry = _Entry(recorded, treedef, Captured(recorded.captured, self.__name__), donated)
        if not any(type(x) is Outer for x in recorded.captured):
            self._entries[key] = entry
        return entry

    def _donated(self, args: Any, kwargs: Any, static: dict[Any, Any]) -> tuple[int, ...]:
        """Which leaves belong to donated arguments."""
        count = len(args)
        chosen = {i % count for i in self._donated_argnums if -count <= i < count}
        flags = [
            tree.map(lambda _, on=i in chosen: on, x) for i, x in enumerate(args) if i not in static
        ]
        named = {
            k: tree.map(lambda _, on=k in self._donated_names: on, x)
            for k, x in kwargs.items()
            if k not in static
        }
        return tuple([i for i, on in enumerate(tree.flatten((tuple(flags), named))[0]) if on])

    def _paths(self, args: Any, kwargs: Any, static: dict[Any, Any]) -> list[str]:
        names = argument_names(self._function, len(args))
        paths = [
            p
            for i, (name, x) in enumerate(zip(names, args, strict=True))
            if i not in static
            for p in tree.paths(x, name)
        ]
        for k in sorted(kwargs):  # in the order of the leaves
            if k not in static:
                paths += tree.paths(kwargs[k], k)
        return paths

    def _report(self, key: Key, paths: list[str]) -> None:
        """Notes which argument differs from the last recording."""
        last, self._last = self._last, (key, paths)
        if last is None:
            return
        why = what_changed(last[0], key, paths, self._function)
        self.retraces.append(why)
        logger.info("%s is recorded again: %s", self.__name__, why)

    def _not_an_array(self, x: Any, args: Any, kwargs: Any) -> str:
        """The message about a leaf `x` of the arguments that is not an array."""
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
        """The message about static arguments that cannot be hashed."""
        for name, x in static:
            if isinstance(x, Tracer):
                return (
                    f"jit of {self.__name__}: the static argument "
                    f"{static_name(name, self._function)} is a traced array. Static arguments are "
                    "Python values; make it an ordinary argument."
                )
            try:
                hash(x)
            except TypeError:
                return (
                    f"jit of {self.__name__}: the static argument "
                    f"{static_name(name, self._function)} is a {type(x).__name__}, which cannot "
                    "be hashed. Pass a tuple or another hashable value, or an array that is not "
                    "static."
                )
        return f"jit of {self.__name__}: the arguments cannot be hashed."

    def __repr__(self) -> str:
        return f"<jit of {self.__name__}>"


def _record_call(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """The results of the recorded graph, as one equation of the trace that the values belong to."""
    values = as_tracers(values)
    operands = [
        v.aval.dtype.type(x) if isinstance(x, SCALARS) else x
        for v, x in zip(graph.inputs, values, strict=True)
    ]
    if not graph.equations:
        by_input = dict(zip(graph.inputs, operands, strict=True))
        return [x.value if type(x) is Literal else by_input[x] for x in graph.outputs]
    return list(apply(lambda *xs: call(*xs, graph=graph), *operands))


def jit(
    function: Callable[..., Any] | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    executor: str = "auto",
    donate_argnums: int | Sequence[int] = (),
    donate_argnames: str | Sequence[str] = (),
    max_bytes: int | None = None,
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
        "auto": compiled sweeps where they are available; "native": those, of NumPy arrays; "cuda":
        kernels, of CuPy arrays; "reference": operation by operation through NumPy or CuPy, to
        compare with or to debug.
    donate_argnums, donate_argnames
        Arguments that are not used after the call: compiled sweeps may keep results and
        intermediate values in their memory. The contents of an array that was taken are lost, and
        it is made read-only if it is NumPy's (CuPy's arrays cannot be). It is taken if it is in C
        order, owns all of its memory (or is the last view of it), shares none with another
        argument, can be written, and fits; otherwise it stays as it is, without a warning. Views
        of an array that is taken change with it. A call on a GPU that keeps results in
        donated memory is not replayed as a CUDA graph.
    max_bytes
        The most memory that a call may take beside its arguments, results included: rows are then
        worked through in shorter pieces, with the same bits as a result. Arrays count, and on a GPU
        what cuBLAS works in; the compiler does not. Inside another transform or jit, the limit of
        the outermost jit is what counts.

    Returns
    -------
    Jitted
        A function of the same arguments; its results have the structure, shapes and dtypes of
        `function`'s. Its attribute `retraces` says why it was recorded again; recordings are kept
        until `clear_cache`. Without a `function` a decorator is returned.

    Raises
    ------
    ArgumentError
        If `function` is not a function, there is no such `executor`, or static or donated arguments
        do not exist or are both. From the call: if an argument has a leaf that is not an array, a
        static one cannot be hashed, or the executor is not one for these arrays.
    UnknownValueError
        If `function` asks for the value of an array, as ``if x > 0:`` does.
    InPlaceError
        If an array that `function` captured has been changed in place since it was recorded.
    MemoryLimitError
        If a call cannot do with `max_bytes`. The message has the smallest number that would do.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> f = ad.jit(ad.grad(lambda x: np.sin(x).sum()))
    >>> f(np.array([0.0, np.pi]))
    array([ 1., -1.])

    In at most 200 kB, the result of 320 kB in the memory of the argument:

    >>> f = ad.jit(np.sin, donate_argnums=0, max_bytes=200_000)
    >>> f(np.zeros((10_000, 4))).shape
    (10000, 4)
    """
    if function is None:
        return functools.partial(
            jit, static_argnums=static_argnums, static_argnames=static_argnames, executor=executor,
            donate_argnums=donate_argnums, donate_argnames=donate_argnames, max_bytes=max_bytes,
        )  # fmt: skip
    check_callable(function, "jit")
    static = named_arguments(function, "static", static_argnums, static_argnames)
    donated = named_arguments(function, "donate", donate_argnums, donate_argnames)
    both = sorted({*static[1]} & {*donated[1]})
    if both:
        raise ArgumentError(
            f"jit: {both[0]} is both static and donated; static arguments are Python values, whose "
            "memory cannot be used. Leave it out of one of them."
        )
    budget = checked_budget(max_bytes, "jit")
    if executor not in EXECUTORS:
        raise ArgumentError(
            f"jit: executor={executor!r}; choose one of {', '.join(map(repr, EXECUTORS))}."
        )
    return Jitted(function, static, donated, executor, budget)


__all__ = ["Jitted", "jit"]
