"""DualArray: a primal and its tangents together in one block of memory.

A function of a DualArray computes value and all tangents by the JVP rule of each operation, K
tangents at once, and puts them into one new block.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.recording import Arguments, leaf_aval, record
from gpuad.compile import execute
from gpuad.errors import ArgumentError, ConversionError, DTypeError
from gpuad.ir.graph import Graph
from gpuad.ir.primitive import is_inexact
from gpuad.tracing import namespace_of
from gpuad.tracing.advice import dtype_text
from gpuad.tracing.operators import ArrayLike
from gpuad.tracing.registry import OPERATIONS
from gpuad.transforms.jvp import jvp
from gpuad.transforms.memo import memo
from gpuad.transforms.vmap import vmap


class DualArray(ArrayLike):
    """An array together with K tangents, in one allocation of shape ``(1 + K, *shape)``.

    Parameters
    ----------
    primal
        A NumPy or CuPy array of floats or complex numbers.
    tangents
        One tangent of the primal's shape, or K of them along a new leading axis; converted to the
        primal's dtype.

    Attributes
    ----------
    data
        The block: the primal first, then the tangents.
    primal, tangents, tangent
        Views of it: shape ``shape``, ``(K, *shape)``, and, if K is 1, ``shape``.

    Raises
    ------
    ArgumentError
        If the primal is not an array of numbers or the tangents do not have its shape; from a
        function of DualArrays, if these have different numbers of tangents.
    DTypeError
        If the primal is of integers or booleans, or the tangents would lose a part in its dtype
        (complex tangents of a real primal).
    ConversionError
        If it would become a plain array, as in ``np.asarray(x)``, and lose its tangents.
    GpuadError
        From a function of DualArrays that cannot be recorded; the docstring of `gpuad` lists the
        cases.

    Notes
    -----
    NumPy functions, operators and methods of a DualArray give DualArrays: forward mode with K
    directions (Griewank & Walther, *Evaluating Derivatives*, 2008, ch. 3). Other arrays in the
    same expression are constants. Indexing and in-place updates work as on an array.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = ad.DualArray(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    >>> y = np.sin(x) * x
    >>> print(y.primal, y.tangent)
    [0.84147098 1.81859485] [1.38177329 0.        ]
    """

    __slots__ = ("data",)

    def __init__(self, primal: Any, tangents: Any):
        primal = np.asarray(primal) if not hasattr(primal, "dtype") else primal
        aval = leaf_aval(primal, "primal")
        if not is_inexact(aval.dtype):
            raise DTypeError(
                f"DualArray: the primal has dtype {aval.dtype}, which has no tangents. "
                "Convert it with .astype(float)."
            )
        shape = np.shape(tangents)
        if shape == aval.shape:
            tangents = tangents[None] if hasattr(tangents, "dtype") else np.asarray([tangents])
        elif not shape or shape[0] == 0 or shape[1:] != aval.shape:
            raise ArgumentError(
                f"DualArray: the primal has shape {aval.shape} and tangents has shape {shape}; "
                f"give one tangent of shape {aval.shape}, or K of them, (K, *{aval.shape})."
            )
        found = getattr(tangents, "dtype", aval.dtype)
        if not np.can_cast(found, aval.dtype, "same_kind"):
            raise DTypeError(
                f"DualArray: the primal has dtype {aval.dtype} and tangents has dtype {found}, "
                f"which would lose a part of each; give tangents.astype({dtype_text(aval.dtype)})."
            )
        xp = namespace_of(primal)
        self.data = xp.empty((1 + len(tangents), *aval.shape), aval.dtype)
        self.data[0] = primal
        self.data[1:] = tangents

    @classmethod
    def from_block(cls, data: Any) -> "DualArray":
        """A DualArray over a block that exists: primal first, then the tangents; not copied.

        Raises
        ------
        ArgumentError
            If the block has no tangents: it must be of shape ``(1 + K, *shape)``, K at least 1.
        """
        if data.ndim < 1 or len(data) < 2:
            raise ArgumentError(
                f"DualArray.from_block: the block has shape {data.shape}; give (1 + K, *shape), "
                "the primal first and then at least one tangent."
            )
        dual = cls.__new__(cls)
        dual.data = data
        return dual

    @property
    def primal(self) -> Any:
        return self.data[0]

    @property
    def tangents(self) -> Any:
        return self.data[1:]

    @property
    def tangent(self) -> Any:
        if len(self.data) != 2:
            raise ArgumentError(
                f"this DualArray has {len(self.data) - 1} tangents; "
                "use .tangents, of shape (K, *shape)."
            )
        return self.data[1]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def __len__(self) -> int:
        return len(self.data[0])

    def __bool__(self) -> bool:
        return bool(self.data[0])

    def __repr__(self) -> str:
        return f"DualArray(primal={self.primal!r}, tangents={self.tangents!r})"

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise ConversionError(
            "a DualArray was about to become a plain array, which would lose its tangents. "
            "Take x.primal for the value, or use functions of numpy or gpuad.numpy."
        )

    def __getitem__(self, key: Any) -> "DualArray":
        return self._gpuad_function(OPERATIONS["_getitem"], "indexing", (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, DualArray):
            _tangent_count([self, value], "x[key] = v")
            parts = value.data
        else:
            parts = [value, *[0] * len(self.tangents)]
        for k, part in enumerate(parts):
            self.data[k, ...][key] = part

    def _store(self, result: Any) -> "DualArray":
        self[...] = result
        return self

    def _rebind(self, new: Any) -> "DualArray":
        return self._store(new)

    @staticmethod
    def _gpuad_function(function: Any, name: str, args: Any, kwargs: Any) -> Any:
        """The result of `function`, which has DualArrays among its arguments, by its JVP."""
        leaves, treedef = tree.flatten((args, kwargs))
        dual = [isinstance(x, DualArray) for x in leaves]
        count = _tangent_count([x for x in leaves if isinstance(x, DualArray)], name)
        plain = [x.primal if isinstance(x, DualArray) else x for x in leaves]
        recorded = record(function, Arguments(plain, treedef, dual), name=name)
        primals = [x for x, on in zip(plain, dual, strict=True) if on]
        tangents = [x.tangents for x in leaves if isinstance(x, DualArray)]
        graph, out_active = _jvp_graph(recorded.graph, len(primals), count)
        results = execute(graph, [*primals, *recorded.captured, *tangents])
        n = len(recorded.graph.outputs)
        dots = iter(results[n:])
        outs = [
            _block(x, next(dots) if on else None, count) if is_inexact(leaf_aval(x).dtype) else x
            for x, on in zip(results[:n], out_active, strict=True)
        ]
        return tree.unflatten(recorded.out_tree, outs)


def _tangent_count(duals: Sequence[DualArray], name: str) -> int:
    """How many tangents each of these has; they must have the same number."""
    counts = {len(x.data) - 1 for x in duals}
    if len(counts) != 1:
        raise ArgumentError(
            f"{name}: DualArrays with different numbers of tangents ({sorted(counts)}); "
            "give all of them the same number."
        )
    return counts.pop()


@memo
def _jvp_graph(graph: Graph, moving: int, count: int) -> tuple[Graph, tuple[bool, ...]]:
    """Graph (x, rest → outs) → Graph (x, rest, `count` x_dot → outs, `count` outs_dot).

    x are the first `moving` inputs. The second result says which outs have a tangent.
    """
    n = len(graph.inputs)
    both, out_active = jvp(graph, (True,) * moving + (False,) * (n - moving))
    mapped = (False,) * n + (True,) * moving
    batched, _ = vmap(both, count, mapped, False)
    return batched, out_active


def _block(primal: Any, tangents: Any, count: int) -> DualArray:
    """A primal and its tangents (None: they are zero) in one block."""
    xp = namespace_of(primal)
    shape = np.shape(primal)
    data = xp.empty((1 + count, *shape), primal.dtype)
    data[0] = primal
    data[1:] = 0 if tangents is None else tangents
    return DualArray.from_block(data)


__all__ = ["DualArray"]
