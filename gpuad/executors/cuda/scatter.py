"""Scatter-add: updates are sorted by their place in the result, and each place adds up its own.

CuPy sorts, and keeps the order of the updates of one place, so that sums are the same in every run.
Nothing is atomic, and nothing waits for the host (except the sort of early versions of CuPy).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.source import KernelText
from gpuad.ir.graph import Equation
from gpuad.kernels import cuda_text
from gpuad.plan.roles import is_scatter_add

MANY = 128
"""With so many updates for each place, on average, a block of threads adds them up."""
MOST_BLOCKS = 1 << 16


def is_scatter(e: Equation) -> bool:
    """Whether these kernels compute the equation."""
    if not is_scatter_add(e):
        return False
    x, u = (v.aval for v in e.operands[:2])
    return x.dtype in (np.float32, np.float64) and bool(x.size) and bool(u.size)


class Scatter:
    """One scatter-add with its kernel."""

    def __init__(self, e: Equation, device: Any):
        x, u, *indices = (v.aval for v in e.operands)
        batch = e.params["batch"]
        lead = batch + len(indices)
        self._shape, self._batch = x.shape, batch
        self._count, self._rest = math.prod(x.shape[:lead]), math.prod(x.shape[lead:])
        self._xp = device.xp
        self._many = u.size // self._rest >= MANY * self._count
        self._launch: Callable[..., None] = device.ready(
            segment_text(kind_of(e.operands[0]), self._many)
        )

    def __call__(self, x: Any, u: Any, *indices: Any) -> Any:
        xp, values = self._xp, self._count * self._rest
        places = self._places(indices)
        # CuPy 14.2 does not wait for the GPU here. One without github.com/cupy/cupy/pull/9497 does,
        # which is an error during a capture: then the program is not replayed.
        order = xp.argsort(places, kind="stable")
        starts = xp.searchsorted(places[order], xp.arange(self._count + 1))
        out = xp.empty(self._shape, x.dtype)
        blocks = values if self._many else -(-values // cuda_text.SEGMENT_THREADS)
        arrays = [xp.ascontiguousarray(a) for a in (x, u, order, starts)]
        numbers = [np.int64(self._count), np.int64(self._rest)]
        arguments = [*arrays, out, *numbers]
        self._launch(min(blocks, MOST_BLOCKS), cuda_text.SEGMENT_THREADS, arguments)
        return out

    def _places(self, indices: Sequence[Any]) -> Any:
        """The number of the place of each update."""
        xp, ndim = self._xp, indices[0].ndim
        parts = [
            xp.arange(self._shape[d]).reshape([-1 if i == d else 1 for i in range(ndim)])
            for d in range(self._batch)
        ]
        flat, *others = [*parts, *indices]
        for part, n in zip(others, self._shape[1:], strict=False):
            flat = flat * n + part
        return xp.ravel(flat)


def segment_text(kind: str, many: bool) -> KernelText:
    """The kernel that adds up the updates of each place."""
    text = cuda_text.MANY_TO_A_SEGMENT if many else cuda_text.FEW_TO_A_SEGMENT
    types = (f"{kind}*", f"{kind}*", "i64*", "i64*", f"{kind}*", "i64", "i64")
    return KernelText("segments", text.format(kind=kind), types)
