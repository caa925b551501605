"""Guards only where they are needed: a program without them, and the one with them for what is NaN.

A guard changes nothing but NaN (see `keep` in `primitives/elementwise/selection.py`). So a graph
is run without its guards, and once more with them where a result has a NaN: the same values, and
no cost where nothing is singular.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from gpuad.executors.native.explain import Explanation
from gpuad.executors.native.program import NativeProgram


class GuardedProgram:
    """Two programs of one graph. Donated memory cannot be read twice: then only that with guards
    is run."""

    def __init__(self, plain: NativeProgram, guarded: Callable[[], NativeProgram]):
        self.plain = plain
        self._make = guarded

    @cached_property
    def guarded(self) -> NativeProgram:
        return self._make()

    def __call__(
        self,
        inputs: Sequence[Any],
        donated: Sequence[int] = (),
        max_bytes: int | None = None,
        held: int = 0,
    ) -> list[Any]:
        if donated:
            return self.guarded(inputs, donated, max_bytes, held)
        return self.checked(self.plain(inputs, donated, max_bytes, held), inputs, max_bytes, held)

    def checked(
        self, results: list[Any], inputs: Sequence[Any], max_bytes: int | None = None, held: int = 0
    ) -> list[Any]:
        """The results, those of the guarded program if one is NaN."""
        if not any(has_nan(x) for x in results):
            return results
        results.clear()
        return self.guarded(inputs, (), max_bytes, held)

    def explain(
        self, inputs: Sequence[Any], donated: Sequence[int] = (), *limits: Any
    ) -> Explanation:
        program = self.guarded if donated else self.plain
        return program.explain(inputs, donated, *limits)


def has_nan(x: Any) -> bool:
    """Whether an element of an array is NaN."""
    x = np.asarray(x)
    if x.dtype.kind not in "fc" or not x.size:
        return False
    with np.errstate(all="ignore"):
        return bool(np.isnan(x.min() if x.dtype.kind == "f" else x.sum()))
