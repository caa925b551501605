"""A graph is run in a faster form, and again as it is if that turns out to be wrong.

A guard changes nothing but NaN (see `keep` in `primitives/elementwise/selection.py`). So results
without a NaN are the same without guards, which then cost nothing. And small matrices that are
written out (`transforms.small_matrices`) give NaN where NumPy raises an error; one more output says
so, and the graph that calls NumPy then raises it.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from gpuad.executors.native.program import NativeProgram
from gpuad.executors.protocols import UNLIMITED, Explanation, RunOptions
from gpuad.executors.reference import has_nan


class GuardedProgram:
    """Two programs of one graph. With donated inputs, which cannot be read again, only the one with
    guards runs, which is right in any case.

    `unguarded` says whether a NaN in the results of the plain one may be for want of a guard, and
    `flagged` whether its last result is not 0 where NumPy raises an error.
    """

    def __init__(
        self,
        plain: NativeProgram,
        guarded: Callable[[], NativeProgram],
        unguarded: bool = True,
        flagged: bool = False,
    ):
        self.plain = plain
        self._make = guarded
        self._unguarded = unguarded
        self._flagged = flagged

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
        """The results; those of the guarded program, if they are wrong."""
        wrong = self._flagged and bool(results.pop())
        if not wrong and not (self._unguarded and any(has_nan(x) for x in results)):
            return results
        results.clear()
        return self.guarded(inputs, options)

    def explain(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> Explanation:
        program = self.guarded if options.donated else self.plain
        return program.explain(inputs, options)
