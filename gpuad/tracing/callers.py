"""Which function of a library asks a traced array for what it does not have, and what to write
instead of it; for messages."""

import sys
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

from gpuad.tracing import distributions
from gpuad.tracing.registry import OPERATIONS, lookup

_CALLED_AS = {
    **{f"numpy.{c}Class.__getitem__": f"numpy.{c.lower()}_" for c in "RC"},
    "numpy.matrixlib.defmatrix.matrix": "numpy.matrix",
}
"""Methods of NumPy's objects, and the names of these."""
_OF_CLASSES = ("__init__", "__new__", "__call__")
_INSTALLED = ("site-packages", "dist-packages")
_FAMILIES = ("numpy", "scipy", "cupy", "cupyx")
"""Libraries of whose functions gpuad has many."""


def calling_library(frame: Any) -> str:
    """The library function that the user called and that asks, as "scipy.linalg.solve"; empty if
    the user's own code asks."""
    return _called(_outwards(frame))


def checks_finite(frame: Any) -> bool:
    """Whether a library asks if all elements are finite, which check_finite=False leaves out."""
    inner = next((f for f in _outwards(frame) if not _is_gpuads(f)), None)
    return inner is not None and inner.f_code.co_name == "_check_finite"


def raising_library(traceback: Any) -> str:
    """The library function that the user called and in which an error was raised."""
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return _called(reversed(frames))


def _outwards(frame: Any) -> Iterator[Any]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_gpuads(frame: Any) -> bool:
    return frame.f_globals.get("__name__", "").startswith("gpuad.")


def _called(frames: Iterable[Any]) -> str:
    """The outermost function of the libraries whose frames are innermost, but for gpuad's own."""
    found, outside = "", False
    for frame in frames:
        if _is_gpuads(frame) and not outside:
            continue
        outside = True
        if not any(folder in frame.f_code.co_filename for folder in _INSTALLED):
            break
        found = _function_of(frame) or found
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
    return _public(module, _with_object(name, frame.f_locals, module))


def _wrapped(frame: Any, library: str) -> Any:
    """The function of the library around which the decorator's function of this frame is."""
    free = [frame.f_locals.get(name) for name in frame.f_code.co_freevars]
    found = [
        f
        for f in free
        if isinstance(f, FunctionType)
        and f.__module__.partition(".")[0] == library
        and not ("<" in f.__qualname__ or f.__name__.startswith("_"))
    ]
    public = [f for f in found if _public_module(f.__module__, f.__qualname__)]
    return next(iter([*public, *found]), None)


def _with_object(name: str, names: dict[str, Any], module: str) -> str:
    """A method by the name of its object: "norm.logpdf"; an object's making or call by its class's,
    "CubicSpline", or by its own if the library's module has it, "sph_harm_y"."""
    owner, _, method = name.rpartition(".")
    if not owner:
        return name
    instance = names["self"] if "self" in names else next(iter(names.get("args", ())), None)
    if instance is not None:
        owner = type(getattr(instance, "dist", instance)).__name__
        if method == "__call__":
            public = vars(sys.modules.get(".".join(_public_parts(module)), sys))
            owner = next((n for n, x in public.items() if x is instance), owner)
    for ending in ("_gen", "_frozen"):
        owner = owner.removesuffix(ending)
    return owner if method in _OF_CLASSES else f"{owner}.{method}"


def _public(module: str, name: str) -> str:
    """The name that users give to a function of a private module."""
    public = _public_module(module, name) or ".".join(_public_parts(module))
    full = f"{public}.{name}"
    if "." not in public.removeprefix("numpy.lib"):
        full = full.replace("numpy.lib.", "numpy.")
    return _CALLED_AS.get(full, full)


def _public_module(module: str, name: str) -> str:
    """The innermost public module that has a name of a private one, or nothing."""
    parts = _public_parts(module)
    *above, last = module.split(".")
    # numpy.lib._stride_tricks_impl is where numpy.lib.stride_tricks has its functions from.
    beside = ".".join([*above, last.removeprefix("_").removesuffix("_impl")])
    outwards = [*[".".join(parts[:k]) for k in range(len(parts), 0, -1)], beside]
    first = name.partition(".")[0]
    return next((m for m in outwards if hasattr(sys.modules.get(m), first)), "")


def _public_parts(module: str) -> list[str]:
    return [part for part in module.split(".") if not part.startswith("_")]


def counterpart(name: str) -> str:
    """The function of gpuad for a library's, such as "gpuad.scipy.linalg.solve", or nothing."""
    ours = name.removeprefix("numpy.")
    if lookup(OPERATIONS, ours) is None:
        return ""
    return f"gpuad.{'' if ours.startswith('scipy.') else 'numpy.'}{ours}"


def instead_of_calling(name: str) -> str:
    """What to write instead of a library function; empty if it is of none that gpuad knows."""
    ours = counterpart(name)
    text = ours or distributions.advice(name.removeprefix("scipy.stats."))
    if ours.startswith("gpuad.numpy."):
        return f"Write {ours}, and np.stack([...]) for a list of traced values"
    if text:
        return f"Write {text}"
    if name.partition(".")[0] not in _FAMILIES:
        return ""
    return (
        f"gpuad has no {name}: write it with the functions of gpuad.numpy and gpuad.scipy, or wrap "
        "the call in gpuad.external with its output declared (and a custom rule if it is to be "
        "differentiated)"
    )
