"""The Tracer: what a function under a transform gets for an array.

It has the attributes and operators of an array (`ArrayLike`), and its value wherever that can be
known.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, ConversionError, DTypeError, InPlaceError, UnknownValueError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Atom
from gpuad.ir.primitive import is_inexact
from gpuad.tracing.advice import (
    FOR_ARRAYS,
    FOR_LISTS,
    FOR_NUMBERS,
    FOR_SIZES,
    FOR_TEXT,
    MEANT,
    STORE,
    dtype_text,
    instead_of,
    is_a_store,
)
from gpuad.tracing.arrays import cupy_module
from gpuad.tracing.asking import instead_where
from gpuad.tracing.callers import calling_library, instead_of_calling
from gpuad.tracing.operators import ArrayLike
from gpuad.tracing.registry import OPERATIONS
from gpuad.tracing.trace import FOR_BRANCHES, Trace, value_in_open_trace
from gpuad.tracing.views import FRESH, LAYOUT_UNKNOWN, READ_ONLY, ROWS, View, is_view


class Tracer(ArrayLike):
    """A value of a function that is being recorded.

    Behaves as an array: attributes, operators, indexing, methods, NumPy functions, in-place
    updates. Python control flow on its value works wherever the value can be known (every
    transform but ``jit`` and ``vmap``).
    """

    __slots__ = ("_layout", "_trace", "_var", "_version", "_view")

    def __init__(self, trace: Trace, var: Atom, layout: str = FRESH):
        self._trace = trace
        self._var = var
        self._layout = layout
        self._version = 0
        self._view: View | None = None

    # What it is

    @property
    def aval(self) -> Aval:
        return self._var.aval

    @property
    def shape(self) -> tuple[int, ...]:
        return self._var.aval.shape

    @shape.setter
    def shape(self, new: Any) -> None:
        raise AttributeError(
            f"the shape of a traced array cannot be set; write x = x.reshape({new})."
        )

    @property
    def dtype(self) -> np.dtype:
        return self._var.aval.dtype

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._var.aval.nbytes

    @property
    def device(self) -> str:
        """The device that it is on: "cpu", where no other can be (CuPy is not imported)."""
        if cupy_module() is None:
            return "cpu"
        raise AttributeError("__getattr__ says what to write")

    def to_device(self, device: Any, /, *, stream: Any = None) -> "Tracer":
        """The array itself, which must be there already: nothing is moved inside a transform."""
        if stream is not None or device != self.device:
            raise ArgumentError(
                f"to_device({device!r}): a traced array cannot be moved; move the arguments of the "
                "transform before it."
            )
        return self

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
        return value_in_open_trace(*self._now())

    def _value_without_derivative(self, what: str) -> Any:
        """The value, for `what` (such as "float(x)"), whose result cannot have a derivative."""
        trace, var = self._in_open_trace()
        if trace.is_differentiated(var):
            library = calling_library(sys._getframe(1))
            instead = instead_of_calling(library) or FOR_NUMBERS
            raise self._refusal(
                f"{what}{f' in {library}' * bool(library)} takes the value of a traced array "
                f"({self.aval}) and would lose its derivative. {instead}; or take {MEANT}."
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
        frame = sys._getframe(1)
        library = calling_library(frame)
        where = f" in {library}" * bool(library)
        instead = instead_of_calling(library) or instead_where(frame, self.dtype.kind)
        lost, meant = "which would lose its derivative", f" Take {MEANT}."
        if not is_inexact(self.dtype):
            lost, meant = "and its value is not known here", "" if instead else f" {FOR_SIZES}."
        list_of = trace.list_with(var)
        if list_of:
            instead = ". ".join(filter(None, [instead, FOR_LISTS.format(name=list_of)]))
        raise self._refusal(
            f"a traced array ({self.aval}) was about to become a NumPy array{where}, {lost}. "
            f"{instead or FOR_ARRAYS}.{meant}"
        )

    def __hash__(self) -> int:  # type: ignore[override]
        raise TypeError(
            f"a traced array ({self.aval}) cannot be hashed, as NumPy's arrays cannot: it is no "
            "key of a dict, no member of a set, and no argument of a cached function. Take its "
            "position, or float(ad.stop_gradient(x)) where its value can be known."
        )

    def __copy__(self) -> "Tracer":
        return self._apart()

    def __deepcopy__(self, memo: Any) -> "Tracer":
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ConversionError(
            f"a traced array ({self.aval}) cannot be pickled or sent to another process: it means "
            "nothing outside of the function that is being traced. Return it and pickle the result"
            ", or pickle np.asarray(ad.stop_gradient(x))."
        )

    # In-place updates: the Tracer gets a new value, and its views take theirs from it

    def _current_var(self) -> Atom:
        view = self._view
        if view is not None and view.version != view.root._version:
            self._take_again(view)
        return self._var

    def _now(self) -> tuple[Trace, Atom]:
        """The trace and the value in it."""
        var = self._current_var()
        return self._trace, var

    def _take_again(self, view: View) -> None:
        """The value of a view whose source has been updated."""
        if not view.known:
            raise InPlaceError(
                "an array is used after its source was updated in place, and "
                + LAYOUT_UNKNOWN.format(name=view.name)
            )
        again = OPERATIONS["_view_again"](view)
        self._trace, self._var = again._trace, again._var
        view.version = view.root._version

    def _rebind(self, new: "Tracer") -> "Tracer":
        trace, var = new._now()
        view = self._view
        if view is None:
            self._version += 1
        else:
            self._write_through(view, Tracer(trace, var))
            view.version = view.root._version
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
                f"convert the array first with .astype({dtype_text(result.dtype)})."
            )
        return self._rebind(OPERATIONS["astype"](result, self.dtype))

    def _write_through(self, view: View, new: "Tracer") -> None:
        """Updates the array that this is a view of, as NumPy would by updating the view."""
        if not view.known:
            raise InPlaceError(f"in-place update: {LAYOUT_UNKNOWN.format(name=view.name)}")
        if view.name in READ_ONLY:
            how = " (x[i, i] = v, np.fill_diagonal)" * (view.name == "diagonal")
            raise InPlaceError(
                f"in-place update of a view that {view.name} gives: NumPy's is read-only. Update "
                f"the array itself{how}, or a copy of the view."
            )
        view.source._rebind(OPERATIONS["_view_back"](view, new))

    def _mark_view_of(self, source: "Tracer", key: Any) -> "Tracer":
        """Notes that this is ``source[key]``, and a view of it in NumPy."""
        if self.shape:
            self._view = View(source, key)
        return self

    def _mark_result(self, source: "Tracer", name: str, call: Any, rest: Any, options: Any) -> None:
        """Notes that this is the view ``call(source, *rest, **options)``, if NumPy gives a view."""
        self._view = None
        if not self.shape:
            return
        view = View(source, None, name)
        view.function, view.rest, view.options = call, rest, options
        found = is_view(view, self.shape)
        if found is not False:
            view.known = bool(found)
            self._view = view
        elif view.order == "C":
            self._layout = ROWS

    def _apart(self) -> "Tracer":
        """The value that it has now: no view, and no part in later updates."""
        return Tracer(*self._now())

    def _is_slice(self, source: "Tracer", key: Any) -> bool:
        """Whether this is the current ``source[key]``, so that storing it there changes nothing.

        This is the case in the last step of ``x[key] += v``, which Python runs as ``t = x[key];
        t += v; x[key] = t``.
        """
        view = self._view
        if view is None or view.key is None or view.version != view.root._version:
            return False
        mine = view.key
        # Since Python 3.12 the last step of x[a:b] += v has a new slice object.
        same = mine == key if type(mine) is slice is type(key) else mine is key
        return view.source is source and same

    def __setitem__(self, key: Any, value: Any) -> None:
        if not (isinstance(value, Tracer) and value._is_slice(self, key)):
            self._rebind(OPERATIONS["_setitem"](self, key, value))

    def __getitem__(self, key: Any) -> "Tracer":
        return OPERATIONS["_getitem"](self, key)

    @property
    def flat(self) -> Any:
        """The elements in their order: ``x.flat[i]``, and ``x.flat[i] = v`` to change them."""
        return OPERATIONS["_flat"](self)

    @flat.setter
    def flat(self, value: Any) -> None:
        OPERATIONS["_flat"](self)[:] = value

    @property
    def at(self) -> Any:
        """Updates that return a new array: ``x.at[key].set(v)``, add, mul, min and max."""
        return OPERATIONS["_places"](self)

    def __getattr__(self, name: str) -> Any:
        library = "" if name.startswith("__") else calling_library(sys._getframe(1))
        instead = instead_of_calling(library)
        where, instead = (f", in {library}", f"{instead}.") if instead else ("", instead_of(name))
        raise AttributeError(f"a traced array has no attribute {name!r}{where}. {instead}")
