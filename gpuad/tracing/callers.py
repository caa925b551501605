"""Which function of a library asks a traced array for what it does not have, and what to write
instead of it; for messages."""

import sys
from types import FunctionType
from typing import Any

from gpuad.tracing import distributions
from gpuad.tracing.registry import OPERATIONS

_CALLED_AS = {f"numpy.{c}Class.__getitem__": f"numpy.{c.lower()}_" for c in "RC"}
"""Methods of NumPy's objects, and the names of these."""
_OF_CLASSES = ("__init__", "__new__", "__call__")
"""Methods that are called by the name of their class."""
_FAMILIES = ("numpy", "scipy", "cupy", "cupyx")
"""Libraries of whose functions gpuad has many."""


def calling_library(frame: Any) -> str:
    """The library function that the user called and that asks, as "scipy.linalg.solve"; empty if
    the user's own code asks. Frames of gpuad itself, the innermost ones, are passed over."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith("gpuad."):
        frame = frame.f_back
    found = ""
    while frame is not None and "site-packages" in frame.f_code.co_filename:
        found = _function_of(frame) or found
        frame = frame.f_back
    return found


def _function_of(frame: Any) -> str:
    """The public name of the function that runs in a frame; empty for one that only calls it."""
    module, name = frame.f_globals["__name__"], frame.f_code.co_qualname
    if "<locals>" in name:
        wrapped = _wrapped(frame, module.partition(".")[0])
        if wrapped is None:
            return ""
        module, name = wrapped.__module__, wrapped.__qualname__
    if "._lib." in module or name.endswith("__ua_function__") or name.startswith("<"):
        return ""
    return _public(module, _with_object(name, frame.f_locals))


def _wrapped(frame: Any, library: str) -> Any:
    """The function of the library around which the decorator's function of this frame is."""
    for free in frame.f_code.co_freevars:
        f = frame.f_locals.get(free)
        if isinstance(f, FunctionType) and f.__module__.partition(".")[0] == library:
            if "<" not in f.__qualname__ and not f.__name__.startswith("_"):
                return f
    return None


def _with_object(name: str, names: dict[str, Any]) -> str:
    """A method by the name of its object: "norm.logpdf", and a class instead of its `__init__`."""
    owner, _, method = name.rpartition(".")
    if not owner:
        return name
    if method in _OF_CLASSES:
        return owner
    instance = names["self"] if "self" in names else next(iter(names.get("args", ())), None)
    known = type(getattr(instance, "dist", instance)).__name__ if instance is not None else owner
    for ending in ("_gen", "_frozen"):
        known = known.removesuffix(ending)
    return f"{known}.{method}"


def _public(module: str, name: str) -> str:
    """The name that users give to a function of a private module."""
    parts = [part for part in module.split(".") if not part.startswith("_")]
    for k in range(len(parts), 0, -1):
        public = ".".join(parts[:k])
        if hasattr(sys.modules.get(public), name.partition(".")[0]):
            parts = parts[:k]
            break
    full = ".".join([*parts, name]).replace("numpy.lib.", "numpy.")
    return _CALLED_AS.get(full, full)


def counterpart(name: str) -> str:
    """The function of gpuad for a library's, such as "gpuad.scipy.linalg.solve", or nothing."""
    ours = name.removeprefix("numpy.")
    if ours not in OPERATIONS:
        return ""
    return f"gpuad.{'' if ours.startswith('scipy.') else 'numpy.'}{ours}"


def instead_of_calling(name: str) -> str:
    """What to write instead of a library function; empty if it is of none that gpuad knows."""
    ours = counterpart(name)
    text = ours or distributions.advice(name.removeprefix("scipy.stats."))
    if text:
        return f"Write {text}"
    if name.partition(".")[0] not in _FAMILIES:
        return ""
    return (
        f"gpuad has no {name}: write it with the functions of gpuad.numpy and gpuad.scipy, or wrap "
        "the call in gpuad.external with its output declared (and a custom rule if it is to be "
        "differentiated)"
    )
