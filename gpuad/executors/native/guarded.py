"""Guards only where they are needed: a program without them, and the one with them for what is NaN.

A guard changes nothing but NaN (see `keep` in `primitives/elementwise/selection.py`). So a graph
is run without its guards, and once more with them where a result has a NaN: the same values, and
no cost where nothing is singular.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from gpuad.executors.native.program import NativeProgram
from gpuad.executors.protocols import UNLIMITED, Explanation, RunOptions
from gpuad.executors.reference import has_nan


class GuardedProgram:
    """Two programs of one graph. Donated memory cannot be read twice: then only that with guards
    is run."""

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
        """The results, those of the guarded program if one is NaN."""
        if not any(has_nan(x) for x in results):
            return results
        results.clear()
        return self.guarded(inputs, options)

    def explain(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> Explanation:
        program = self.guarded if options.donated else self.plain
        return program.explain(inputs, options)
