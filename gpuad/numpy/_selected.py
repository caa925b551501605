"""``x[mask]`` where it is not known how many elements the mask selects (under `jit` and `vmap`).

The whole array is kept, with its mask: elementwise functions work on all of it, a reduction first
gives what is not selected the value that changes nothing, and an update by the same mask is a
selection. Whatever needs the number of elements says so.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from gpuad.errors import InPlaceError
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import normalize_axes
from gpuad.numpy._keys import Mask, unknown_count
from gpuad.numpy._ufuncs import Elementwise
from gpuad.tracing import Tracer, innermost, is_array
from gpuad.tracing.advice import dtype_text
from gpuad.tracing.operators import ArrayLike
from gpuad.tracing.registry import OPERATIONS

ELEMENTWISE = frozenset(
    "angle astype clip copy divmod empty_like full_like imag isclose iscomplex isneginf isposinf "
    "isreal modf nan_to_num ones_like real round zeros_like".split()
)
"""Functions of each element apart, beside those that are `Elementwise`; `where` of three too."""
LOW, HIGH = -np.inf, np.inf
NEUTRAL = {
    "sum": 0, "prod": 1, "any": 0, "all": 1, "max": LOW, "amax": LOW, "min": HIGH, "amin": HIGH,
    "count_nonzero": 0, "average": 0, "logsumexp": LOW, "linalg.norm": 0, "linalg.vector_norm": 0,
    "nansum": 0, "nanprod": 1, "nanmax": LOW, "nanmin": HIGH, "nanmean": np.nan, "nanvar": np.nan,
    "nanstd": np.nan,
}  # fmt: skip
"""Reductions, and what an element is for them that does not take part."""
BY_WHERE = frozenset(["mean", "var", "std"])
"""Reductions that take the mask as their ``where=``."""
COMPOSED = frozenset(["ptp", "select"])
"""What is made of these."""
PRODUCTS = frozenset(["dot", "inner", "matmul", "vdot", "vecdot"])


class Selected(ArrayLike):
    """The rows of `whole` that a traced mask selects.

    Attributes
    ----------
    whole
        All rows: what stands in those that are not selected never shows.
    mask
        One boolean for each row.
    """

    __slots__ = ("mask", "whole")

    def __init__(self, whole: Tracer, mask: Tracer):
        self.whole = whole
        self.mask = mask

    @property
    def shape(self) -> tuple[int, ...]:
        self._check_array("the shape of x[mask]")

    @property
    def ndim(self) -> int:
        return self.whole.ndim

    @property
    def size(self) -> Any:
        """The number of elements, itself traced."""
        count = OPERATIONS["sum"](self.mask)
        return count * (self.whole.size // len(self.mask)) if self.ndim > 1 else count

    @property
    def dtype(self) -> np.dtype:
        return self.whole.dtype

    def _check_array(self, what: str = "x[mask]") -> NoReturn:
        raise unknown_count(what)

    def _refused(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._check_array()

    __array__ = __bool__ = __int__ = __float__ = __complex__ = __index__ = _refused
    __len__ = __iter__ = item = tolist = _refused

    def __format__(self, spec: str) -> str:
        if spec:
            self._check_array("the text of x[mask]")
        return repr(self)

    def __repr__(self) -> str:
        return f"Selected<{self.dtype} of {self.whole.shape}>"

    # Reading and updating it

    def _selects(self, key: Any) -> Any:
        """The mask of the rows that a key, ``x[mask][key]``, takes; None if it is another key."""
        if key is Ellipsis or (isinstance(key, slice) and key == slice(None)):
            return self.mask
        if isinstance(key, Selected) and key.dtype.kind == "b" and key.ndim == 1:
            check_same([self.mask, key.mask])
            return OPERATIONS["logical_and"](self.mask, key.whole)
        return None

    def __getitem__(self, key: Any) -> "Selected":
        mask = self._selects(key)
        if mask is not None:
            return Selected(self.whole, mask)
        if isinstance(key, tuple) and key and isinstance(key[0], slice) and key[0] == slice(None):
            return Selected(self.whole[key]._apart(), self.mask)
        self._check_array("this index into x[mask]")

    def __setitem__(self, key: Any, value: Any) -> None:
        mask = self._selects(key)
        if mask is None:
            self._check_array("an update of x[mask] at this index")
        self.whole = OPERATIONS["_setitem"](self.whole, mask, value)

    def _store(self, result: Any) -> "Selected":
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise InPlaceError(
                f"cannot store a result of dtype {result.dtype} in an array of dtype {self.dtype}; "
                f"convert the array first with .astype({dtype_text(result.dtype)})."
            )
        return self._rebind(OPERATIONS["astype"](result, self.dtype))

    def _rebind(self, new: "Selected") -> "Selected":
        check_same([self.mask, new.mask])
        self.whole = new.whole
        return self

    # Functions of it

    def _filled(self, value: Any) -> Any:
        """The whole array with this value (or the nearest one) where nothing is selected."""
        kind = self.dtype.kind
        if kind in "iu" and not np.isfinite(value):
            limits = np.iinfo(self.dtype)
            value = {LOW: limits.min, HIGH: limits.max}.get(value, 0)
        value = value > 0 if kind == "b" else value
        return OPERATIONS["where"](self._rows(), self.whole, self.dtype.type(value))

    def _rows(self) -> Any:
        return OPERATIONS["reshape"](self.mask, (-1, *(1,) * (self.ndim - 1)))

    @staticmethod
    def _gpuad_function(function: Any, name: str, args: Any, kwargs: Any) -> Any:
        """`function`, which has selected arrays among its arguments."""
        if name in COMPOSED:
            return function.__wrapped__(*args, **kwargs)
        found = [x for x in (*args, *kwargs.values()) if isinstance(x, Selected)]
        if not found:
            raise unknown_count(f"{name} of a sequence with x[mask] in it")
        check_same([x.mask for x in found])
        if name in ("ndim", "size") and len(args) == 1:
            return getattr(found[0], name)
        if isinstance(function, Elementwise) or name in ELEMENTWISE or _chooses(name, args):
            return _elementwise(function, name, args, kwargs, found)
        if name in NEUTRAL or name in BY_WHERE:
            return _reduction(function, name, args, kwargs)
        if name in PRODUCTS and len(found) == 2 and all(x.ndim == 1 for x in found):
            return function(*[x._filled(0) for x in found], **kwargs)
        raise unknown_count(f"{name} of x[mask]")


def selected(whole: Any, mask: Any) -> Selected:
    """What a mask selects, along as many leading axes of an array as it has."""
    rest = whole.shape[mask.ndim :]
    rows = OPERATIONS["reshape"](mask, (mask.size,))
    return Selected(OPERATIONS["reshape"](whole, (mask.size, *rest))._apart(), rows._apart())


def unknown_mask(items: Sequence[Any]) -> bool:
    """Whether a mask in a key is traced and its value is not known."""
    masks = [item.array for item in items if type(item) is Mask]
    return any(isinstance(m, Tracer) and not _knows(m) for m in masks)


def _knows(mask: Tracer) -> bool:
    trace, var = mask._now()
    return trace.knows(var)


def check_same(masks: Sequence[Any]) -> None:
    """Refuses masks that are not one: what they select need not be equally much."""
    trace = innermost(masks)
    assert trace is not None
    if len({trace.resolve(*m._now()) for m in masks}) > 1:
        raise unknown_count("a computation with what two different masks select")


def _chooses(name: str, args: Any) -> bool:
    return name == "where" and len(args) == 3


def _elementwise(function: Any, name: str, args: Any, kwargs: Any, found: list[Selected]) -> Any:
    """`function` of all elements."""
    ndim = found[0].ndim
    for x in (*args, *kwargs.values()):
        if not _fits(x, ndim):
            raise unknown_count(f"{name} of x[mask] and an array of other axes; y[mask] beside it")
    fill = function in (OPERATIONS["power"], OPERATIONS["pow"])

    def whole(x: Any) -> Any:
        if not isinstance(x, Selected):
            return x
        # NumPy refuses a negative exponent of integers, in a row that is not selected too.
        return x._filled(1) if fill and x.dtype.kind in "iu" else x.whole

    result = function(*map(whole, args), **{k: whole(x) for k, x in kwargs.items()})
    if isinstance(result, tuple):
        return tuple([Selected(x, found[0].mask) for x in result])
    return Selected(result, found[0].mask)


def _fits(x: Any, ndim: int) -> bool:
    """Whether an argument broadcasts against rows of so many axes, however many they are."""
    if isinstance(x, Selected):
        return x.ndim == ndim
    if not (isinstance(x, Tracer | list | tuple) or is_array(x)):
        return True
    shape = shape_of(x)
    return len(shape) < ndim or (len(shape) == ndim and shape[0] == 1)


def _reduction(function: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    """A reduction over the rows; or within each of them."""
    given = inspect.signature(function).bind(*args, **kwargs).arguments
    (key, x), *others = given.items()
    axis = given.get("axis")
    where = given.get("where", True)
    if isinstance(x, Selected) and isinstance(where, Selected) and x.ndim == where.ndim == 1:
        x = Selected(x.whole, OPERATIONS["logical_and"](x.mask, where.whole))
        others = [(k, v) for k, v in others if k != "where"]
        where = True
    if not isinstance(x, Selected) or where is not True:
        raise unknown_count(f"{name} with x[mask] beside it")
    if axis is not None and 0 not in normalize_axes(axis, x.ndim, name):
        return Selected(function(**{**given, key: x.whole}), x.mask)
    if name == "average" and given.get("weights") is None:
        function, name = OPERATIONS["mean"], "mean"
    if name in BY_WHERE:
        rows = OPERATIONS["broadcast_to"](x._rows(), x.whole.shape)
        return function(x.whole, **dict(others), where=rows)
    filled = {k: v._filled(0) if isinstance(v, Selected) else v for k, v in others}
    if name == "linalg.norm" and x.ndim > 1:
        raise unknown_count("linalg.norm of x[mask] along the selected rows")
    return function(x._filled(NEUTRAL[name]), **filled)
