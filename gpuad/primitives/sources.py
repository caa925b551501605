"""Values without operands, and `stop_gradient`."""

from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.build import current
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Axes
from gpuad.ir.ranges import SINGULAR, UNKNOWN, Range, same
from gpuad.primitives.declare import Role, constant

# stop_gradient: the identity with a stated zero derivative.

stop_gradient = constant(
    "stop_gradient",
    range=same,
    infer=lambda x: x,
    run=lambda xp, x: x,
    axes=lambda operands, outputs: Axes(
        (tuple(range(outputs[0].ndim)),), (tuple(range(outputs[0].ndim)),)
    ),
    aliases=True,
)


# iota: 0, 1, 2, ... along one axis.


def _iota_array(xp: Any, shape: tuple[int, ...], dtype: np.dtype, axis: int) -> Any:
    line = xp.arange(shape[axis], dtype=dtype)
    return xp.broadcast_to(line.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)


_iota = constant(
    "iota",
    range=lambda shape, dtype, axis: Range(0, shape[axis]),
    infer=lambda shape, dtype, axis: Aval(shape, dtype),
    run=_iota_array,
    axes=lambda operands, outputs, shape, dtype, axis: Axes(
        (), (tuple([None if i == axis else i for i in range(len(shape))]),)
    ),
    role=Role.IOTA,
    workspace=0.0,
)


def iota(shape: tuple[int, ...], axis: int = 0, dtype: Any = np.int64) -> Var:
    """Indices along `axis`, repeated along the other axes."""
    return current().add(_iota, (), {"shape": shape, "dtype": np.dtype(dtype), "axis": axis})


# An array written into a graph, for graphs that must not have further inputs (recorded rules).


class ArrayConstant:
    """An array as a parameter: equal by content if small, else by identity."""

    def __init__(self, array: Any):
        self.array = array
        small = isinstance(array, np.ndarray | np.generic) and array.nbytes <= 4096
        self._key = (array.dtype.str, array.shape, array.tobytes()) if small else (id(array),)

    @property
    def range(self) -> Range:
        """The range of an array in the host's memory; nothing is known of others."""
        x = self.array
        if not isinstance(x, np.ndarray | np.generic) or not x.size or x.dtype.kind == "c":
            return UNKNOWN
        low, high = float(np.min(x)), float(np.max(x))
        return Range(low, high) if np.isfinite(low) and np.isfinite(high) else SINGULAR

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArrayConstant) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"{self.array.dtype}{list(self.array.shape)}"


_array_constant = constant(
    "array_constant",
    range=lambda value: value.range,
    infer=lambda value: Aval(value.array.shape, value.array.dtype),
    run=lambda xp, value: xp.asarray(value.array),
    axes=lambda operands, outputs, value: Axes((), ((None,) * outputs[0].ndim,)),
    role=Role.CONSTANT,
)


def array_constant(array: Any) -> Var:
    """The array as a value of the graph being built."""
    return current().add(_array_constant, (), {"value": ArrayConstant(array)})
