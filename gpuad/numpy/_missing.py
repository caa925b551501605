"""What is said of a name that gpuad.numpy does not have."""

from typing import Any


def missing(name: str, group: str, theirs: Any, ours: list[str]) -> AttributeError:
    """The error for a name that is not among `ours`; `theirs` is NumPy's module, which may have it.

    `group` is the submodule that was asked, such as "linalg", or empty for `gpuad.numpy` itself.
    """
    full = f"{group}.{name}" if group else name
    if name.startswith("_"):
        return AttributeError(f"'gpuad.numpy' has no attribute {full!r}")
    where = f"numpy.{full}" if hasattr(theirs, name) else full
    listed = ", ".join(ours) if group else "that dir(gpuad.numpy) lists"
    return AttributeError(
        f"gpuad.numpy has no {full!r}. Write it with the functions {listed}, or call {where} "
        "through gpuad.external with its output declared (and a custom rule if it is to be "
        "differentiated)."
    )
