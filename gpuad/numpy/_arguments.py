"""Arguments of the namespace's functions: shapes, common dtypes, ``out=``, what is refused."""

import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gpuad.errors import DTypeError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy._dispatch import F, cast_to, implements
from gpuad.tracing import Tracer
from gpuad.tracing.arrays import cupy_module
from gpuad.tracing.operators import store
from gpuad.tracing.registry import OPERATIONS


def shape_of(a: Any) -> tuple[int, ...]:
    """The shape of a Tracer, array, scalar or nested list."""
    shape = getattr(a, "shape", None)
    return np.shape(a) if shape is None else shape


def static_shape(shape: Any) -> tuple[int, ...]:
    """A ``shape`` argument, one int or several, as a tuple."""
    if isinstance(shape, Tracer) and not shape.shape:
        return (operator.index(shape),)
    if isinstance(shape, Iterable):
        return tuple([operator.index(n) for n in shape])
    return (operator.index(shape),)


def promote(values: Sequence[Atom], dtype: Any = None, casting: str = "unsafe") -> list[Atom]:
    """The values in their common dtype, or in `dtype`; scalars count as arrays of theirs."""
    common = np.result_type(*[v.aval.dtype for v in values])
    if dtype is not None:
        check_casting(common, np.dtype(dtype), casting)
        common = np.dtype(dtype)
    return [cast_to(v, common) for v in values]


def check_casting(source: np.dtype, target: np.dtype, casting: Any) -> None:
    if not np.can_cast(source, target, casting):
        raise DTypeError(
            f"casting from {source} to {target} is not allowed by casting={casting!r}; "
            "choose another dtype, or casting='unsafe'."
        )


def refuse(name: str, **given: Any) -> None:
    """Refuses keyword arguments that are not None; device="cpu" is all there is without CuPy."""
    for keyword, value in given.items():
        here = keyword == "device" and value == "cpu" and cupy_module() is None
        if value is not None and not here:
            raise UnsupportedError(
                f"{name}({keyword}={value!r:.40}) cannot be recorded; leave {keyword} out."
            )


def check_layout(order: str | None, name: str) -> None:
    """Refuses the choice of a memory layout, which the arrays of a recorded program do not have."""
    if order not in (None, "C", "K", "A"):
        raise UnsupportedError(
            f"{name}(order={order!r}) chooses a memory layout, and a traced array has none; "
            "leave order out."
        )


def into(result: Any, out: Any) -> Any:
    """`result`, stored in the Tracer `out` if there is one."""
    if out is None:
        return result
    return store(result, out)


def existing(*names: str) -> list[Any]:
    """Those of NumPy's functions that the installed NumPy has."""
    return [getattr(np, name) for name in names if hasattr(np, name)]


def alias(name: str, function: F) -> F:
    """Registers a function under a second name."""
    OPERATIONS[name] = function
    return function


def refused(numpy_function: Any, why: str) -> Callable[..., Any]:
    """Registers a NumPy function that traced arrays cannot have, and says what to write."""
    name = numpy_function.__name__

    def function(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"{name} {why}")

    function.__name__ = function.__qualname__ = name
    function.__signature__ = inspect.signature(numpy_function)  # type: ignore[attr-defined]
    function.__doc__ = f"NumPy's, for arrays; refused for traced arrays: it {why}"
    return implements(numpy_function)(function)
