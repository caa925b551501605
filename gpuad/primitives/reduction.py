"""Reductions over axes: sum, prod, max, min, any, all, argmax, argmin, logsumexp."""

from collections.abc import Callable
from typing import Any

from gpuad.ir.aval import Aval
from gpuad.ir.primitive import Axes
from gpuad.primitives.declare import linear
from gpuad.primitives.structure import broadcast


def without(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that is left after reducing over `axes`."""
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def reduced_axes(combiner: str) -> Callable[..., Axes]:
    def axes_of(operands: Any, outputs: Any, axes: tuple[int, ...], **params: Any) -> Axes:
        labels = tuple(range(operands[0].ndim))
        kept = tuple([i for i in labels if i not in axes])
        return Axes((labels,), (kept,), dict.fromkeys(axes, combiner))

    return axes_of


def shift_axes(size: int, axes: tuple[int, ...]) -> dict:
    return {"axes": tuple([a + 1 for a in axes])}


def spread(x: Any, like: Aval, axes: tuple[int, ...]) -> Any:
    """A reduced value repeated along the axes that were reduced."""
    kept = tuple([i for i in range(like.ndim) if i not in axes])
    return broadcast(x, shape=like.shape, dims=kept)


reduce_sum = linear(
    "reduce_sum",
    infer=lambda x, axes: Aval(without(x.shape, axes), x.dtype, x.weak),
    run=lambda xp, x, axes: xp.add.reduce(x, axis=axes, dtype=x.dtype),
    axes=reduced_axes("sum"),
    transpose=lambda ct, x, axes: spread(ct, x, axes),
    lift=shift_axes,
)
