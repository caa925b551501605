"""From a graph to results: the one cache, and the choice of executor.

Traces over different data give equal graphs. `canonical` keeps one graph for each content, so that
its transforms and its program (kept with the graph, see `transforms.memo`) are made once.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from gpuad import tree
from gpuad.executors import reference
from gpuad.ir.build import inline
from gpuad.ir.graph import Graph
from gpuad.tracing import Tracer, innermost, lift, namespace_of_all
from gpuad.tracing.arrays import SCALARS, aval_of, is_array, usable
from gpuad.tracing.record import apply
from gpuad.tracing.trace import Outer, Trace, tracing

CAPACITY = 512
"""Graphs kept. A graph with its transforms takes some tens of kilobytes."""

_graphs: OrderedDict[Graph, Graph] = OrderedDict()
_lock = threading.Lock()
_clearers: list[Callable[[], None]] = []


def canonical(graph: Graph) -> Graph:
    """The one graph of this content."""
    with _lock:
        found = _graphs.get(graph)
        if found is None:
            _graphs[graph] = found = graph
            if len(_graphs) > CAPACITY:
                _graphs.popitem(last=False)
        else:
            _graphs.move_to_end(graph)
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
    for clear in _clearers:
        clear()


def on_clear(clear: Callable[[], None]) -> None:
    """Has `clear` called by `clear_cache`."""
    _clearers.append(clear)


def execute(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """The outputs of `graph`: computed, or recorded if a value belongs to a trace."""
    values = [Tracer(x.trace, x.var) if type(x) is Outer else x for x in values]
    trace = innermost(values)
    if trace is None:
        return run(graph, values)
    return list(apply(lambda *operands: inline(graph, operands), *values, trace=trace))


def run(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """The outputs of `graph` for concrete values."""
    xp = namespace_of_all(values)
    arrays = [
        v.aval.dtype.type(x) if isinstance(x, SCALARS) else usable(x)
        for v, x in zip(graph.inputs, values, strict=True)
    ]
    return reference.run(graph, arrays, xp)


def run_once(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """`function`, which records, of plain arrays: recorded and run at once."""
    leaves, treedef = tree.flatten((args, kwargs))
    chosen = [is_array(x) or isinstance(x, float | complex) for x in leaves]
    if not any(chosen):
        # A call such as sigmoid(1): the first argument is the array.
        chosen[0] = True
    values = [x for x, on in zip(leaves, chosen, strict=True) if on]
    with tracing(Trace(getattr(function, "__name__", "function"))) as trace:
        inputs = iter([Tracer(trace, trace.argument(aval_of(x), x)) for x in values])
        args, kwargs = tree.unflatten(
            treedef, [next(inputs) if on else x for x, on in zip(leaves, chosen, strict=True)]
        )
        out_leaves, out_def = tree.flatten(function(*args, **kwargs))
        graph, captured = trace.finish([lift(trace, x) for x in out_leaves])
    return tree.unflatten(out_def, execute(canonical(graph), [*values, *captured]))
