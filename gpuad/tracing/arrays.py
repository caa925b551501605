"""Concrete arrays, NumPy's and CuPy's, distinguished without importing CuPy."""

import functools
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, IntegerRangeError, UnsupportedError
from gpuad.ir.aval import Aval
from gpuad.ir.half import is_bfloat16

SCALARS = bool | int | float | complex
LARGEST = float(np.finfo(float).max)


def cupy_module() -> Any:
    """CuPy, if the program has imported it."""
    return sys.modules.get("cupy")


def is_number(x: Any) -> bool:
    """Whether `x` is a Python number, whose dtype is weak. NumPy's float64, a float for
    isinstance, is none: it has a dtype of its own."""
    return isinstance(x, SCALARS) and not isinstance(x, np.generic)


def number_dtype(x: Any) -> np.dtype:
    """The dtype that a Python number has by itself."""
    dtype = np.result_type(x)
    if dtype.kind == "O":
        raise IntegerRangeError(
            f"the integer {x:.3e} is beyond the 64 bits that an array of integers holds; write "
            "float(n), or compute with arrays of floats: beside those it is a float, as in NumPy."
            if abs(x) < LARGEST
            else "an integer is beyond the range of float64 too; divide it by something first."
        )
    return dtype


def is_array(x: Any) -> bool:
    """Whether `x` is a NumPy or CuPy array or a NumPy scalar."""
    if isinstance(x, np.ndarray | np.generic):
        return True
    cupy = cupy_module()
    return cupy is not None and isinstance(x, cupy.ndarray)


def namespace_of(x: Any) -> Any:
    """The namespace, NumPy or CuPy, that `x` belongs to."""
    cupy = cupy_module()
    return cupy if cupy is not None and isinstance(x, cupy.ndarray) else np


def namespace_of_all(values: Iterable[Any]) -> Any:
    """CuPy if any value is a CuPy array, else NumPy."""
    cupy = cupy_module()
    if cupy is not None and any(isinstance(x, cupy.ndarray) for x in values):
        return cupy
    return np


_COMPUTING_METHODS = frozenset(
    "__array_ufunc__ __array_function__ __array_namespace__ __bool__ __float__ __len__ __iter__ "
    "__abs__ __neg__ __invert__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __pow__ sum prod mean "
    "dot max min any all reshape ravel T".split()
).union(
    f"__{r}{name}__"
    for name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
    for r in ("", "r", "i")
)
"""The methods by which a subclass of ndarray computes in another way than ndarray."""


@functools.cache
def _computes_as_ndarray(kind: Any) -> bool:
    """Whether a subclass of ndarray computes as ndarray does: np.memmap, or one that only adds
    attributes, but not np.matrix or a masked array."""
    own = kind.__mro__[: kind.__mro__.index(np.ndarray)]
    return not any(_COMPUTING_METHODS.intersection(vars(k)) for k in own)


def plain(x: Any) -> Any:
    """`x`; if it is of a subclass that computes as ndarray does, a view of it as an ndarray."""
    if not isinstance(x, np.ndarray) or type(x) is np.ndarray:
        return x
    kind: Any = type(x)
    return x.view(np.ndarray) if _computes_as_ndarray(kind) else x


def usable(x: Any, name: str = "the array") -> Any:
    """`x` as an array that can be recorded: native byte order, a numeric dtype, no subclass."""
    x = plain(x)
    if isinstance(x, np.ndarray) and type(x) is not np.ndarray:
        raise UnsupportedError(
            f"{name} is a {type(x).__name__}, whose own rules gpuad does not know; "
            "pass numpy.asarray(...) of it."
        )
    if x.dtype.kind not in "biufc" and not is_bfloat16(x.dtype):
        raise ArgumentError(
            f"{name} has dtype {x.dtype}; gpuad works on numbers and booleans. "
            "Convert it with .astype(float), or keep it out of the traced function."
        )
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def aval_of(x: Any) -> Aval:
    """The aval of a concrete array or Python scalar."""
    if is_number(x):
        return Aval((), number_dtype(x), weak=True)
    return Aval(x.shape, x.dtype)


SMALL = 4096
"""Bytes of an array up to which all of it is compared."""


def fingerprint(x: Any) -> int | None:
    """A number that changes when the contents do: of all of a small array, of a few places (4 along
    each axis) of a large one; None for arrays whose contents cannot be read cheaply (CuPy's)."""
    if type(x) is not np.ndarray:
        return None
    if x.nbytes > SMALL:
        step = [max(1, n // 4) for n in x.shape]
        x = x[tuple([slice(s // 2, None, s) for s in step][:3])]
        if x.size > 4096:
            x = x[(..., *(0,) * (x.ndim - 3))]
    return hash(x.tobytes())
