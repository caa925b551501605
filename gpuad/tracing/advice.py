"""What to write instead where code needs a plain array and gets a traced one; for messages."""

from typing import Any

import numpy as np

from gpuad.tracing.asking import STORE_ITEM
from gpuad.tracing.registry import OPERATIONS

MEANT = "ad.stop_gradient(x) if its derivative is meant to be lost"

FOR_NUMBERS = (
    "Write NumPy functions of x (np.sin(x), not math.sin(x)), and store x into np.zeros_like(x) or "
    "gpuad.numpy.zeros(n), not into a plain array"
)
FOR_ARRAYS = (
    "Build arrays of traced values with np.stack([...]) or np.concatenate instead of "
    "np.array([...]), and write x itself or gpuad.numpy.asarray(x) instead of np.asarray(x); store "
    "into x = np.zeros_like(traced) or use gpuad.numpy.zeros, not into a plain NumPy array; index "
    "a plain array by a traced one with gpuad.numpy.take(a, i); take gpuad.external for code that "
    "needs plain arrays"
)
FOR_LISTS = (
    "The argument {name} is a list or tuple, which to a transform is a tree of its entries: pass "
    "np.array({name}) instead, or write gpuad.numpy.asarray({name}) in the function"
)
FOR_SIZES = (
    "Sizes, positions and numbers of steps are Python ints: take them from shapes (len(x), "
    "x.shape[0])"
)
FOR_TEXT = 'Print the results outside of the function, or shape and dtype inside of it: f"{x}"'

STORE = (
    "a traced array ({aval}) was about to be stored into an element of a plain array, which would "
    "lose its derivative. Store into np.zeros_like(traced) or gpuad.numpy.zeros(n), or build the "
    "array with np.stack([...])"
)

_INSTEAD = {
    "device": "It is where the arrays are that it is computed from; leave device= out.",
    "__dlpack__": "Write x itself; what leaves the transform can be converted outside of it.",
    "data": "It has no memory of its own.",
    "strides": "It has no memory layout.",
    "flags": "It has no memory layout.",
    "base": "It has no memory layout.",
    "itemset": "Write x[i] = v.",
    "resize": "Write x = np.reshape(x, shape), or np.pad.",
    "ptp": "Write x.max() - x.min().",
    "get": "Write x itself: results come back where the arguments are.",
    "numpy": "Write x itself, or np.asarray(ad.stop_gradient(x)) for its values alone.",
    "detach": "Write ad.stop_gradient(x).",
}


def dtype_text(dtype: np.dtype) -> str:
    """A dtype as one writes it."""
    return f"np.{dtype.name}" if hasattr(np, dtype.name) else repr(dtype.name)


def instead_of(attribute: str) -> str:
    """What to write for an attribute of arrays that a traced array does not have."""
    instead = _INSTEAD.get(attribute)
    if instead is not None:
        return instead
    if attribute in OPERATIONS and not attribute.startswith("_"):
        return f"Write gpuad.numpy.{attribute}(x)."
    return (
        "Write it with the functions of gpuad.numpy, or take "
        f"np.asarray(ad.stop_gradient(x)).{attribute} if only the value is meant."
    )


def is_a_store(frame: Any) -> bool:
    """Whether the code of `frame` is at ``a[i] = x``."""
    return frame.f_code.co_code[frame.f_lasti] == STORE_ITEM
