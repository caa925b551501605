"""How arrays must lie in memory so that kernels can read them: others are copied."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument, Filled
from gpuad.codegen.cuda.layout import VECTOR_BYTES
from gpuad.ir.graph import Var

Form = tuple[int, ...] | Filled | None
"""The order in which axes lie in memory (None: their own), or how rows are filled up."""
Arranged = tuple[Var, Form]
"""A value, and how it lies in memory."""


class Arrangements:
    """The arrangements in which the kernels of a pass read values.

    needed : dict
        For each of them whether the array must begin at a multiple of the bytes of a vector.
    """

    def __init__(self, reads: Collection[Argument], aligned: Collection[Var]):
        self.needed: dict[Arranged, bool] = {(a.var, a.form): a.var in aligned for a in reads}

    def update(self, other: "Arrangements") -> None:
        """Adds the arrangements of another kernel."""
        for key, aligned in other.needed.items():
            self.needed[key] = aligned or self.needed.get(key, False)

    def copied(self, env: Mapping[Any, Any]) -> list[Arranged]:
        """Those that are copies: the array lies in another way."""
        return [
            key
            for key, aligned in self.needed.items()
            if key[0] in env and not _lies_so(env[key[0]], key[1], aligned)
        ]


def _lies_so(x: Any, form: Form, aligned: bool) -> bool:
    return not isinstance(form, Filled) and suits(arranged(x, form), aligned)


def arranged(x: Any, order: Sequence[int] | None) -> Any:
    """The array with its axes in this order."""
    return x if order is None else x.transpose(order)


def copy_of(x: Any, form: Form, xp: Any) -> Any:
    """A copy of an array that lies in this way."""
    if not isinstance(form, Filled):
        return arranged(x, form).copy("C")
    out = xp.zeros((x.size // form.width, form.length), x.dtype)
    out[:, : form.width].reshape(x.shape)[...] = x
    return out


def copied_bytes(v: Var, form: Form) -> int:
    """Bytes of that copy."""
    size = v.aval.nbytes
    return size // form.width * form.length if isinstance(form, Filled) else size


def suits(x: Any, aligned: bool) -> bool:
    """Whether an array is in C order, and begins where a vector may."""
    return bool(x.flags.c_contiguous) and (not aligned or address(x) % VECTOR_BYTES == 0)


def address(x: Any) -> int:
    """Where the memory of an array of CuPy or NumPy begins."""
    return int(x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr)


def layout_at(x: Any, place: int) -> np.ndarray:
    """A NumPy array with the shape, dtype and strides of `x`, which begins at a multiple of a
    vector's bytes and `place` more; only its layout may be looked at."""
    memory = np.empty(2 * VECTOR_BYTES + x.dtype.itemsize, np.uint8)
    start = (place - memory.ctypes.data) % VECTOR_BYTES
    base = memory[start : start + x.dtype.itemsize].view(x.dtype)
    return np.lib.stride_tricks.as_strided(base, x.shape, x.strides)
