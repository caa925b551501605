"""What to write instead where code needs a plain array and gets a traced one; for messages."""

import dis
from typing import Any

from gpuad.tracing.registry import OPERATIONS, lookup

MEANT = "ad.stop_gradient(x) if its derivative is meant to be lost"

FOR_NUMBERS = (
    "Write NumPy functions of x (np.sin(x), not math.sin(x)), and store x into np.zeros_like(x) or "
    "gpuad.numpy.zeros(n), not into a plain array"
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


def calling_library(frame: Any) -> tuple[str, str]:
    """The library function that asks for a plain array, as " in module.name", and what to write
    instead of it; empty if the user's own code asks, or gpuad has nothing for it."""
    found = None
    while frame is not None and "site-packages" in frame.f_code.co_filename:
        module, name = frame.f_globals["__name__"], frame.f_code.co_qualname
        dispatches = "<locals>" in name or "._lib." in module or name.endswith("__ua_function__")
        if name.endswith("decorator.<locals>.wrapper"):  # SciPy's, around the function `f`
            f = frame.f_locals.get("f")
            found = (f.__module__, f.__qualname__) if hasattr(f, "__qualname__") else found
        elif not dispatches:
            found = module, name
        frame = frame.f_back
    if found is None:
        return "", ""
    module, name = found
    public = [part for part in module.split(".") if not part.startswith("_")]
    known = ".".join([*public, name]).removeprefix("numpy.").removeprefix("lib.")
    known = _CALLED_AS.get(known, known)
    top = "gpuad." if known.startswith("scipy.") else "gpuad.numpy."
    has = lookup(OPERATIONS, known) is not None
    return f" in {module}.{name}", f"Write {top}{known}. " * has


_CALLED_AS = {"AxisConcatenator.__getitem__": "r_", "vectorize.__call__": "vectorize"}
"""Methods of NumPy's objects, and the names of these."""


def is_a_store(frame: Any) -> bool:
    """Whether the code of `frame` is at ``a[i] = x``."""
    return frame.f_code.co_code[frame.f_lasti] == _STORE


_STORE = dis.opmap["STORE_SUBSCR"]
