"""What the fast path of `jit` calls: a program with least overhead, prepared after its first run.

The general steps around a program can take longer than a small program itself: here a single sweep
or a single fused call is called directly on the memory of the arguments. Large programs gain too:
they push the interpreter's own memory out of the cache, after which the same general steps take ten
times as long.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.executors import reference
from gpuad.executors.native import result_pool
from gpuad.executors.native.fused_calls import FusedFunction
from gpuad.executors.native.guarded import GuardedProgram
from gpuad.executors.native.program import NativeProgram
from gpuad.executors.native.row_pipeline import RowPass, combined
from gpuad.executors.native.thread_pool import threads, workers
from gpuad.executors.protocols import Executor, Prepared
from gpuad.ir.graph import Graph, Var
from gpuad.plan.plan import FusedCall


def prepared(executor: Executor) -> Prepared | None:
    """The compiled functions of a run without options; None if this is no executor of the CPU."""
    if isinstance(executor, GuardedProgram):
        return _guarded(executor)
    return _of_program(executor) if isinstance(executor, NativeProgram) else None


def _guarded(program: GuardedProgram) -> Prepared:
    plain = _of_program(program.plain)

    def run(arrays: Sequence[np.ndarray]) -> list[Any]:
        results = plain.run(arrays)
        checked = program.checked(results, arrays)
        return results if checked is results else reference.apart(checked)

    return Prepared(run, plain.dense)


def _of_program(program: NativeProgram) -> Prepared:
    graph, steps, uncompiled = program.plan.graph, program.steps, program.uncompiled
    if uncompiled is not None:
        return Prepared(lambda arrays: reference.apart(reference.run(uncompiled, arrays, np)))
    work = steps[0].work if len(steps) == 1 else None
    if isinstance(work, FusedCall) and _are_results(graph, work.outputs):
        return _fused_call(graph, work, program.functions[work])
    if isinstance(work, RowPass) and _is_one_sweep(graph, work):
        return _one_sweep(graph, work)
    return Prepared(lambda arrays: reference.apart(program(arrays)))


def _are_results(graph: Graph, made: Sequence[Var]) -> bool:
    """Whether the outputs of a graph are these values, each once."""
    return sorted(map(id, graph.outputs)) == sorted(map(id, made))


def _fused_call(graph: Graph, e: FusedCall, function: FusedFunction) -> Prepared:
    """A program that is a single fused call."""
    reads = [graph.inputs.index(x) for x in e.operands]
    order = [e.outputs.index(x) for x in graph.outputs if type(x) is Var]

    def run(arrays: Sequence[np.ndarray]) -> list[Any]:
        found = function(*[arrays[i] for i in reads])
        return [found[k] if found[k].ndim else found[k][()] for k in order]

    return Prepared(run)


def _is_one_sweep(graph: Graph, work: RowPass) -> bool:
    """Whether a pass is a single sweep, of arguments and results in C order."""
    if len(work.sweeps) > 1 or work.calls_blas:
        return False
    source = work.sweeps[0].source
    if any(a.axis or a.order is not None for a in (*source.reads, *source.writes)):
        return False
    made = [a.var for a in (*source.writes, *source.sums)]
    return all(a.base is None for a in source.sums) and _are_results(graph, made)


def _one_sweep(graph: Graph, work: RowPass) -> Prepared:
    """A program that is a single sweep."""
    (sweep,) = work.sweeps
    source = sweep.source
    reads = [graph.inputs.index(a.var) for a in source.reads]
    writes = [(a.var.aval.shape, a.var.aval.dtype) for a in source.writes]
    sums = [(a, (len(work.segments), a.var.aval.size)) for a in source.sums]
    results = [a.var for a in (*source.writes, *source.sums)]
    order = [results.index(x) for x in graph.outputs if type(x) is Var]
    function, scratch, segments = sweep.function, bool(source.scratch), work.segments

    def run(arrays: Sequence[np.ndarray]) -> list[Any]:
        flat = []
        for i in reads:
            x = arrays[i]
            flat.append(x if x.ndim == 1 else x.reshape(-1))
        outs = [result_pool.empty(shape, dtype) for shape, dtype in writes]
        flat += [x if x.ndim == 1 else x.reshape(-1) for x in outs]
        totals = [np.zeros(shape) for _, shape in sums]
        if len(segments) == 1:
            own = sweep.own_scratch() if scratch else ()
            function(*flat, *[t[0] for t in totals], *own, *segments[0])
        else:
            on_threads(flat, totals)
        if totals:
            with np.errstate(all="ignore"):
                outs += [combined(a, t)[()] for (a, _), t in zip(sums, totals, strict=True)]
        return [outs[k] for k in order]

    def on_threads(flat: Sequence[np.ndarray], totals: Sequence[np.ndarray]) -> None:
        def work_on(k: int) -> None:
            own = sweep.own_scratch() if scratch else ()
            function(*flat, *[t[k] for t in totals], *own, *segments[k])

        workers.run(work_on, len(segments), threads())

    return Prepared(run, frozenset(reads))
