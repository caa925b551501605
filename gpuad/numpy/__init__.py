"""NumPy's functions, on arrays and on traced arrays: the namespace of the array API, and more.

Every function takes NumPy arrays, CuPy arrays and Tracers, with the meaning that NumPy gives it.
Unchanged NumPy code arrives here by itself; write ``import gpuad.numpy as gnp`` for what NumPy has
no name for (``gnp.sigmoid``), and for arrays that are created and then updated by traced values
(``gnp.zeros``). ``__array_namespace__`` of a traced array is this module.

Examples
--------
>>> import gpuad as ad, gpuad.numpy as gnp
>>> ad.grad(lambda x: gnp.softplus(x))(0.0)
np.float64(0.5)
"""

import math
from typing import Any

import numpy as np

from gpuad.numpy import (  # noqa: F401  each chapter registers its functions
    composed,
    contraction,
    conversion,
    creation,
    cumulative,
    datatypes,
    elementwise,
    histograms,
    indexing,
    joining,
    linear_algebra,
    manipulation,
    nan,
    rearranging,
    searching,
    sets,
    softmax,
    sorting,
    special,
    statistics,
    updating,
)
from gpuad.tracing.registry import OPERATIONS

_CONSTANTS = {
    "pi": math.pi, "e": math.e, "euler_gamma": np.euler_gamma, "inf": math.inf, "nan": math.nan,
    "newaxis": None, "bool": np.bool_,
}  # fmt: skip
_DATATYPES = (
    "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 "
    "complex128 dtype finfo iinfo isdtype issubdtype promote_types result_type can_cast"
).split()
# Of NumPy as they are: they take no arrays that could be traced.
_FROM_NUMPY = (
    "bool_ broadcast_shapes complexfloating diag_indices errstate floating from_dlpack generic "
    "index_exp inexact integer intp isscalar iterable mgrid min_scalar_type ndarray ndindex number "
    "ogrid printoptions s_ set_printoptions signedinteger tril_indices triu_indices unsignedinteger"
).split()


class _Group:
    """The functions of a submodule of NumPy's, such as `linalg`."""

    def __init__(self, name: str, members: dict[str, Any]):
        self.__name__ = f"gpuad.numpy.{name}"
        self.__dict__.update(members)
        self.__all__ = sorted(members)

    def __getattr__(self, name: str) -> Any:
        group = self.__dict__.get("__name__", "").removeprefix("gpuad.numpy.")
        raise _missing(name, f"{group}.{name}", getattr(np, group, None), self.__dict__["__all__"])

    def __dir__(self) -> list[str]:
        return list(self.__all__)

    def __repr__(self) -> str:
        return f"<{self.__name__}>"


def _missing(name: str, full: str, theirs: Any, ours: list[str]) -> AttributeError:
    """What to say of a function that is not here; NumPy may have it in the module `theirs`."""
    if name.startswith("_"):
        return AttributeError(f"'gpuad.numpy' has no attribute {full!r}")
    where = f"numpy.{full}" if hasattr(theirs, name) else full
    group = full.rpartition(".")[0]
    listed = ", ".join(ours) if group else "that dir(gpuad.numpy) lists"
    return AttributeError(
        f"gpuad.numpy has no {full!r}. Write it with the functions {listed}, or call {where} "
        "through gpuad.external with its output declared (and a custom rule if it is to be "
        "differentiated)."
    )


_functions = {n: f for n, f in OPERATIONS.items() if n.isidentifier() and not n.startswith("_")}
_dotted: dict[str, dict[str, Any]] = {}
for _name, _function in OPERATIONS.items():
    if "." in _name:
        _group, _member = _name.split(".")
        _dotted.setdefault(_group, {})[_member] = _function

globals().update(_functions)
globals().update({group: _Group(group, members) for group, members in _dotted.items()})
globals().update({n: getattr(datatypes, n) for n in _DATATYPES})
globals().update({n: getattr(np, n) for n in _FROM_NUMPY})
globals().update(_CONSTANTS)

__all__ = sorted({*_functions, *_dotted, *_DATATYPES, *_FROM_NUMPY, *_CONSTANTS})
__array_namespace_info__ = np.__array_namespace_info__


def __getattr__(name: str) -> Any:
    raise _missing(name, name, np, __all__)


def __dir__() -> list[str]:
    return list(__all__)
