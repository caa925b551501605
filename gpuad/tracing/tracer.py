"""The Tracer: what a function under a transform gets for an array.

It has the attributes and operators of an array (`ArrayLike`), and its value wherever that can be
known.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuad.errors import ConversionError, DTypeError, InPlaceError, UnknownValueError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Atom
from gpuad.ir.primitive import is_inexact
from gpuad.tracing.advice import (
    FOR_NUMBERS,
    FOR_SIZES,
    FOR_TEXT,
    MEANT,
    STORE,
    calling_library,
    instead_of,
    is_a_store,
)
from gpuad.tracing.operators import ArrayLike
from gpuad.tracing.registry import OPERATIONS
from gpuad.tracing.trace import FOR_BRANCHES, Trace, value_in_open_trace


class Tracer(ArrayLike):
    """A value of a function that is being recorded.

    Behaves as an array: attributes, operators, indexing, methods, NumPy functions, in-place
    updates. Python control flow on its value works wherever the value can be known (every
    transform but ``jit`` and ``vmap``).
    """

    __slots__ = ("_base", "_base_version", "_slice_of", "_trace", "_var", "_version")

    def __init__(self, trace: Trace, var: Atom):
        self._trace = trace
        self._var = var
        self._base: Tracer | None = None
        self._slice_of: tuple[Tracer, Any] | None = None
        self._base_version = 0
        self._version = 0

    # What it is

    @property
    def aval(self) -> Aval:
        return self._var.aval

    @property
    def shape(self) -> tuple[int, ...]:
        return self._var.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self._var.aval.dtype

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._var.aval.nbytes

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes; use x.size")
        return self.shape[0]

    def __iter__(self) -> Iterator["Tracer"]:
        if not self.shape:
            raise TypeError("iteration over an array without axes; use x itself")
        # One at a time: a row may be updated in place, and that updates the array.
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        return f"Tracer<{self._var.aval} of {self._trace.name!r}>"

    # Its value, where it can be known

    def _value(self, advice: str = FOR_BRANCHES) -> Any:
        trace, var = self._in_open_trace()
        return trace.value(var, advice)

    def _in_open_trace(self) -> tuple[Trace, Any]:
        return value_in_open_trace(self._trace, self._current_var())

    def _value_without_derivative(self, what: str) -> Any:
        """The value, for `what` (such as "float(x)"), whose result cannot have a derivative."""
        trace, var = self._in_open_trace()
        if trace.is_differentiated(var):
            raise self._refusal(
                f"{what} takes the value of a traced array ({self.aval}) and would lose its "
                f"derivative. {FOR_NUMBERS}; or take {MEANT}."
            )
        return self._value(FOR_NUMBERS)

    def _refusal(self, message: str) -> ConversionError:
        self._trace.refused = error = ConversionError(message)
        return error

    def __bool__(self) -> bool:
        return bool(self._value())

    def __int__(self) -> int:
        return int(self._value_without_derivative("int(x)"))

    def __index__(self) -> int:
        try:
            return self._size()
        except (DTypeError, UnknownValueError) as error:
            self._trace.refused = error
            raise

    def _size(self) -> int:
        if self.dtype.kind not in "iu" or self.shape:
            raise DTypeError(
                f"only an integer without axes can be an index or a size, not {self.aval}. "
                f"{FOR_SIZES}, or write int(ad.stop_gradient(x))."
            )
        return int(self._value(FOR_SIZES))

    def __float__(self) -> float:
        if is_a_store(sys._getframe(1)):
            self._check_store()
        return float(self._value_without_derivative("float(x)"))

    def _check_store(self) -> None:
        trace, var = self._in_open_trace()
        if not trace.knows(var):
            raise self._refusal(f"{STORE.format(aval=self.aval)}.")
        if trace.is_differentiated(var):
            raise self._refusal(f"{STORE.format(aval=self.aval)}; or store {MEANT}.")

    def __complex__(self) -> complex:
        return complex(self._value_without_derivative("complex(x)"))

    def item(self, *index: Any) -> Any:
        """The value, or one element of it, as a Python scalar; of what is not differentiated."""
        return self._value_without_derivative("x.item()").item(*index)

    def tolist(self) -> Any:
        """The values as nested lists; of what is not differentiated."""
        return self._value_without_derivative("x.tolist()").tolist()

    def __format__(self, spec: str) -> str:
        return format(self._value(FOR_TEXT), spec) if spec else repr(self)

    # Protocols

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        trace, var = self._in_open_trace()
        if not trace.is_differentiated(var) and trace.knows(var):
            return np.array(self._value(), dtype)
        where, instead = calling_library(sys._getframe(1))
        lost, meant = "which would lose its derivative", f"; or {MEANT}"
        if not is_inexact(self.dtype):
            lost, meant = "and its value is not known here", f". {FOR_SIZES}"
        raise self._refusal(
            f"a traced array ({self.aval}) was about to become a NumPy array{where}, {lost}. "
            f"{instead}Build arrays of traced values with np.stack([...]) or "
            "np.concatenate instead of np.array([...]); store into x = np.zeros_like(traced) or "
            "use gpuad.numpy.zeros, not into a plain NumPy array; index a plain array by a traced "
            "one with gpuad.numpy.take(a, i); take gpuad.external for code that needs plain "
            f"arrays{meant}."
        )

    def __copy__(self) -> "Tracer":
        return Tracer(self._trace, self._current_var())

    def __deepcopy__(self, memo: Any) -> "Tracer":
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ConversionError(
            f"a traced array ({self.aval}) cannot be pickled or sent to another process: it means "
            "nothing outside of the function that is being traced. Return it and pickle the result"
            ", or pickle np.asarray(ad.stop_gradient(x))."
        )

    # In-place updates: the Tracer gets a new value

    def _current_var(self) -> Atom:
        base = self._base
        if base is not None and base._version != self._base_version:
            raise InPlaceError(
                "a view of a traced array is used after the array was updated in place through "
                "another name. Take the view again after the update, or update x.copy()."
            )
        return self._var

    def _rebind(self, new: "Tracer") -> "Tracer":
        trace, var = new._trace, new._current_var()
        if self._base is None:
            self._version += 1
        else:
            self._write_through(Tracer(trace, var))
            self._base_version = self._base._version
        self._trace, self._var = trace, var
        return self

    def _store(self, result: Any) -> "Tracer":
        if not isinstance(result, Tracer):
            result = Tracer(self._trace, self._trace.capture(np.asarray(result)))
        if self.shape != result.shape:
            raise InPlaceError(
                f"a result of shape {result.shape} cannot be stored in an array of shape "
                f"{self.shape} (out=, or an operator such as x += y). Write x = x + y, or give an "
                "out of the shape of the result."
            )
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise InPlaceError(
                f"cannot store a result of dtype {result.dtype} in an array of dtype {self.dtype}; "
                f"convert the array first with .astype({result.dtype})."
            )
        return self._rebind(OPERATIONS["astype"](result, self.dtype))

    def _write_through(self, new: "Tracer") -> None:
        """Updates the array that this is a slice of, as NumPy would by updating the slice."""
        self._current_var()
        if self._slice_of is None:
            raise InPlaceError(
                "in-place update of a view of a traced array that is not a slice of it (a "
                "transposed, reshaped or broadcast array). Update the array itself "
                "(x[:, i] = v instead of x.T[i] = v), or a copy: x.T.copy()."
            )
        source, key = self._slice_of
        source._rebind(OPERATIONS["_setitem"](source, key, new))

    def _mark_view_of(self, base: "Tracer", key: Any = None) -> "Tracer":
        """Notes that this would be a view of `base` in NumPy: ``base[key]``, if a key is given."""
        root = base if base._base is None else base._base
        if root is not self and self.shape:
            self._base, self._base_version = root, root._version
            self._slice_of = None if key is None else (base, key)
        return self

    def _is_slice(self, source: "Tracer", key: Any) -> bool:
        """Whether this is the current ``source[key]``, so that storing it there changes nothing.

        This is the case in the last step of ``x[key] += v``, which Python runs as ``t = x[key];
        t += v; x[key] = t``.
        """
        base = self._base
        if self._slice_of is None or base is None or base._version != self._base_version:
            return False
        mine, my_key = self._slice_of
        # Since Python 3.12 the last step of x[a:b] += v has a new slice object.
        same = my_key == key if type(my_key) is slice is type(key) else my_key is key
        return mine is source and same

    def __setitem__(self, key: Any, value: Any) -> None:
        if not (isinstance(value, Tracer) and value._is_slice(self, key)):
            self._rebind(OPERATIONS["_setitem"](self, key, value))

    def __getitem__(self, key: Any) -> "Tracer":
        return OPERATIONS["_getitem"](self, key)

    @property
    def at(self) -> Any:
        """Updates that return a new array: ``x.at[key].set(v)``, add, mul, min and max."""
        return OPERATIONS["_places"](self)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a traced array has no attribute {name!r}. {instead_of(name)}")
