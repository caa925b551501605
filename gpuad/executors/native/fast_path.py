"""Programs without ceremony: one sweep or function, called on the arguments' memory.

A program that runs for a few microseconds should not be looked after for twenty. One that moves
more than the cache holds finds the interpreter's own memory gone from it after each call: there
the same steps take ten times as long.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.executors import reference
from gpuad.executors.native import result_pool
from gpuad.executors.native.fused_calls import FusedFunction
from gpuad.executors.native.program import NativeProgram
from gpuad.executors.native.row_pipeline import RowPass, combined
from gpuad.executors.native.thread_pool import threads, workers
from gpuad.ir.graph import Graph, Var
from gpuad.plan.plan import FusedCall

Known = Callable[[Sequence[np.ndarray]], list[Any] | None]
"""The outputs for arrays of the graph's shapes and dtypes, or None where they do not lie in memory
as the sweep reads them."""


def direct(program: NativeProgram) -> Known | None:
    """The short way through a program, if there is one."""
    graph, steps = program.plan.graph, program.steps
    plain = program.uncompiled
    if plain is not None:
        return lambda values: reference.apart(reference.run(plain, values, np))
    work = steps[0].work if len(steps) == 1 else None
    if isinstance(work, FusedCall):
        return _by_function(graph, work, program.functions[work])
    if not isinstance(work, RowPass):
        return None
    if len(work.sweeps) > 1 or work.products:
        return None
    (sweep,) = work.sweeps
    source = sweep.source
    if any(a.axis or a.order is not None for a in (*source.reads, *source.writes)):
        return None
    if any(a.base is not None for a in source.sums):
        return None
    results = [a.var for a in (*source.writes, *source.sums)]
    if sorted(map(id, graph.outputs)) != sorted(map(id, results)):
        return None
    reads = [graph.inputs.index(a.var) for a in source.reads]
    writes = [(a.var.aval.shape, a.var.aval.dtype) for a in source.writes]
    sums = [(a, (len(work.segments), a.var.aval.size)) for a in source.sums]
    order = [results.index(x) for x in graph.outputs if type(x) is Var]
    function, scratch, segments = sweep.function, bool(source.scratch), work.segments

    def call(values: Sequence[np.ndarray]) -> list[Any] | None:
        arrays = []
        for i in reads:
            x = values[i]
            flags = x.flags
            if not (flags.c_contiguous and flags.aligned):
                return None
            arrays.append(x if x.ndim == 1 else x.reshape(-1))
        outs = [result_pool.empty(shape, dtype) for shape, dtype in writes]
        arrays += [x if x.ndim == 1 else x.reshape(-1) for x in outs]
        totals = [np.zeros(shape) for _, shape in sums]
        if len(segments) == 1:
            own = sweep.own_scratch() if scratch else ()
            function(*arrays, *[t[0] for t in totals], *own, *segments[0])
        else:
            _on_threads(arrays, totals)
        if totals:
            with np.errstate(all="ignore"):
                outs += [combined(a, t)[()] for (a, _), t in zip(sums, totals, strict=True)]
        return [outs[k] for k in order]

    def _on_threads(arrays: Sequence[np.ndarray], totals: Sequence[np.ndarray]) -> None:
        def run(k: int) -> None:
            own = sweep.own_scratch() if scratch else ()
            function(*arrays, *[t[k] for t in totals], *own, *segments[k])

        workers.run(run, len(segments), threads())

    return call


def _by_function(graph: Graph, e: FusedCall, function: FusedFunction) -> Known | None:
    """The one function of small operations that a program consists of, called on the arguments."""
    outputs = set(graph.outputs)
    if outputs != set(e.outputs) or len(outputs) < len(graph.outputs):
        return None
    reads = [graph.inputs.index(x) for x in e.operands]
    order = [e.outputs.index(x) for x in graph.outputs]

    def call(values: Sequence[np.ndarray]) -> list[Any]:
        found = function(*[values[i] for i in reads])
        return [found[k] if found[k].ndim else found[k][()] for k in order]

    return call
