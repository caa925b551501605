"""jit: record once for each signature, then run the plan."""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.arguments import checked_budget
from gpuad.api.chosen import named_arguments
from gpuad.api.recording import Recorded, argument_names, check_callable, record
from gpuad.compile import EXECUTORS, cleared_with_cache, explanation, run, short_way
from gpuad.errors import ArgumentError
from gpuad.executors.native.explain import Explanation
from gpuad.executors.native.fast_path import Known
from gpuad.ir.graph import Graph, Literal
from gpuad.tracing import Tracer, innermost, namespace_of
from gpuad.tracing.arrays import SCALARS, fingerprint, is_number, plain
from gpuad.tracing.devices import device_of
from gpuad.tracing.record import apply
from gpuad.tracing.trace import Outer, check_unchanged
from gpuad.transforms.calls import call

logger = logging.getLogger("gpuad.jit")


@dataclass
class _Entry:
    """One recorded signature of a jitted function."""

    recorded: Recorded
    fingerprints: list[int | None]
    donated: tuple[int, ...]
    """The leaves, by position, whose memory may be used."""
    short_way: Known | None = None
    """What to try first, once the graph has been run."""

    def shortly(self, values: Sequence[Any]) -> list[Any] | None:
        """The results by the short way, if there is one for these values."""
        if self.short_way is None:
            return None
        arrays = []
        for v, x in zip(self.recorded.graph.inputs, values, strict=True):
            if type(x) is float:
                x = v.aval.dtype.type(x)
            elif type(x) is not np.ndarray or x.dtype != v.aval.dtype:
                return None
            arrays.append(x)
        return self.short_way(arrays)


class _Again:
    """Calls like one before: floats, and arrays of the same shapes and dtypes, one for each
    argument."""

    def __init__(self, name: str, entry: _Entry, arrays: Sequence[Any]):
        assert entry.short_way is not None
        self._name = name
        self._like = [None if type(x) is float else (x.shape, x.dtype) for x in arrays]
        self._floats = [i for i, x in enumerate(arrays) if type(x) is float]
        self._captured = list(zip(entry.recorded.captured, entry.fingerprints, strict=True))
        self._way = entry.short_way
        self._out_tree = entry.recorded.out_tree
        self._is_leaf = self._out_tree.is_leaf()

    def __call__(self, args: Sequence[Any]) -> Any:
        """The result; `None` if this call is another, or its arrays lie otherwise in memory."""
        if len(args) != len(self._like):
            return None
        for x, like in zip(args, self._like, strict=True):
            if like is None:
                if type(x) is not float:
                    return None
            elif type(x) is not np.ndarray or x.shape != like[0] or x.dtype != like[1]:
                return None
        if self._floats:
            args = list(args)
            for i in self._floats:
                args[i] = np.float64(args[i])
        if self._captured:
            for x, before in self._captured:
                check_unchanged(x, before, self._name)
            args = [*args, *[x for x, _ in self._captured]]
        results = self._way(args)
        if results is None:
            return None
        return results[0] if self._is_leaf else tree.unflatten(self._out_tree, results)


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
        self._entries: dict[Any, _Entry] = {}
        self._last: tuple[Any, list[str]] | None = None
        self._again: _Again | None = None
        self.retraces: list[str] = []
        self._executor = executor
        self._max_bytes = max_bytes
        cleared_with_cache(self)

    def clear(self) -> None:
        """Forgets what was recorded."""
        self._entries.clear()
        self._again = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        again = self._again
        if again is not None and not kwargs:
            found = again(args)
            if found is not None:
                return found
        entry, values = self._entry(args, kwargs)
        recorded = entry.recorded
        results = entry.shortly(values)
        if results is not None:
            if not kwargs and all(type(x) in (np.ndarray, float) for x in args):
                self._again = _Again(self.__name__, entry, args)
            return tree.unflatten(recorded.out_tree, results)
        if innermost(values) is None and not any(type(x) is Outer for x in recorded.captured):
            results = run(recorded.graph, values, self._executor, entry.donated, self._max_bytes)
            if not entry.donated and self._max_bytes is None:
                entry.short_way = short_way(recorded.graph, self._executor)
        else:
            results = _record_call(recorded.graph, values)
        return tree.unflatten(recorded.out_tree, results)

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
        entry, values = self._entry(args, kwargs)
        graph = entry.recorded.graph
        return explanation(graph, values, self._executor, entry.donated, self._max_bytes)

    def _entry(self, args: Any, kwargs: Any) -> tuple[_Entry, list[Any]]:
        """The recording for these arguments, made if there is none, and the graph's inputs."""
        static, dynamic, named = self._divide(args, kwargs)
        leaves, treedef = tree.flatten((dynamic, named))
        leaves = [plain(x) for x in leaves]
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
        return entry, [*leaves, *recorded.captured]

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
        donated = self._donated(args, kwargs, static)
        entry = _Entry(recorded, [fingerprint(x) for x in recorded.captured], donated)
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
        return x.shape, x.dtype, namespace_of(x).__name__, device_of(x)
    return None


def _given(static: dict[Any, Any], key: Any) -> str:
    return repr(static[key]) if key in static else "its default"


def _arguments(treedef: tree.TreeDef) -> str:
    """The structure of arguments as a call: ``f({'w': *}, n=*)``."""
    args, kwargs = tree.unflatten(treedef, [tree.Leaf()] * treedef.num_leaves)
    return f"({', '.join([*map(repr, args), *[f'{k}={v!r}' for k, v in kwargs.items()]])})"


def _describe(signature: Any) -> str:
    if isinstance(signature, tuple):
        shape, dtype, *place = signature
        on = f" on GPU {place[1]}" if place and place[0] == "cupy" else ""
        return f"{dtype}{list(shape)}{on}"
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
        "auto": compiled sweeps where they are available; "native": those, on the CPU;
        "reference": operation by operation through NumPy or CuPy, to compare with or to debug.
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
