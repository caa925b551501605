"""Donated arrays on a GPU: whose memory can be used."""

from collections.abc import Iterable
from typing import Any

from gpuad.executors.cuda.arrangement import suits
from gpuad.executors.donation import holds_alone


def can_take(cupy: Any, x: Any, others: Iterable[Any]) -> bool:
    """Whether the memory of an array can be used: the array is in C order, aligned, and has all of
    the memory of the array that owns it, nobody else holds that one, and none of the others lies in
    it."""
    if not isinstance(x, cupy.ndarray) or not x.ndim or not x.size:
        return False
    if not holds_alone(x):
        return False
    root = x
    while root.base is not None:
        root = root.base
    return (
        suits(x, aligned=True)
        and root.nbytes == x.nbytes
        and not any(isinstance(y, cupy.ndarray) and _overlap(x, y) for y in others)
    )


def _overlap(x: Any, y: Any) -> bool:
    """Whether arrays can have bytes in common: CuPy's own test may wait for the GPU."""
    (a, b), (c, d) = _range(x), _range(y)
    return a < d and c < b


def _range(x: Any) -> tuple[int, int]:
    """The addresses of an array: the lowest, and that after the highest."""
    if not x.size:
        return 0, 0
    spans = [(n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)]
    low = x.data.ptr + sum(s for s in spans if s < 0)
    return low, x.data.ptr + sum(s for s in spans if s > 0) + x.dtype.itemsize
