"""Data types: the names, and the functions of the array API that ask about them."""

import sys
from typing import Any

import numpy as np
from numpy import (
    bool,
    complex64,
    complex128,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    issubdtype,
    promote_types,
    uint8,
    uint16,
    uint32,
    uint64,
)

from gpuad.errors import UnsupportedError
from gpuad.tracing import Tracer
from gpuad.tracing.registry import NUMPY, OPERATIONS

API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")

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


def _namespace(api_version: str | None) -> Any:
    if api_version not in (None, *API_VERSIONS):
        raise UnsupportedError(
            f"gpuad.numpy implements the array API of {', '.join(API_VERSIONS)}, not "
            f"{api_version}; leave api_version out."
        )
    return sys.modules["gpuad.numpy"]


OPERATIONS["__namespace__"] = _namespace

__all__ = [
    "bool", "can_cast", "complex64", "complex128", "dtype", "finfo", "float16", "float32",
    "float64", "iinfo", "int8", "int16", "int32", "int64", "isdtype", "issubdtype", "promote_types",
    "result_type", "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip
