"""Guards only where they are needed: a graph runs without them, and again with them after a NaN.

A guard changes nothing but NaN (see `keep` in `primitives/elementwise/selection.py`). So results
without a NaN are the same without guards, which then cost nothing.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from gpuad.executors.native.program import NativeProgram
from gpuad.executors.protocols import UNLIMITED, Explanation, RunOptions
from gpuad.executors.reference import has_nan


class GuardedProgram:
    """Two programs of one graph. With donated inputs, which cannot be read again, only the one with
    guards runs."""

    def __init__(self, plain: NativeProgram, guarded: Callable[[], NativeProgram]):
        self.plain = plain
        self._make = guarded

    @cached_property
    def guarded(self) -> NativeProgram:
        return self._make()

    def __call__(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> list[Any]:
        if options.donated:
            return self.guarded(inputs, options)
        return self.checked(self.plain(inputs, options), inputs, options)

    def checked(
        self, results: list[Any], inputs: Sequence[Any], options: RunOptions = UNLIMITED
    ) -> list[Any]:
        """The results; if one has a NaN, those of the guarded program."""
        if not any(has_nan(x) for x in results):
            return results
        results.clear()
        return self.guarded(inputs, options)

    def explain(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> Explanation:
        program = self.guarded if options.donated else self.plain
        return program.explain(inputs, options)
