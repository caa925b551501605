"""The reference executor as an `Executor`, for `jit` and for runs within a limit of memory."""

from collections.abc import Sequence
from typing import Any

from gpuad.errors import ArgumentError
from gpuad.executors import memory, reference
from gpuad.executors.protocols import UNLIMITED, Explanation, RunOptions
from gpuad.ir.graph import Graph


class ReferenceExecutor:
    """A graph run operation by operation on arrays of `xp`; it uses no donated memory."""

    def __init__(self, graph: Graph, xp: Any):
        self._graph = graph
        self._xp = xp

    def __call__(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> list[Any]:
        if options.max_bytes is not None:
            memory.check_reference(options.max_bytes, options.held, self._graph, inputs)
        return reference.run(self._graph, inputs, self._xp)

    def explain(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> Explanation:
        raise ArgumentError(
            "explain: this call does not run compiled sweeps. Call it with Numba installed (for "
            "CuPy arrays: a CUDA compiler, see `gpuad info`) and without executor='reference'."
        )
