"""What is known of a value before it is computed: shape, dtype, and whether its dtype is weak."""

from typing import Any

import numpy as np

from gpuad.ir.half import is_bfloat16


class Aval:
    """Shape, dtype and the weak-scalar flag of a value ("abstract value").

    A weak value came from a Python scalar: beside another dtype of its kind it gives way, as
    Python scalars do in NumPy 2.
    """

    __slots__ = ("_hash", "dtype", "shape", "weak")

    def __init__(self, shape: tuple[int, ...], dtype: Any, weak: bool = False):
        self.shape = shape
        self.dtype = dtype if isinstance(dtype, np.dtype) else np.dtype(dtype)
        self.weak = weak
        self._hash = hash((shape, self.dtype, weak))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def with_shape(self, shape: tuple[int, ...]) -> "Aval":
        return Aval(shape, self.dtype, self.weak)

    def with_dtype(self, dtype: Any) -> "Aval":
        return Aval(self.shape, dtype)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Aval)
            and self.shape == other.shape
            and self.dtype == other.dtype
            and self.weak == other.weak
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"{short_dtype(self.dtype)}[{','.join(map(str, self.shape))}]"


def real_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of the real part of a value: f64 of c128, and a dtype that is not complex
    itself."""
    return np.empty(0, dtype).real.dtype


def short_dtype(dtype: np.dtype) -> str:
    """The name of a dtype in printed graphs: f32, i64, c128, bool."""
    if dtype.kind == "V":
        return "bf16" if is_bfloat16(dtype) else dtype.name
    return "bool" if dtype.kind == "b" else f"{dtype.kind}{dtype.itemsize * 8}"
