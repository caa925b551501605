"""From a graph to results: the cache of graphs, and the choice of executor.

Traces over different data give equal graphs. `canonical` keeps one graph for each content, so that
its transforms and its program (kept with the graph, see `transforms.memo`) are made once.
"""

import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.collector import gc_paused
from gpuad.errors import ArgumentError, ExecutorWarning
from gpuad.executors import reference
from gpuad.executors.protocols import Executor, Explanation, Prepared, RunOptions
from gpuad.ir.build import inline
from gpuad.ir.graph import Graph, calls_user
from gpuad.loading import by_operation, cuda, native
from gpuad.tracing import (
    Trace,
    Tracer,
    apply,
    as_tracers,
    innermost,
    lift,
    namespace_of_all,
    tracing,
)
from gpuad.tracing.arrays import SCALARS, aval_of, is_array, usable
from gpuad.tracing.devices import check_together
from gpuad.tracing.views import GIVEN
from gpuad.transforms.guards import for_kernels, nan_shows, without_guards
from gpuad.transforms.held import variants
from gpuad.transforms.lower import lower_but_matrices
from gpuad.transforms.small_matrices import written_out
from gpuad.transforms.split_products import lower_for_gpu

CAPACITY = 512
"""Graphs kept. A graph with its transforms takes some tens of kilobytes."""

SMALL_RESULTS = 1 << 16
"""So many bytes of results are searched for NaN in a few microseconds."""

_graphs: OrderedDict[tuple[str, Graph], Graph] = OrderedDict()
_lock = threading.Lock()
_caches: "weakref.WeakSet[Any]" = weakref.WeakSet()


def canonical(graph: Graph) -> Graph:
    """The one graph of this content and name (which is shown in messages and printed graphs)."""
    key = (graph.name, graph)
    with _lock:
        found = _graphs.get(key)
        if found is None:
            _graphs[key] = found = graph
            if len(_graphs) > CAPACITY:
                _graphs.popitem(last=False)
        else:
            _graphs.move_to_end(key)
    return found


def clear_cache() -> None:
    """Forgets every recorded and compiled graph, those of `jit` included.

    Example
    -------
    >>> import gpuad as ad
    >>> ad.clear_cache()
    """
    with _lock:
        _graphs.clear()
        caches = list(_caches)
    for cache in caches:
        cache.clear()


def cleared_with_cache(cache: Any) -> None:
    """Makes `clear_cache` call ``cache.clear()``, for as long as this object lives."""
    with _lock:
        _caches.add(cache)


def execute(graph: Graph, values: Sequence[Any], max_bytes: int | None = None) -> list[Any]:
    """The outputs of `graph`: computed, or recorded if a value belongs to a trace.

    With `max_bytes` they are computed as by `jit`, in at most so much memory.
    """
    values = as_tracers(values)
    trace = innermost(values)
    if trace is None:
        executor = "reference" if max_bytes is None else "auto"
        return run(graph, values, executor, max_bytes=max_bytes)
    return list(apply(lambda *operands: inline(graph, operands), *values, trace=trace))


def run(
    graph: Graph,
    values: Sequence[Any],
    executor: str = "reference",
    donated: Sequence[int] = (),
    max_bytes: int | None = None,
) -> list[Any]:
    """The outputs of `graph` for concrete values.

    `donated` are the inputs whose memory may be used for results; the run takes no more than
    `max_bytes` beside its arguments, or raises `MemoryLimitError`.
    """
    xp = namespace_of_all(values)
    arrays = _arrays(graph, values)
    if xp is not np:
        check_together(graph.name, arrays, lambda: [f"argument {k}" for k in range(len(arrays))])
    if executor == "reference" and max_bytes is None:
        results = _reference_run(graph, arrays, xp)
    elif max_bytes is None and not donated:
        results = compiled(graph, xp, executor)(arrays)
    else:
        held = _converted_bytes(values, arrays)
        options = RunOptions(tuple(donated), max_bytes, held)
        results = compiled(graph, xp, executor)(arrays, options)
    return reference.apart(results)


def _reference_run(graph: Graph, arrays: Sequence[Any], xp: Any) -> list[Any]:
    """The outputs by the reference executor; with guards only if a result is NaN without them."""
    plain = _without_guards(graph) if xp is np else graph
    results = reference.run(plain, arrays, xp)
    if plain is graph or not any(reference.has_nan(x) for x in results):
        return results
    return reference.run(graph, arrays, xp)


def _without_guards(graph: Graph) -> Graph:
    """The graph that is run first: without guards if a NaN in a result would show that one was
    needed. A graph that calls a user's function keeps them, since it is run only once."""
    return without_guards(graph) if nan_shows(graph) and not calls_user(graph) else graph


def _arrays(graph: Graph, values: Sequence[Any]) -> list[Any]:
    return [
        v.aval.dtype.type(x) if isinstance(x, SCALARS) else usable(x)
        for v, x in zip(graph.inputs, values, strict=True)
    ]


def _converted_bytes(values: Sequence[Any], arrays: Sequence[Any]) -> int:
    """The bytes of arguments that were converted, such as from another byte order."""
    pairs = zip(values, arrays, strict=True)
    return sum(x.nbytes for v, x in pairs if isinstance(x, np.ndarray) and x is not v)


EXECUTORS = ("auto", "native", "cuda", "reference")


def compiled(graph: Graph, xp: Any, executor: str) -> Executor:
    """The executor of `graph` for arrays of `xp`; made once.

    "native": compiled sweeps, on NumPy arrays. "cuda": kernels, on CuPy arrays. "auto": one of
    those, if its compiler is installed; else the reference executor.
    """
    key = _key(xp, executor)
    found = graph.derived.get(key)
    if found is None:
        with gc_paused:
            found = graph.derived[key] = _compiled(graph, xp, executor)
    return found


def _key(xp: Any, executor: str) -> tuple[str, str, str]:
    """The key of an executor among what is kept with its graph."""
    return "compiled", xp.__name__, executor


def prepared(graph: Graph, executor: str) -> Prepared | None:
    """The compiled functions of a graph for NumPy arrays, without donated inputs and limits; None
    if it has not been compiled for the CPU."""
    found = graph.derived.get(_key(np, executor))
    return None if found is None or executor == "reference" else native.prepared(found)


def _compiled(graph: Graph, xp: Any, executor: str) -> Executor:
    if executor == "reference" or (executor == "native" and xp is not np):
        return by_operation.ReferenceExecutor(graph, xp)
    if xp is not np:
        return _on_gpu(graph, xp)
    if executor == "cuda":
        raise ArgumentError(
            f"jit of {graph.name}: executor='cuda' runs on CuPy arrays, and these are NumPy's. "
            "Bring them to the GPU with cupy.asarray(...), or leave out executor=."
        )
    if not native.available():
        _say_once(
            "Numba is not installed, so jit runs operations one by one through NumPy. "
            "Install it for compiled sweeps: pip install numba"
        )
        return by_operation.ReferenceExecutor(graph, xp)
    plain = graph if _results_are_large(graph) else _without_guards(graph)
    first = written_out(plain, True)
    if first is plain is graph:
        return _native(graph)
    again = None if plain is graph else lambda: _native(written_out(graph, True))
    return native.GuardedProgram(graph, _native(first), again)


def _native(graph: Graph) -> "native.NativeProgram":
    """Compiled sweeps for a graph, and for the graphs that it holds; made once."""
    return _native_variant(canonical(graph))[0]


def _native_variant(graph: Graph) -> "tuple[native.NativeProgram, int]":
    """The program of `_native`, and which of the graph's variants it is.

    With guards it is the same variant as without them.
    """
    found = graph.derived.get(("sweeps",))
    if found is None:
        graphs, k = variants(graph), 0
        plain = canonical(without_guards(graph)) if len(graphs) > 1 else graph
        if plain is not graph:
            k = _native_variant(plain)[1]
            graphs = graphs[k : k + 1]
        programs = [_program(g, graph) for g in graphs]
        best = native.with_least_memory(programs)
        found = graph.derived[("sweeps",)] = programs[best], k + best
    return found


def _program(variant: Graph, graph: Graph) -> "native.NativeProgram":
    """A variant of `graph`, compiled.

    The reference executor may run `graph` itself in place of the program, but no other variant in
    its original form: its sums are taken in another order.
    """
    lowered = lower_but_matrices(variant)
    return native.NativeProgram(lowered, graph if variant is graph else lowered, _native)


def _results_are_large(graph: Graph) -> bool:
    """Whether looking for NaN in the results takes long, compared with computing them."""
    read, written = [sum(v.aval.nbytes for v in vs) for vs in (graph.inputs, graph.outputs)]
    return written > max(SMALL_RESULTS, read // 8)


def _on_gpu(graph: Graph, xp: Any) -> Executor:
    if cuda.available():
        return _kernels(for_kernels(graph))
    _say_once(
        "no compiler of CUDA kernels is installed, so jit runs operations one by one "
        "through CuPy. Install one for compiled sweeps: `gpuad info` has the command."
    )
    return by_operation.ReferenceExecutor(graph, xp)


def _kernels(graph: Graph) -> "cuda.CudaExecutor":
    """Kernels for a graph, and for the graphs that it holds; made once."""
    graph = canonical(graph)
    found = graph.derived.get(("kernels",))
    if found is None:
        lowered = [lower_for_gpu(g) for g in variants(graph)]
        found = graph.derived[("kernels",)] = cuda.CudaExecutor(lowered, graph.name, _kernels)
    return found


def explanation(
    graph: Graph,
    values: Sequence[Any],
    executor: str,
    donated: Sequence[int] = (),
    max_bytes: int | None = None,
) -> Explanation:
    """What running `graph` on these values would do."""
    arrays = _arrays(graph, values)
    options = RunOptions(tuple(donated), max_bytes, _converted_bytes(values, arrays))
    return compiled(graph, namespace_of_all(values), executor).explain(arrays, options)


_said: set[str] = set()


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        warnings.warn(message, ExecutorWarning, stacklevel=2)


def run_once(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The result of `function`, which takes Tracers, for plain arrays: recorded and run at once."""
    leaves, treedef = tree.flatten((args, kwargs))
    chosen = [is_array(x) or isinstance(x, float | complex) for x in leaves]
    if not any(chosen):
        # A call such as sigmoid(1): the first argument is the array.
        chosen[0] = True
    values = [x for x, on in zip(leaves, chosen, strict=True) if on]
    with tracing(Trace(getattr(function, "__name__", "function"))) as trace:
        inputs = iter([Tracer(trace, trace.argument(aval_of(x), x), GIVEN) for x in values])
        args, kwargs = tree.unflatten(
            treedef, [next(inputs) if on else x for x, on in zip(leaves, chosen, strict=True)]
        )
        out_leaves, out_def = tree.flatten(function(*args, **kwargs))
        graph, captured = trace.finish([lift(trace, x) for x in out_leaves])
    return tree.unflatten(out_def, execute(canonical(graph), [*values, *captured]))
