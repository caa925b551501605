"""The end of a traced function: its result may hold no Tracer that gpuad cannot see, and an error
that NumPy made of an error of gpuad is replaced by gpuad's own."""

import gc
from collections import deque
from collections.abc import Iterable
from itertools import islice
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    ModuleType,
)
from typing import Any

import numpy as np

from gpuad.errors import (
    ConversionError,
    EscapedTracerError,
    GpuadError,
    InPlaceError,
    UnknownValueError,
)
from gpuad.tracing.callers import instead_of_calling, raising_library
from gpuad.tracing.trace import Trace, value_in_open_trace
from gpuad.tracing.tracer import Tracer

_SIMPLE = (
    str, bytes, int, float, complex, type(None), type, np.generic, np.dtype, ModuleType, CodeType,
    FrameType, GetSetDescriptorType, BuiltinFunctionType, Trace,
)  # fmt: skip
"""What holds no traced array."""

_MOST_OBJECTS = 20_000
"""How many objects are examined in what a function returns; a large model has some thousands."""


def in_open_trace(x: Any) -> Any:
    """`x`; if it is a Tracer, as a Tracer of a trace that is open.

    Raises
    ------
    EscapedTracerError
        If its trace has ended.
    """
    if isinstance(x, Tracer) and not x._trace.open:
        return Tracer(*value_in_open_trace(*x._now()))
    return x


def check_holds_no_tracer(x: Any, name: str, trace: Trace) -> None:
    """Refuses an object in a result, called `name`, that holds a Tracer of `trace`, which ends now,
    or of a trace that has ended."""
    found = _held_tracer(x, trace)
    if found is not None:
        raise EscapedTracerError(
            f"{name} that {trace.name} returned is a {type(x).__name__} that holds a traced array "
            f"({found.aval}) of {found._trace.name!r}, and that transform ends here. Return the "
            "array itself, in tuples, lists or dicts, or register the class with optree in the "
            "namespace 'gpuad'; a function that needs it takes it as an argument."
        )


def _held_tracer(x: Any, trace: Trace) -> Tracer | None:
    """A Tracer of `trace`, or of a trace that has ended, that `x` holds at any depth."""
    waiting = deque([x])
    seen = {id(x): x}
    left = _MOST_OBJECTS
    while waiting and left > 0:
        y = waiting.popleft()
        if isinstance(y, Tracer):
            if y._trace is trace or not y._trace.open:
                return y
            continue
        for part in islice(_parts(y), left):
            left -= 1
            if not isinstance(part, _SIMPLE) and id(part) not in seen:
                seen[id(part)] = part
                waiting.append(part)
    return None


def _parts(x: Any) -> Iterable[Any]:
    """The objects that `x` holds; of a function those that it closes over, not its globals."""
    if isinstance(x, _SIMPLE):
        return ()
    if isinstance(x, np.ndarray):
        return x.ravel().tolist() if x.dtype.hasobject else ()
    if isinstance(x, FunctionType):
        return (x.__closure__, x.__defaults__, x.__kwdefaults__, x.__dict__)
    return gc.get_referents(x)


def raise_refusal(error: Exception, trace: Trace) -> None:
    """Raises gpuad's own error about a value that a library asked for, if the library raised
    `error` in its place."""
    if isinstance(error, GpuadError):
        _name_library(error, error.__traceback__)
        return
    if isinstance(error, ValueError) and "read-only" in str(error) and trace.read_only:
        raise InPlaceError(
            f"an array was about to be changed in place ({error}) while {trace.name!r} is traced. "
            "The recorded program reads the arrays that it uses when it runs, so large ones are "
            "read-only until then. Update a copy (x = x.copy()), or pass the array as an argument."
        ).with_traceback(error.__traceback__) from error
    refusal: Any = error.__cause__
    if not isinstance(refusal, ConversionError | UnknownValueError):
        refusal = trace.refused
    if refusal is not None and _raised_by_library(error, refusal):
        _name_library(refusal, error.__traceback__)
        raise refusal.with_traceback(error.__traceback__) from None


def _name_library(error: GpuadError, traceback: Any) -> None:
    """Notes which library function made the call that is refused, if the error does not say it."""
    library = raising_library(traceback)
    instead = instead_of_calling(library)
    if instead and library not in "".join([str(error), *getattr(error, "__notes__", ())]):
        error.add_note(f"{library} asked for it. {instead}.")


def _raised_by_library(error: Exception, refusal: GpuadError) -> bool:
    """Whether NumPy, or a function of another library, raised this error in place of `refusal`."""
    said = str(error)
    if said.startswith("setting an array element") or "'Tracer<" in said:
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    inside = last is not None and "site-packages" in last.tb_frame.f_code.co_filename
    return isinstance(refusal, ConversionError) and (inside or isinstance(error, SystemError))


__all__ = ["check_holds_no_tracer", "in_open_trace", "raise_refusal"]
