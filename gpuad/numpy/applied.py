"""Functions of the user's applied to lines, axes, elements and pieces of an array."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.api.batching import vmap
from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy._arguments import alias, shape_of
from gpuad.numpy._dispatch import implements, leaves_of, normalize_axis, stacked
from gpuad.tracing import Tracer, innermost, namespace_of
from gpuad.tracing.registry import OPERATIONS


def _of_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, its results as arrays."""
    asarray = OPERATIONS["asarray"]

    def call(*args: Any) -> Any:
        result = function(*args)
        return tuple(map(asarray, result)) if isinstance(result, tuple) else asarray(result)

    return call


@implements(np.apply_along_axis)
def apply_along_axis(
    func1d: Callable[..., Any], axis: Any, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    """`func1d` of each line of `arr` along an axis, as `numpy.apply_along_axis`.

    The function is recorded once, for all lines together, as by `gpuad.vmap`: it cannot ask for
    values.
    """
    shape = shape_of(arr)
    axis = normalize_axis(axis, len(shape), "apply_along_axis")
    lead = (*shape[:axis], *shape[axis + 1 :])
    if 0 in lead:
        raise ArgumentError("apply_along_axis: there are no lines; give an array that has some.")
    lines = OPERATIONS["reshape"](OPERATIONS["moveaxis"](arr, axis, -1), (-1, shape[axis]))
    found = vmap(_of_arrays(lambda line: func1d(line, *args, **kwargs)))(lines)
    found = OPERATIONS["reshape"](found, (*lead, *shape_of(found)[1:]))
    new = len(shape_of(found)) - len(lead)
    return OPERATIONS["moveaxis"](
        found, tuple(range(len(lead), len(lead) + new)), tuple(range(axis, axis + new))
    )


@implements(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """``func(a, axis)`` for one axis after the other; axes that it removes are kept as ones."""
    ndim = len(shape_of(a))
    for axis in np.atleast_1d(axes).tolist():
        axis = normalize_axis(axis, ndim, "apply_over_axes")
        found = func(a, axis)
        missing = ndim - len(shape_of(found))
        if missing not in (0, 1):
            raise ArgumentError(
                f"apply_over_axes: the function returned shape {shape_of(found)} for an array of "
                f"{ndim} axes; let it keep the axes, or remove the one that it is given."
            )
        a = OPERATIONS["expand_dims"](found, axis) if missing else found
    return a


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Functions, or values, of the elements for which conditions hold, as `numpy.piecewise`.

    Each function gets the elements of its condition. Under `jit` and `vmap` it may be made of
    elementwise functions and reductions, as for every ``x[mask]``.
    """
    conditions = _conditions(condlist, shape_of(x))
    if len(conditions) == len(funclist) - 1:
        covered = conditions[0]
        for c in conditions[1:]:
            covered = OPERATIONS["logical_or"](covered, c)
        conditions.append(OPERATIONS["logical_not"](covered))
    if len(conditions) != len(funclist):
        raise ArgumentError(
            f"piecewise: {len(conditions)} conditions and {len(funclist)} functions; give as many "
            "functions, or one more for all other elements."
        )
    shape = shape_of(x)
    flat = OPERATIONS["reshape"](x, (-1,)) if not shape else x
    y = OPERATIONS["zeros_like"](flat)
    for condition, function in zip(conditions, funclist, strict=True):
        mask = OPERATIONS["reshape"](condition, shape_of(flat))
        y[mask] = function(flat[mask], *args, **kw) if callable(function) else function
    return OPERATIONS["reshape"](y, shape)


def _conditions(given: Any, shape: tuple[int, ...]) -> list[Any]:
    """The conditions, booleans of the shape of the array; a single one need not be in a list."""
    found = stacked(given)
    if isinstance(found, Tracer):
        found = OPERATIONS["astype"](found, bool)
    else:
        found = namespace_of(found).asarray(found, dtype=bool)
    found = found if found.ndim > len(shape) else found[None]
    return [found[i] for i in range(found.shape[0])]


# vectorize

_SIGNATURE = re.compile(r"\(([^()]*)\)")


class vectorize:  # noqa: N801  NumPy's name
    """A function of elements as one of arrays, as `numpy.vectorize`.

    With traced arguments the function is recorded once, as by `gpuad.vmap`: it cannot ask for
    values. With plain ones it is NumPy's. Arguments are those of `numpy.vectorize`; traced results
    have the dtypes that the function gives, or `otypes`.

    Examples
    --------
    >>> import numpy as np, gpuad as ad, gpuad.numpy as gnp
    >>> f = gnp.vectorize(lambda x, y: x * np.sin(y))
    >>> ad.grad(lambda x: f(x, [[0.0], [1.0]]).sum())(np.ones(2)).round(4)
    array([0.8415, 0.8415])
    """

    def __init__(self, pyfunc: Any = np._NoValue, otypes: Any = None, doc: Any = None,
                 excluded: Any = None, cache: bool = False, signature: Any = None):  # fmt: skip
        self._options = {
            "otypes": otypes, "doc": doc, "excluded": excluded, "cache": cache,
            "signature": signature,
        }  # fmt: skip
        self.pyfunc = pyfunc
        self.excluded = set(excluded or ())
        self.signature = signature
        self.otypes = otypes
        self.__name__ = getattr(pyfunc, "__name__", "vectorize")
        self.__doc__ = doc or getattr(pyfunc, "__doc__", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.pyfunc is np._NoValue:  # used as a decorator with arguments
            return vectorize(*args, **self._options)
        if innermost(leaves_of((*args, *kwargs.values()))) is None:
            return np.vectorize(self.pyfunc, **self._options)(*args, **kwargs)
        mapped = [i for i in range(len(args)) if i not in self.excluded]
        named = [k for k in kwargs if k not in self.excluded]
        if named and self.signature is not None:
            raise UnsupportedError(
                f"vectorize: {', '.join(named)} by name beside a signature; give it by position."
            )
        values = [stacked(x) for x in (*[args[i] for i in mapped], *[kwargs[k] for k in named])]
        values = [x if hasattr(x, "dtype") else np.asarray(x) for x in values]

        def function(*elements: Any) -> Any:
            given = list(args)
            for i, x in zip(mapped, elements, strict=False):
                given[i] = x
            others = dict(zip(named, elements[len(mapped) :], strict=True))
            return self.pyfunc(*given, **{**kwargs, **others})

        return self._in_dtypes(_of_all(function, values, self._core_axes(len(values))))

    def _core_axes(self, count: int) -> list[int]:
        """How many axes of each argument the function takes."""
        if self.signature is None:
            return [0] * count
        before, _, _ = self.signature.partition("->")
        names = [part.strip() for part in _SIGNATURE.findall(before)]
        if len(names) != count:
            raise ArgumentError(
                f"vectorize: the signature {self.signature!r} has {len(names)} arguments, and "
                f"{count} are given."
            )
        return [len(part.split(",")) if part else 0 for part in names]

    def _in_dtypes(self, result: Any) -> Any:
        if self.otypes is None:
            return result
        if isinstance(result, tuple):
            return tuple([OPERATIONS["astype"](x, np.dtype(t))
                          for x, t in zip(result, self.otypes, strict=True)])  # fmt: skip
        return OPERATIONS["astype"](result, np.dtype(self.otypes[0]))


def _of_all(function: Callable[..., Any], values: Sequence[Any], core: Sequence[int]) -> Any:
    """`function` for all elements, or core arrays, of the values broadcast together."""
    shapes = [shape_of(x) for x in values]
    loops = [s[: len(s) - n] for s, n in zip(shapes, core, strict=True)]
    loop = np.broadcast_shapes(*loops)
    size = int(np.prod(loop))
    if not size:
        raise ArgumentError("vectorize: there are no elements; give arrays that have some.")
    rows = []
    for x, shape, own in zip(values, shapes, loops, strict=True):
        inner = shape[len(own) :]
        whole = OPERATIONS["broadcast_to"](x, (*loop, *inner))
        rows.append(OPERATIONS["reshape"](whole, (size, *inner)))
    found = vmap(_of_arrays(function))(*rows)

    def shaped(x: Any) -> Any:
        return OPERATIONS["reshape"](x, (*loop, *shape_of(x)[1:]))

    return tuple(map(shaped, found)) if isinstance(found, tuple) else shaped(found)


alias("vectorize", vectorize)

__all__ = ["apply_along_axis", "apply_over_axes", "piecewise", "vectorize"]
