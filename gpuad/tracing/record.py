"""Recording: operations on Tracers become equations of the innermost trace among them."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gpuad.errors import IntegerRangeError, UnsupportedError
from gpuad.ir.graph import Atom, Literal, Where
from gpuad.ir.recorder import _current
from gpuad.tracing.arrays import LARGEST, is_array, is_number, number_dtype
from gpuad.tracing.trace import (
    Outer,
    Trace,
    innermost_open,
    recording_trace,
    value_in_open_trace,
)
from gpuad.tracing.tracer import Tracer

_INTERNAL = tuple([f"{module.__path__[0]}{os.sep}" for module in (sys.modules["gpuad"], np)])
"""How the names of gpuad's and NumPy's own files begin."""
_places: dict[tuple[Any, int], Where] = {}


def user_place() -> Where | None:
    """The innermost line that is neither gpuad's nor NumPy's."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_INTERNAL):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return None
    code, line = frame.f_code, frame.f_lineno
    place = _places.get((code, line))
    if place is None:
        place = _places[code, line] = Where(code.co_filename, line, code.co_name)
    return place


def innermost(values: Iterable[Any]) -> Trace | None:
    """The trace that an operation on these values is recorded in; None if none is a Tracer."""
    deepest: Trace | None = None
    for x in values:
        trace = getattr(x, "_trace", None)
        if trace is not None:
            view = x._view
            if view is not None and view.version != view.root._version:
                trace, _ = x._now()
            if not trace.open:
                trace, _ = value_in_open_trace(trace, x._var)
            if deepest is None or trace.depth > deepest.depth:
                deepest = trace
    return recording_trace(deepest)


def as_tracers(values: Iterable[Any]) -> list[Any]:
    """The values, those of outer traces as Tracers."""
    return [Tracer(x.trace, x.var) if type(x) is Outer else x for x in values]


def lift(trace: Trace, x: Any) -> Atom:
    """A Tracer, concrete array or Python scalar as a value of `trace`."""
    if getattr(x, "_trace", None) is not None:
        return trace.resolve(*x._now())
    if is_number(x):
        return Literal(number_dtype(x).type(x))
    if is_array(x):
        return trace.capture(x)
    if isinstance(x, list | tuple):
        return trace.capture(np.asarray(x))
    raise UnsupportedError(
        f"a traced function used a {type(x).__name__} ({x!r:.60}) as an array. "
        "Pass NumPy or CuPy arrays, numbers, or pytrees of them."
    )


def _large_as_floats(args: Sequence[Any]) -> list[Any]:
    """Integers of more than 64 bits as floats, which they are for NumPy beside arrays of floats."""
    kinds = {x.dtype.kind for x in args if hasattr(x, "dtype")}
    if kinds.isdisjoint("fc") and not any(isinstance(x, float | complex) for x in args):
        return [*args]
    return [float(x) if type(x) is int and 1 << 63 <= abs(x) <= LARGEST else x for x in args]


class _Recording:
    """`ir.recorder.building` for a Trace, as a class: it is entered for each operation, where a
    generator costs more."""

    __slots__ = ("_builder", "_trace")

    def __init__(self, trace: Trace):
        self._trace = trace

    def __enter__(self) -> None:
        self._builder, _current.builder = _current.builder, self._trace

    def __exit__(self, *exception: Any) -> None:
        _current.builder = self._builder


def apply(function: Callable[..., Any], *args: Any, trace: Trace | None = None) -> Any:
    """`function` of Vars, applied to Tracers, arrays and scalars: its results as Tracers.

    Without a Tracer among the arguments (another argument of the caller is the traced one) it is
    recorded in the innermost trace.
    """
    trace = trace or innermost(args) or innermost_open()
    assert trace is not None, "apply needs a Tracer among its arguments, or an open trace"
    try:
        operands = [lift(trace, x) for x in args]
    except IntegerRangeError:
        operands = [lift(trace, x) for x in _large_as_floats(args)]
    trace.where = user_place()
    with _Recording(trace):
        result = function(*operands)
    if isinstance(result, tuple | list):
        return type(result)([Tracer(trace, v) for v in result])
    return Tracer(trace, result)
