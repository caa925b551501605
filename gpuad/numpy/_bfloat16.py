"""Functions of bfloat16: recorded in float32, with results that are rounded to bfloat16.

NumPy knows bfloat16 from a library, `ml_dtypes`, which also says how ufuncs promote it. Other
functions keep it, unless an argument of another floating-point type stands beside it.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gpuad.errors import UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.ir.half import SINGLE, is_bfloat16
from gpuad.primitives import elementwise as ew
from gpuad.tracing import Tracer
from gpuad.tracing.operators import store
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

LIBRARY = "ml_dtypes"
"""What has been imported if there is any array of bfloat16."""


def is_among(values: Iterable[Any]) -> bool:
    """Whether any of the values is an array of bfloat16, or that dtype."""
    return LIBRARY in sys.modules and any(_dtype_of(x) is not None for x in values)


def _dtype_of(x: Any) -> np.dtype | None:
    dtype = x if isinstance(x, np.dtype) else getattr(x, "dtype", None)
    return dtype if isinstance(dtype, np.dtype) and is_bfloat16(dtype) else None


def in_single(name: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """A function called with float32 in place of bfloat16: its results in float32 as bfloat16. What
    it updates in place is updated."""
    if name == "nan_to_num" and not {"posinf", "neginf"} <= kwargs.keys():
        raise UnsupportedError(
            "nan_to_num: the largest bfloat16 is not known here, which infinities are to become; "
            "give posinf= and neginf=, such as 3.3e38, or convert with .astype(np.float32) first."
        )
    widening = _Widening()
    out = kwargs.pop("out", None)
    asked = kwargs.get("dtype")
    if asked is not None:
        asked = np.dtype(asked)
        kwargs["dtype"] = SINGLE if is_bfloat16(asked) else asked
    result = function(*widening.of(args), **widening.of(kwargs))
    widening.write_back()
    dtype = asked
    if asked is None and not widening.others:
        dtype = widening.dtype
    if dtype is not None and is_bfloat16(dtype):
        result = _narrowed(result, dtype)
    return result if out is None else store(result, out)


class _Widening:
    """Arguments in float32: `dtype` is bfloat16, if any was that, and `others` says whether any was
    of another floating-point or complex type."""

    def __init__(self) -> None:
        self.dtype: np.dtype | None = None
        self.others = False
        self._updatable: list[tuple[Tracer, Tracer, Any]] = []

    def of(self, x: Any) -> Any:
        if isinstance(x, dict):
            return {k: self.of(v) for k, v in x.items()}
        if isinstance(x, list | tuple):
            named = isinstance(x, tuple) and hasattr(x, "_fields")
            parts = [self.of(v) for v in x]
            return type(x)(*parts) if named else type(x)(parts)
        dtype = _dtype_of(x)
        if dtype is None:
            known = getattr(x, "dtype", None)
            weak = isinstance(x, Tracer) and x.aval.weak
            self.others |= isinstance(known, np.dtype) and known.kind in "fc" and not weak
            return x
        if isinstance(x, np.dtype):
            return SINGLE
        self.dtype = dtype
        if not isinstance(x, Tracer):
            return x.astype(SINGLE)
        wide = OPERATIONS["astype"](x, SINGLE)
        self._updatable.append((x, wide, wide._current_var()))
        return wide

    def write_back(self) -> None:
        """Updates the arguments whose float32 was updated."""
        for x, wide, before in self._updatable:
            if wide._current_var() is not before:
                store(wide, x)


def _narrowed(result: Any, dtype: np.dtype) -> Any:
    if isinstance(result, tuple | list):
        named = isinstance(result, tuple) and hasattr(result, "_fields")
        parts = [_narrowed(x, dtype) for x in result]
        return type(result)(*parts) if named else type(result)(parts)
    if isinstance(result, Tracer) and result.dtype == SINGLE:
        return apply(lambda v: ew.narrow(v, dtype=dtype), result)
    return result


class SingleLoop(tuple[np.dtype, ...]):
    """The dtypes of operands and results of a ufunc of which some are bfloat16."""

    def operands(self, values: Sequence[Atom], cast_to: Callable[..., Atom]) -> tuple[Atom, ...]:
        """The operands, in float32 where the ufunc has bfloat16."""
        found = []
        for x, d in zip(values, self, strict=False):
            if is_bfloat16(d):
                # A number is rounded to bfloat16 as NumPy rounds it.
                x = x if x.aval.shape or x.aval.dtype == d else cast_to(x, d)
                d = SINGLE
            found.append(cast_to(x, d))
        return tuple(found)

    def results(self, made: Any, nin: int) -> Any:
        """The results, as bfloat16 where the ufunc has that."""
        dtypes = self[nin:]
        if isinstance(made, tuple | list):
            return type(made)([self._result(x, d) for x, d in zip(made, dtypes, strict=True)])
        return self._result(made, dtypes[0])

    @staticmethod
    def _result(x: Atom, dtype: np.dtype) -> Atom:
        return ew.narrow(x, dtype=dtype) if is_bfloat16(dtype) else x


BY_PRECISION = ("nextafter", "spacing")
"""The ufuncs whose values depend on the precision of their operands."""


def loop(name: str, dtypes: tuple[np.dtype, ...]) -> tuple[np.dtype, ...]:
    """The loop of a ufunc; one with bfloat16 as a `SingleLoop`."""
    single = name not in BY_PRECISION and any(map(is_bfloat16, dtypes))
    return SingleLoop(dtypes) if single else dtypes
