"""external: code that gpuad cannot record, as one operation with a declared output."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.recording import argument_names, check_callable, function_name
from gpuad.dual import DualArray
from gpuad.errors import ArgumentError, NotDifferentiableError
from gpuad.ir.aval import Aval
from gpuad.primitives.host import Host, external_call
from gpuad.tracing import apply, innermost


@dataclass(frozen=True)
class ShapeDtype:
    """The shape and dtype of an array: what `external` declares.

    Parameters
    ----------
    shape
        The length of each axis.
    dtype
        A NumPy dtype, or what `numpy.dtype` takes for one.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.ShapeDtype((2, 3), np.float32).shape
    (2, 3)
    """

    shape: tuple[int, ...]
    dtype: Any


def external(
    function: Callable[..., Any], out: Any, vectorized: bool = False
) -> Callable[..., Any]:
    """A function of plain arrays, made usable inside transforms.

    Parameters
    ----------
    function
        Code that gpuad cannot record: a host function, a CuPy RawKernel, a Numba function. It gets
        plain arrays, which it must not change (NumPy's are made read-only for it), and returns
        arrays, which are copied: it may return the same one at every call.
    out
        What it returns: an array or `ShapeDtype` (anything with shape and dtype), a pytree of
        them, or a function of the arguments' shapes-and-dtypes giving that.
    vectorized
        Whether it may be called with further leading axes on all arguments, under `vmap`;
        otherwise `vmap` calls it once for each sample.

    Returns
    -------
    callable
        A function of positional arrays. Outside of transforms it calls `function`, whose results
        are then not compared with `out`. It has no derivative: wrap it in `custom_jvp` or
        `custom_vjp` to give it one.

    Raises
    ------
    ArgumentError
        If `out` has a leaf without shape and dtype, or that are none of an array of numbers, or,
        when the call is computed, if `function` returned another structure, shape or dtype than
        `out` declares.
    NotDifferentiableError
        If a derivative of it is asked for, by a transform or by a `DualArray` as an argument.

    Examples
    --------
    >>> import math, numpy as np, gpuad as ad
    >>> host_sin = ad.external(lambda x: np.asarray(math.sin(x)), out=ad.ShapeDtype((), np.float64))
    >>> @ad.custom_jvp
    ... def sine(x):
    ...     return host_sin(x)
    >>> @sine.defjvp
    ... def rule(primals, tangents):
    ...     return sine(primals[0]), np.cos(primals[0]) * tangents[0]
    >>> print(f"{ad.grad(sine)(1.0):.6f}")
    0.540302
    """
    check_callable(function, "external")
    name = function_name(function)

    @functools.wraps(function)
    def recordable(*args: Any) -> Any:
        if innermost(args) is None:
            _check_no_tangents(function, args)
            return function(*args)

        out_tree: Any = None

        def call(*operands: Any) -> Any:
            nonlocal out_tree
            declared = out(*[x.aval for x in operands]) if callable(out) else out
            out_leaves, out_tree = tree.flatten(declared)
            avals = tuple([_declared(x, name) for x in out_leaves])
            host = Host(_Leaves(function, name, out_tree), name, vectorized)
            return external_call(*operands, host=host, avals=avals)

        results = apply(call, *args)
        return tree.unflatten(out_tree, list(results))

    return recordable


@dataclass(frozen=True)
class _Leaves:
    """The user's function; called, it gives the leaves of its result, of the declared structure."""

    function: Callable[..., Any]
    name: str
    treedef: tree.TreeDef

    def __call__(self, *arrays: Any) -> list[Any]:
        leaves, treedef = tree.flatten(self.function(*arrays))
        if treedef != self.treedef:
            raise ArgumentError(
                f"external {self.name} returned {tree.shown(treedef)} and declared "
                f"{tree.shown(self.treedef)} (* is an array); declare in out what it returns."
            )
        return leaves


def _check_no_tangents(function: Any, args: Sequence[Any]) -> None:
    for x, name in zip(args, argument_names(function, len(args)), strict=True):
        if isinstance(x, DualArray):
            value = f"{name}.primal" if name.isidentifier() else ".primal of it"
            raise NotDifferentiableError(
                f"external {function_name(function)}: {name} is a DualArray, and code that gpuad "
                f"cannot see would lose its tangents. Pass {value} for the value alone, or take "
                "the derivative with jvp of a function that has a rule by custom_jvp."
            )


def _declared(x: Any, name: str) -> Aval:
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise ArgumentError(
            f"external {name}: out has a {type(x).__name__} ({x!r:.40}); declare each result with "
            "gpuad.ShapeDtype(shape, dtype) or an array of its shape and dtype."
        )
    return Aval(_declared_shape(x.shape, name), _declared_dtype(x.dtype, name))


def _declared_shape(shape: Any, name: str) -> tuple[int, ...]:
    lengths = tuple(shape) if isinstance(shape, tuple | list) else (None,)
    if all(isinstance(n, int | np.integer) and n >= 0 for n in lengths):
        return tuple([int(n) for n in lengths])
    raise ArgumentError(
        f"external {name}: out declares the shape {shape!r:.60}; give the length of each axis as a "
        "tuple, such as (3,) for a vector and () for a number."
    )


def _declared_dtype(dtype: Any, name: str) -> np.dtype:
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind not in "biufc":
        raise ArgumentError(
            f"external {name}: out declares the dtype {dtype!r:.60}, which no array of numbers "
            "has; give one that numpy.dtype takes, such as numpy.float64."
        )
    return found


__all__ = ["ShapeDtype", "external"]
