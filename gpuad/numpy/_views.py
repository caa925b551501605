"""Views taken again after an update of their source, and updates that go through them to it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import InPlaceError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import stacked
from gpuad.numpy._einsum import parse
from gpuad.primitives import elementwise as ew
from gpuad.primitives import structure
from gpuad.primitives.indexing import scatter_set
from gpuad.primitives.sources import iota
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS
from gpuad.tracing.views import View, by_numpy


def view_again(view: View) -> Any:
    """The view of its source as this is now."""
    if view.function is None:
        return OPERATIONS["_getitem"](view.source, view.key)
    return view.function(view.source, *view.rest, **view.options)


def view_back(view: View, new: Any) -> Any:
    """The source of a view with `new` in the place of the view."""
    if view.function is None:
        return OPERATIONS["_setitem"](view.source, view.key, new)
    return _BACK[view.name](view, new)


def _reshaped(view: View, new: Any) -> Any:
    return OPERATIONS["reshape"](new, shape_of(view.source), order=view.order)


def _transposed(view: View, new: Any) -> Any:
    # The axes by which NumPy's function orders those of an array, read off their strides.
    ndim = len(shape_of(view.source))
    axes = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), (1,) * ndim, range(1, ndim + 1))
    moved = by_numpy(view, axes, ())
    perm = [stride - 1 for stride in moved.strides]
    back = structure.inverse_permutation(perm)
    return apply(lambda v: structure.transpose(v, back), new)


def _flipped(view: View, new: Any) -> Any:
    assert view.function is not None
    return view.function(new, *view.rest, **view.options)


def _part(is_real: bool) -> Callable[[View, Any], Any]:
    def back(view: View, new: Any) -> Any:
        if view.source.dtype.kind != "c":
            if is_real:
                return new
            raise InPlaceError(
                f"in-place update of the imaginary part of an array of {view.source.dtype}, which "
                "has none; make the array complex first, with .astype(complex)."
            )
        parts = (lambda x, v: (v, ew.imag(x))) if is_real else (lambda x, v: (ew.real(x), v))
        return apply(lambda x, v: ew.make_complex(*parts(x, v)), view.source, new)

    return back


def _relabelled(view: View, new: Any) -> Any:
    (labels,), output = parse(view.rest[0], [shape_of(view.source)])
    axes = tuple([output.index(x) for x in labels])
    if len(axes) == len(output):
        return apply(lambda v: structure.transpose(v, axes), new)

    def record(x: Atom, v: Atom) -> Atom:  # a diagonal: each of its places is one of the source
        places = [iota(v.aval.shape, axis) for axis in axes]
        return scatter_set(x, v, *places, batch=0, unique=True)

    return apply(record, view.source, new)


_BACK: dict[str, Callable[[View, Any], Any]] = {
    **dict.fromkeys(("reshape", "ravel", "expand_dims"), _reshaped),
    **dict.fromkeys(("ascontiguousarray", "asfortranarray"), lambda view, new: new),
    **dict.fromkeys(("transpose", "swapaxes", "moveaxis"), _transposed),
    "flip": _flipped,
    "_einsum_of_one": _relabelled,
    "real": _part(True),
    "imag": _part(False),
}

OPERATIONS["_view_again"] = view_again
OPERATIONS["_view_back"] = view_back


class Flat:
    """``x.flat``: the elements of an array in their order, to be read and to be updated."""

    __slots__ = ("_x",)

    def __init__(self, x: Any):
        self._x = x

    @property
    def base(self) -> Any:
        return self._x

    def _line(self) -> Any:
        return OPERATIONS["reshape"](self._x, (self._x.size,))._apart()

    def __len__(self) -> int:
        return int(self._x.size)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        found = self._line()[key]
        return found._apart() if hasattr(found, "_apart") else found

    def __setitem__(self, key: Any, value: Any) -> None:
        line = self._line()
        place, value = line[key], stacked(value)
        if shape_of(value) and len(shape_of(place)) == 1:
            value = OPERATIONS["resize"](value, shape_of(place))
        line[key] = value
        self._x._rebind(OPERATIONS["reshape"](line, self._x.shape)._apart())

    def copy(self) -> Any:
        """The elements as an array of one axis."""
        return self._line()


OPERATIONS["_flat"] = Flat
