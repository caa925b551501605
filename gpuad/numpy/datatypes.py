"""Data types: the names, and the functions of the array API that ask about them."""

import sys
import warnings
from typing import Any

import numpy as np

from gpuad.errors import UnsupportedError
from gpuad.numpy._dispatch import cast_to, implements
from gpuad.primitives import elementwise as ew
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply
from gpuad.tracing.registry import NUMPY, OPERATIONS

bool = np.bool_
int8, int16, int32, int64 = np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float16, float32, float64 = np.float16, np.float32, np.float64
complex64, complex128 = np.complex64, np.complex128
dtype, finfo, iinfo, isdtype, issubdtype = np.dtype, np.finfo, np.iinfo, np.isdtype, np.issubdtype
promote_types = np.promote_types

API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")

_WEAK = {"b": True, "i": 1, "u": 1, "f": 1.0, "c": 1j}


def _for_numpy(x: Any) -> Any:
    """A Tracer as what NumPy's own function needs to know of it."""
    if not isinstance(x, Tracer):
        return x
    return _WEAK[x.dtype.kind] if x.aval.weak else x.dtype


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that NumPy's promotion gives these arrays, scalars and dtypes together."""
    return np.result_type(*[_for_numpy(x) for x in arrays_and_dtypes])


def can_cast(from_: Any, to: Any, casting: Any = "safe") -> Any:
    """Whether a dtype, or that of an array, may be cast to another under a casting rule."""
    return np.can_cast(from_.dtype if isinstance(from_, Tracer) else from_, to, casting)


NUMPY[np.result_type] = result_type
NUMPY[np.can_cast] = can_cast


@implements(np.astype)
def astype(
    x: Any, dtype: Any, /, order: str = "K", casting: Any = "unsafe", subok: Any = True,
    copy: Any = True, *, device: Any = None,
) -> Any:  # fmt: skip
    """`x` in another dtype. Derivatives pass from float to float, not through integers.

    Raises TypeError where `casting` does not allow it.
    """
    new = np.dtype(dtype)
    if order not in ("K", "A", "C") or device is not None:
        raise UnsupportedError(
            "astype(order='F') and astype(device=...) cannot be recorded; leave them out."
        )
    if not np.can_cast(x.dtype, new, casting):
        raise UnsupportedError(
            f"astype: casting from {x.dtype} to {new} is not allowed by casting={casting!r}."
        )
    if x.dtype.kind == "c" and new.kind not in "cb":
        warnings.warn(
            "Casting complex values to real discards the imaginary part; write x.real.",
            np.exceptions.ComplexWarning,
            stacklevel=3,
        )
    # A weak value that is cast is weak no longer, whatever its dtype.
    return apply(lambda v: ew.cast(v, dtype=new) if v.aval.weak else cast_to(v, new), x)


def _namespace(api_version: str | None) -> Any:
    if api_version not in (None, *API_VERSIONS):
        raise UnsupportedError(
            f"gpuad.numpy implements the array API of {', '.join(API_VERSIONS)}, not "
            f"{api_version}; leave api_version out."
        )
    return sys.modules["gpuad.numpy"]


OPERATIONS["__namespace__"] = _namespace
