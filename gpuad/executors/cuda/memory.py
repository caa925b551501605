"""The memory of a program on a GPU, known before it runs, and how to keep it under a limit."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.executors.cuda.passes import WHOLE, KernelPass, allocated
from gpuad.executors.cuda.scatter import is_scatter
from gpuad.executors.donation import NOTHING
from gpuad.executors.memory import Conduct, Following, first_within
from gpuad.executors.passes import Limits
from gpuad.executors.steps import Step
from gpuad.executors.temporaries import layout_of
from gpuad.ir.graph import Equation, Graph, Var

CONDUCTS = [
    Conduct(NOTHING, limits, pooled=False)
    for limits in (WHOLE, *[Limits(1 << k) for k in range(38, -1, -2)])
]
"""From the fastest on: all rows at a time, then shorter pieces."""
SCATTER_BYTES = 48
"""For each update: its place, what the places are sorted with, and their order."""


class KernelsFollowed(Following):
    """A program followed on arrays of which only the layout is looked at."""

    def _pass(self, work: Any) -> None:
        assert isinstance(work, KernelPass)
        extra = work.extra_bytes(work.copied(self.env), self.conduct.limits)
        for v in (*[a.var for a in work.whole], *[x.var for x in work.sums]):
            self._made(v, layout_of(v.aval), v.aval.nbytes)
        self.ledger.passing(extra)

    def _made(self, v: Var, layout: Any, size: int, pooled: bool = False) -> None:
        super()._made(v, layout, allocated(size), pooled)

    def _call(self, e: Equation) -> None:
        if is_scatter(e):
            places = e.operands[2].aval.size + e.outputs[0].aval.size
            self.ledger.passing(e.outputs[0].aval.nbytes + SCATTER_BYTES * places)
            self._made(e.outputs[0], layout_of(e.outputs[0].aval), e.outputs[0].aval.nbytes)
        else:
            super()._call(e)


def peak(graph: Graph, steps: Sequence[Step], layouts: Sequence[Any], conduct: Conduct) -> int:
    """Bytes beside the arguments at the fullest moment of a run on arrays of these layouts."""
    return KernelsFollowed(graph, layouts, conduct).peak(steps)


def least(graph: Graph, steps: Sequence[Step], layouts: Sequence[Any]) -> int:
    """The smallest budget that would do."""
    return min([peak(graph, steps, layouts, c) for c in CONDUCTS])


def within(
    max_bytes: int, held: int, graph: Graph, steps: Sequence[Step], layouts: Sequence[Any]
) -> Limits:
    """The longest pieces of rows with a peak of at most `max_bytes`, of which `held` are taken.

    Raises
    ------
    MemoryLimitError
        If there are none.
    """
    conduct = first_within(
        max_bytes,
        CONDUCTS,
        lambda conduct: held + peak(graph, steps, layouts, conduct),
        "with the fewest rows at a time",
    )
    return conduct.limits


def layout(x: Any) -> Any:
    """An array of NumPy with the layout of `x`, without its memory."""
    base = np.empty(1, x.dtype)
    return np.lib.stride_tricks.as_strided(base, x.shape, x.strides)
