"""Small programs without ceremony: one sweep over one segment, called on the arguments' memory.

A program that runs for a few microseconds should not be looked after for twenty.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.executors import buffers
from gpuad.executors.passes import Pass
from gpuad.executors.program import NativeProgram
from gpuad.ir.graph import Var

Direct = Callable[[Sequence[Any]], list[Any] | None]
"""The outputs for these inputs, or None where they do not lie in memory as the sweep reads them."""


def direct(program: NativeProgram) -> Direct | None:
    """The short way through a program, if there is one."""
    graph, steps = program.plan.graph, program.steps
    work = steps[0].work if len(steps) == 1 else None
    if not isinstance(work, Pass):
        return None
    if len(work.sweeps) > 1 or len(work.segments) > 1 or work.products:
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
    reads = [(graph.inputs.index(a.var), a.var.aval.dtype) for a in source.reads]
    writes = [(a.var.aval.shape, a.var.aval.dtype) for a in source.writes]
    sums = [a.var.aval for a in source.sums]
    order = [results.index(x) for x in graph.outputs if type(x) is Var]
    function, scratch, (bounds,) = sweep.function, bool(source.scratch), work.segments

    def call(values: Sequence[Any]) -> list[Any] | None:
        arrays = []
        for i, dtype in reads:
            x = values[i]
            if type(x) is not np.ndarray or x.dtype != dtype:
                return None
            flags = x.flags
            if not (flags.c_contiguous and flags.aligned):
                return None
            arrays.append(x if x.ndim == 1 else x.reshape(-1))
        outs = [buffers.empty(shape, dtype) for shape, dtype in writes]
        arrays += [x if x.ndim == 1 else x.reshape(-1) for x in outs]
        totals = [np.zeros(a.size) for a in sums]
        function(*arrays, *totals, *(sweep.own_scratch() if scratch else ()), *bounds)
        if totals:
            with np.errstate(all="ignore"):
                outs += [
                    t.astype(a.dtype).reshape(a.shape)[()]
                    for t, a in zip(totals, sums, strict=True)
                ]
        return [outs[k] for k in order]

    return call
