"""NumPy-style elementwise functions, which are ufuncs to their callers.

A function promotes dtypes as a ufunc does, broadcasts, and has `reduce`, `accumulate`, `reduceat`
and `outer` where gpuad has the function that these are.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom, Literal
from gpuad.numpy import _bfloat16
from gpuad.numpy._dispatch import aval_of, broadcast_together, cast_to, concrete, stacked
from gpuad.tracing.operators import store, updatable
from gpuad.tracing.record import apply, innermost
from gpuad.tracing.registry import CUPY, NUMPY, OPERATIONS


class Elementwise:
    """A NumPy-style elementwise function over a primitive (or a function of Vars).

    Promotes dtypes as the NumPy ufunc `like` does, broadcasts, and records.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        like: Any,
        doc: str = "",
        reduce: str | None = None,
        accumulate: str | None = None,
    ):
        self.__name__ = self.__qualname__ = name.rpartition(".")[2]
        self.__doc__ = doc
        self._public = name
        self._function = function
        self._like = like
        self._reduce = reduce
        self._accumulate = accumulate
        self._loops: dict[Any, tuple[np.dtype, ...]] = {}
        self.__signature__ = _signature(like.nin)

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, **kwargs: Any) -> Any:
        for x in args:
            ours = getattr(type(x), "_gpuad_function", None)
            if ours is not None:
                return ours(self, self.__name__, args, {"dtype": dtype} if dtype else {})
            if isinstance(x, list | tuple):
                args = tuple(map(stacked, args))
                break
        nin = self._like.nin
        if out is None and len(args) > nin:
            args, out = args[:nin], args[nin]
        trace = innermost(args)
        if trace is None:
            given = {"out": out, "dtype": dtype}
            kwargs.update({k: v for k, v in given.items() if v is not None})
            return concrete(self._record, self._public, args, kwargs)
        where = kwargs.pop("where", True)
        if where is not True and out is None:
            raise UnsupportedError(
                f"{self.__name__}(where=...) without out= leaves elements undefined and cannot be "
                "recorded; write np.where(mask, f(x), y), or give out=."
            )
        if kwargs:
            self._check_options(kwargs)
        result = self._record(*args, dtype=dtype, casting=kwargs.get("casting"), trace=trace)
        if out is None:
            return result
        (target,) = out if isinstance(out, tuple) else (out,)
        if where is not True:
            result = OPERATIONS["where"](where, result, updatable(target))
        return store(result, target, broadcast=True)

    def _check_options(self, options: dict[str, Any]) -> None:
        """Refuses the options of a NumPy ufunc that cannot be recorded, or that do not exist."""
        unknown = set(options) - {"casting", "order", "subok"}
        if unknown or options.get("order", "K") != "K":
            names = ", ".join(sorted(unknown or {"order"}))
            raise UnsupportedError(
                f"{self.__name__} of a traced array takes out=, where=, dtype= and casting=, not "
                f"{names}=; "
                "leave it out."
            )

    def _record(self, *args: Any, dtype: Any = None, casting: Any = None, trace: Any = None) -> Any:
        if len(args) != self._like.nin:
            raise ArgumentError(f"{self.__name__} takes {self._like.nin} arrays, got {len(args)}")
        if dtype is None and casting is None:
            return apply(self._on_vars, *args, trace=trace)
        on_vars = functools.partial(self._on_vars, dtype=dtype, casting=casting)
        return apply(on_vars, *args, trace=trace)

    def _on_vars(self, *operands: Atom, dtype: Any = None, casting: Any = None) -> Any:
        key = (*[dtype_key(x) for x in operands], dtype, casting)
        loop = self._loops.get(key)
        if loop is None:
            loop = self._loops[key] = self._loop(key[:-2], dtype, casting)
        if type(loop) is _bfloat16.SingleLoop:
            wide = loop.operands(operands, cast_to)
            made = self._function(*broadcast_together(wide, self.__name__))
            return loop.results(made, self._like.nin)
        operands = tuple(
            [
                x if x.aval.dtype == d else cast_to(x, d)
                for x, d in zip(operands, loop, strict=False)
            ]
        )
        return self._function(*broadcast_together(operands, self.__name__))

    def _loop(self, keys: tuple[Any, ...], dtype: Any, casting: Any) -> tuple[np.dtype, ...]:
        strong = any(isinstance(k, np.dtype) for k in keys)
        dtypes = [k if strong and not _is_bool(k) else np.result_type(k) for k in keys]
        ufunc = self._like
        options = {} if casting is None else {"casting": casting}
        if dtype is not None:
            options["signature"] = (*[None] * ufunc.nin, *[np.dtype(dtype)] * ufunc.nout)
        try:
            found = ufunc.resolve_dtypes((*dtypes, *[None] * ufunc.nout), **options)
            return _bfloat16.loop(self.__name__, found)
        except TypeError as error:
            raise UnsupportedError(
                f"{self.__name__} has no rule for dtypes {', '.join(map(str, dtypes))}; "
                "convert with .astype(float) first."
            ) from error

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None,
               keepdims: bool = False, where: Any = True, **kwargs: Any) -> Any:  # fmt: skip
        """``ufunc.reduce``, where there is a reduction of that kind."""
        if self._reduce is None or (where is not True and self._reduce == "logsumexp"):
            raise UnsupportedError(
                f"{self.__name__}.reduce cannot be recorded; write the reduction with "
                "gpuad.numpy.sum, prod, max, min, all, any or logsumexp."
            )
        array = _one_array(array)
        kwargs.update({} if dtype is None else {"dtype": dtype})
        kwargs.update({} if where is True else {"where": where})
        result = OPERATIONS[self._reduce](array, axis=axis, keepdims=keepdims, **kwargs)
        return result if out is None else store(result, out)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """``ufunc.accumulate``, where there is a cumulative operation of that kind."""
        if self._accumulate is None:
            raise UnsupportedError(
                f"{self.__name__}.accumulate cannot be recorded; write it with gpuad.numpy.cumsum, "
                "cumprod, cummax or cummin."
            )
        extra = {} if dtype is None else {"dtype": dtype}
        result = OPERATIONS[self._accumulate](_one_array(array), axis=axis, **extra)
        return result if out is None else store(result, out)

    def reduceat(self, array: Any, indices: Any, axis: int = 0, dtype: Any = None,
                 out: Any = None) -> Any:  # fmt: skip
        """``ufunc.reduceat``: the reduction of each of the pieces that begin at known indices."""
        result = OPERATIONS["_reduceat"](self.__name__, _one_array(array), indices, axis, dtype)
        return result if out is None else store(result, out)

    def outer(self, x: Any, y: Any, **kwargs: Any) -> Any:
        """``ufunc.outer``: the function of every pair of elements."""
        x, y = _one_array(x), _one_array(y)
        shape = (*aval_of(x).shape, *(1,) * aval_of(y).ndim)
        return self(OPERATIONS["reshape"](x, shape), y, **kwargs)

    def __repr__(self) -> str:
        return f"<gpuad.{'' if '.' in self._public else 'numpy.'}{self._public}>"


def _signature(count: int) -> inspect.Signature:
    """The arguments of an elementwise function, for ``help`` and for `inspect`."""
    names = ["x"] if count == 1 else [f"x{i + 1}" for i in range(count)]
    p = inspect.Parameter
    options = {"where": True, "casting": "same_kind", "order": "K", "dtype": None}
    return inspect.Signature([
        *[p(n, p.POSITIONAL_ONLY) for n in names],
        p("out", p.POSITIONAL_OR_KEYWORD, default=None),
        *[p(n, p.KEYWORD_ONLY, default=v) for n, v in options.items()],
    ])  # fmt: skip


def elementwise(
    name: str,
    function: Callable[..., Any],
    like: Any,
    *numpy_functions: Any,
    doc: str,
    reduce: str | None = None,
    accumulate: str | None = None,
    cupy: str | None = None,
) -> Elementwise:
    """Declares an elementwise function of the namespace and registers it for NumPy's functions
    and a CuPy kernel."""
    result = Elementwise(name, function, like, doc, reduce, accumulate)
    OPERATIONS[name] = result
    for f in numpy_functions:
        NUMPY[f] = result
    if cupy:
        CUPY[cupy] = result
    return result


def dtype_key(x: Atom) -> Any:
    """What stands for `x` where NumPy promotes dtypes: a Python type for a Python number."""
    if type(x) is Literal or x.aval.weak:
        return {"b": bool, "i": int, "u": int, "f": float, "c": complex, "V": float}[
            x.aval.dtype.kind
        ]
    return x.aval.dtype


def _is_bool(key: Any) -> bool:
    return key is bool


def _one_array(x: Any) -> Any:
    """A list as an array."""
    x = stacked(x)
    return np.asarray(x) if isinstance(x, list | tuple) else x
