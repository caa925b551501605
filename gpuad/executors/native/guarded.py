"""A graph is run in a faster form, and again in another if that turns out to be wrong.

A guard changes nothing but NaN (see `keep` in `primitives/elementwise/selection.py`). So results
without a NaN are the same without guards, which then cost nothing. And small matrices that are
written out (`transforms.small_matrices`) give NaN where NumPy raises an error: one more output says
so, and the graph is run by the functions of NumPy, which raise it.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from gpuad.executors.native.program import NativeProgram
from gpuad.executors.protocols import UNLIMITED, Explanation, RunOptions
from gpuad.executors.reference import has_nan, run
from gpuad.ir.graph import Graph


class GuardedProgram:
    """The program that runs first, and the one with guards, if the first one has none. Both may
    have one more output than the graph."""

    def __init__(
        self, graph: Graph, plain: NativeProgram, guarded: Callable[[], NativeProgram] | None
    ):
        self.plain = plain
        self._graph = graph
        self._make = guarded
        self._flagged = len(plain.graph.outputs) > len(graph.outputs)

    @cached_property
    def guarded(self) -> NativeProgram:
        return self._make() if self._make is not None else self.plain

    def __call__(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> list[Any]:
        if not options.donated:
            return self.checked(self.plain(inputs, options), inputs, options)
        # Donated inputs cannot be read again.
        results = self.guarded(inputs, options)
        if self._is_refused(results):
            raise np.linalg.LinAlgError(
                "a matrix is singular, or not positive definite where it has to be"
            )
        return results

    def checked(
        self, results: list[Any], inputs: Sequence[Any], options: RunOptions = UNLIMITED
    ) -> list[Any]:
        """The results of the program that runs first, or the right ones."""
        if self._is_refused(results):
            return run(self._graph, inputs, np)
        if self._make is None or not any(has_nan(x) for x in results):
            return results
        results.clear()
        results = self.guarded(inputs, options)
        self._is_refused(results)
        return results

    def _is_refused(self, results: list[Any]) -> bool:
        """Takes the last output, if there is one more than the graph has."""
        return self._flagged and bool(results.pop())

    def explain(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> Explanation:
        program = self.guarded if options.donated else self.plain
        return program.explain(inputs, options)
