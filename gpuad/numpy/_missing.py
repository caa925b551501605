"""What is said of a name that a namespace of gpuad does not have."""

import importlib
from collections.abc import Callable
from typing import Any

_SHORT = 30
"""So many names can be read in a message."""


def missing(name: str, module: str, theirs: Any, ours: list[str]) -> AttributeError:
    """The error for a name that is not among `ours`, the names of a module of gpuad; `theirs` is
    NumPy's or SciPy's module, which may have it."""
    top, _, group = module.removeprefix("gpuad.").partition(".")
    top, group = (f"gpuad.{top}", group) if top == "numpy" else (module, "")
    full = f"{group}.{name}" if group else name
    if name.startswith("_"):
        return AttributeError(f"{top!r} has no attribute {full!r}")
    where = f"{theirs.__name__}.{name}" if hasattr(theirs, name) else full
    listed = ", ".join(ours) if len(ours) < _SHORT else f"that dir({module}) lists"
    return AttributeError(
        f"{top} has no {full!r}. Write it with the functions {listed}, or call {where} "
        "through gpuad.external with its output declared (and a custom rule if it is to be "
        "differentiated)."
    )


def only(module: str, ours: list[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a module of gpuad that has the names of one of NumPy or
    SciPy, `ours` of them."""

    def get(name: str) -> Any:
        theirs = importlib.import_module(module.removeprefix("gpuad."))
        raise missing(name, module, theirs, ours)

    return get, lambda: list(ours)
