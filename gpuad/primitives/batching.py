"""Rules that many declarations share: batching by a leading axis, elementwise and opaque axes."""

from collections.abc import Callable, Sequence
from typing import Any

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Literal
from gpuad.ir.primitive import CATALOGUE, Axes


def with_leading_axis(size: int, x: Any, mapped: bool) -> Any:
    """`x` with the mapped axis in front; it is repeated along this axis if it is not mapped."""
    if mapped:
        return x
    shape = x.aval.shape
    return CATALOGUE["broadcast"](x, shape=(size, *shape), dims=tuple(range(1, len(shape) + 1)))


def elementwise_batch(name: str) -> Callable[..., Any]:
    """Batching by one more leading axis on every operand that is not a literal."""

    def batch(size: int, operands: Sequence[Any], mapped: Sequence[bool], params: dict) -> Any:
        lifted = [
            x if type(x) is Literal else with_leading_axis(size, x, m)
            for x, m in zip(operands, mapped, strict=True)
        ]
        return CATALOGUE[name](*lifted, **params), True

    return batch


def lifted_batch(
    name: str, lift: Callable[..., dict] | None, multiple: bool = False
) -> Callable[..., Any]:
    """Batching by one more leading axis on every operand; ``lift(size, **params)`` gives the new
    parameters (without, they stay)."""

    def batch(size: int, operands: Sequence[Any], mapped: Sequence[bool], params: dict) -> Any:
        operands = [with_leading_axis(size, x, m) for x, m in zip(operands, mapped, strict=True)]
        out = CATALOGUE[name](*operands, **(lift(size, **params) if lift else params))
        return out, (True,) * len(out) if multiple else True

    return batch


def elementwise_axes(operands: Sequence[Aval], outputs: Sequence[Aval], **params: Any) -> Axes:
    """Each element of the results is computed from one element of each operand."""
    labels = tuple(range(outputs[0].ndim))
    return Axes(tuple([labels if a.shape else () for a in operands]), (labels,))


def opaque_axes(operands: Sequence[Aval], outputs: Sequence[Aval], **params: Any) -> Axes:
    """Nothing is known of any axis."""
    return Axes(
        tuple([(None,) * a.ndim for a in operands]), tuple([(None,) * a.ndim for a in outputs])
    )
