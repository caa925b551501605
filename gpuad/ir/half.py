"""Half precision: dtypes in which numbers are stored, and which are computed with as float32."""

import numpy as np

SINGLE = np.dtype(np.float32)


def is_half(dtype: np.dtype) -> bool:
    """Whether a dtype is float16, or bfloat16, which libraries add to NumPy."""
    return dtype.char == "e" or is_bfloat16(dtype)


def is_bfloat16(dtype: np.dtype) -> bool:
    return dtype.kind == "V" and dtype.name == "bfloat16"


def epsilon(dtype: np.dtype) -> float:
    """The distance from 1 to the next number."""
    return 2.0**-7 if is_bfloat16(dtype) else float(np.finfo(dtype).eps)


def widened(dtype: np.dtype) -> np.dtype:
    """The dtype that is computed with: float32 for half precision, else itself."""
    return SINGLE if is_half(dtype) else dtype
