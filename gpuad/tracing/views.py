"""What a traced array is a view of: whose updates it shares, as NumPy's views do."""

from collections.abc import Callable
from typing import Any

import numpy as np

FRESH, GIVEN, ROWS = "fresh", "given", "rows"
"""What is known of the memory layout that an array has in NumPy: nothing is in between its elements
(a result), nothing at all (an argument), or that they lie row by row ("C")."""

READ_ONLY = ("diagonal", "broadcast_to", "sliding_window_view")
"""Functions whose views NumPy refuses to write to."""

_OF_DENSE = ("ravel", "ascontiguousarray", "asfortranarray")
"""Functions that copy what does not lie without gaps in their order."""
_BY_LAYOUT = ("reshape", *_OF_DENSE)
"""Functions that give a view or a copy, by the memory layout."""

LAYOUT_UNKNOWN = (
    "whether NumPy's {name} of this array is a view of it or a copy depends on its memory layout, "
    "which is not known here. Write x = x.copy() before, or make x by np.zeros_like(x, order='C'): "
    "of that it is a view. Or copy the result, {name}(...).copy(), if it is to stay apart."
)


class View:
    """How a traced array is made from its source: ``source[key]``, or by a function.

    Attributes
    ----------
    source
        The traced array that it is a view of, maybe itself a view.
    root
        The one that is none, at the end of these.
    version
        How often the root had been updated when the value of the view was computed.
    key
        The key, of a slice.
    name, function, rest, options
        Else the name of the function of gpuad.numpy, the function, and its arguments after the
        source.
    known
        False if it may be a copy: NumPy decides by a memory layout that is not known.
    """

    __slots__ = (
        "function", "key", "known", "name", "options", "rest", "root", "source", "version",
    )  # fmt: skip

    def __init__(self, source: Any, key: Any, name: str = ""):
        above = source._view
        self.source = source
        self.root = source if above is None else above.root
        self.version = self.root._version
        self.key = key
        self.name = name
        self.function: Callable[..., Any] | None = None
        self.rest: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}
        self.known = True

    @property
    def order(self) -> str:
        """The order of elements that a reshape was asked for."""
        last = self.rest[-1] if self.rest and isinstance(self.rest[-1], str) else "C"
        return str(self.options.get("order", last))


def stand_in(x: Any) -> Any:
    """An array without memory of its own that has the shape and the strides that `x` has in NumPy;
    None if these are not known."""
    view = x._view
    if view is not None:
        return _viewed(view, x.shape)
    known = x._layout == ROWS or (x._layout == FRESH and sum([n > 1 for n in x.shape]) < 2)
    if not known and x.size:
        return None
    steps = [x.dtype.itemsize * int(np.prod(x.shape[i + 1 :])) for i in range(x.ndim)]
    return np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), x.shape, steps)


def _viewed(view: View, shape: tuple[int, ...]) -> Any:
    source = stand_in(view.source)
    if source is None or not view.known:
        return None
    if view.key is not None:
        return source[view.key]
    if view.name in _BY_LAYOUT:
        return reshaped(source, shape, view)
    return by_numpy(view, source, shape)


def by_numpy(view: View, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What NumPy's function of the name makes of an array in the place of the source; `shape` is
    that of the view."""
    if view.name == "broadcast_to":
        return np.broadcast_to(x, shape)
    if view.name == "transpose":
        given = view.rest[0] if len(view.rest) == 1 else view.rest or view.options.get("axes")
        return x.transpose(given)
    if view.name == "_einsum_of_one":
        return np.einsum(view.rest[0], x)
    if view.name == "sliding_window_view":
        return np.lib.stride_tricks.sliding_window_view(x, *view.rest, **view.options)
    found: np.ndarray = getattr(np, view.name)(x, *view.rest, **view.options)
    return found


def reshaped(source: np.ndarray, shape: tuple[int, ...], view: View) -> Any:
    """The stand-in of a reshaped array; None if NumPy copies it."""
    if view.name in _OF_DENSE:
        dense = source.flags.f_contiguous if view.order == "F" else source.flags.c_contiguous
        if not dense:
            return None
    try:
        return np.reshape(source, shape, order=view.order, copy=False)  # type: ignore[call-overload]
    except ValueError:
        return None


def is_view(view: View, shape: tuple[int, ...]) -> bool | None:
    """Whether NumPy gives a view here, and not a copy; None if that is not known."""
    if view.name not in _BY_LAYOUT:
        return True
    source = view.source
    on_one_axis = sum([n > 1 for n in source.shape]) < 2
    if source.size < 2 or (view.name == "reshape" and on_one_axis):
        return True
    if [n for n in source.shape if n > 1] == [n for n in shape if n > 1] and view.name == "reshape":
        return True
    found = stand_in(source)
    return None if found is None else reshaped(found, shape, view) is not None
