"""How the functions of `gpuad.numpy` are called, and how NumPy and CuPy find them.

With a Tracer among the arguments a function records; with plain arrays it is NumPy's or CuPy's
function of the same name, or, where they have none, gpuad's own rule run once.
"""

import difflib
import functools
import importlib
import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from gpuad.compile import run_once
from gpuad.errors import ArgumentError, IntegerRangeError, UnsupportedError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Atom, Literal
from gpuad.numpy import _bfloat16
from gpuad.primitives import elementwise as ew
from gpuad.primitives.structure import broadcast
from gpuad.tracing import Tracer, namespace_of_all
from gpuad.tracing.record import innermost
from gpuad.tracing.registry import CUPY, NUMPY, OPERATIONS

F = TypeVar("F", bound=Callable[..., Any])

_DEPTH = 64
"""How deep lists of arrays are searched for Tracers (np.block nests once for each axis)."""


def leaves_of(values: Iterable[Any], depth: int = _DEPTH) -> Iterator[Any]:
    """The values, and those inside lists, tuples and slices."""
    for x in values:
        if depth and isinstance(x, list | tuple):
            yield from leaves_of(x, depth - 1)
        else:
            yield x


_ARRAYS = frozenset(
    "A E V VI X XA XB a a1 a2 append ar ar1 ar2 arr array ary b base bins c c_or_r condition "
    "coordinates data element f fill_value filt fp in1 in2 input k left m matrix p prepend q r "
    "right seq_of_zeros sos src start stop structure test_elements to_begin to_end u v val vals "
    "value values weights x x1 x2 xp y z zi".split()
)
"""What parameters are called that take one array, which may be a list."""
_SEQUENCES = frozenset("arrays choicelist choices condlist tup".split())
"""The same of those that take several; a function of any number of arrays takes each apart."""


_OF_LISTS = ("block",)
"""Functions to which nested lists are more than arrays."""


_OF_ANY_DTYPE = ("astype", "copy")
"""Functions that record the same for every dtype (what gives views is too)."""


def stacked(nested: Any) -> Any:
    """A nested list with traced values in it as one of them; anything else as it is."""
    if not isinstance(nested, list | tuple) or innermost(leaves_of([nested])) is None:
        return nested
    parts = [stacked(x) for x in nested]
    shapes = {aval_of(x).shape for x in parts}
    if len(shapes) > 1:
        raise ArgumentError(
            f"array: entries of a list have different shapes {sorted(shapes)}; "
            "make them alike, or join them with concatenate."
        )
    return OPERATIONS["stack"](parts)


def _stacked_as(name: str, x: Any) -> Any:
    """The argument of this name, with lists of traced values where it takes arrays as arrays."""
    if not isinstance(x, list | tuple):
        return x
    if name in _SEQUENCES:
        return [stacked(part) for part in x]
    return stacked(x) if name in _ARRAYS else x


def _names_of(function: Callable[..., Any], count: int) -> Sequence[str]:
    """The names of so many positional arguments; any number of arrays are called x."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    return (*names, *"x" * (count - len(names)))


def implements(
    *numpy_functions: Any,
    cupy: str | None = None,
    name: str | None = None,
    view: bool | str = False,
    own: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Registers a function as gpuad's answer to NumPy functions and a CuPy kernel.

    `own` are those of its keyword arguments that the library's function does not have, and that
    change nothing for plain arrays.

    With `view`, the result is one that NumPy shares memory for: in-place updates of it are updates
    of its source, and the other way round. It is a `View` by the function itself, or, if `view` is
    "inner", by the functions that it calls. Other results stand apart.
    """

    def decorate(function: F) -> F:
        public = name or function.__name__
        accepts = _keywords(function)
        first = next(iter(function.__code__.co_varnames), "")

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            found = list(leaves_of((*args, *kwargs.values())))
            for x in found:
                ours = getattr(type(x), "_gpuad_function", None)
                if ours is not None:
                    return ours(call, public, args, kwargs)
            if innermost(found) is None:
                for given in own:
                    kwargs.pop(given, None)
                return concrete(function, public, args, kwargs)
            if kwargs and accepts is not None and not accepts.issuperset(kwargs):
                raise _unknown_keywords(public, [k for k in kwargs if k not in accepts], accepts)
            lists = any(isinstance(x, list | tuple) for x in (*args, *kwargs.values()))
            if lists and public not in _OF_LISTS:
                names = _names_of(function, len(args))
                args = tuple([_stacked_as(n, x) for n, x in zip(names, args, strict=False)])
                kwargs = {n: _stacked_as(n, x) for n, x in kwargs.items()}
            if not view and public not in _OF_ANY_DTYPE and _bfloat16.is_among(found):
                return _bfloat16.in_single(public, call, args, kwargs)
            result = function(*args, **kwargs)
            if view is True:
                options = kwargs if args else {k: v for k, v in kwargs.items() if k != first}
                source = args[0] if args else kwargs.get(first)
                if isinstance(source, Tracer) and result is not source:
                    result._mark_result(source, public, call, args[1:], options)
            elif not view:
                result = _apart(result, (*args, *kwargs.values()))
            return result

        OPERATIONS[public] = call
        for f in numpy_functions:
            NUMPY[f] = call
        if cupy:
            CUPY[cupy] = call
        return call  # type: ignore[return-value]

    return decorate


def _apart(result: Any, args: Any) -> Any:
    """The result, no view of an argument (but maybe one itself)."""
    if isinstance(result, tuple | list):
        parts = [_apart(x, args) for x in result]
        named = isinstance(result, tuple) and hasattr(result, "_fields")
        return type(result)(*parts) if named else type(result)(parts)
    if getattr(result, "_view", None) is None or any(result is x for x in args):
        return result
    return result._apart()


def _keywords(function: Callable[..., Any]) -> frozenset[str] | None:
    """The names of a function's arguments, or None if it takes any."""
    code = function.__code__
    if code.co_flags & inspect.CO_VARKEYWORDS:
        return None
    return frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _unknown_keywords(name: str, unknown: list[str], known: Iterable[str]) -> UnsupportedError:
    """The error for arguments that only the library's function has, or that do not exist."""
    theirs = library_function(np, name)
    given = ", ".join([f"{k}=..." for k in unknown])
    if theirs is not None and all(_may_have(theirs, k) for k in unknown):
        return UnsupportedError(
            f"{name}({given}) cannot be recorded by gpuad; leave {', '.join(unknown)} out."
        )
    names = sorted(known)
    near = difflib.get_close_matches(unknown[0], names, 1)
    meant = f"Write {near[0]}" if near else f"It has {', '.join(names)}"
    return UnsupportedError(f"{name} has no argument {', '.join(unknown)}. {meant}.")


def _may_have(function: Callable[..., Any], argument: str) -> bool:
    """Whether a library's function takes an argument of this name, as far as it says."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        return True
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def concrete(function: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    """The function of plain arrays."""
    theirs = library_function(namespace_of_all(leaves_of((*args, *kwargs.values()))), name)
    return run_once(function, args, kwargs) if theirs is None else theirs(*args, **kwargs)


@functools.cache
def library_function(xp: Any, name: str) -> Callable[..., Any] | None:
    """The function of this name that goes with an array namespace, or None: "linalg.norm" is
    NumPy's or CuPy's, "scipy.linalg.cho_solve" SciPy's or that of `cupyx.scipy`."""
    group, _, last = name.rpartition(".")
    found = xp
    if group == "scipy.spatial.distance" and xp is not np:
        return None  # those of `cupyx` ask for a package of their own
    if group.startswith("scipy."):
        try:
            found = importlib.import_module(group if xp is np else f"cupyx.{group}")
        except ModuleNotFoundError:
            return None
    elif group:
        found = getattr(xp, group, None)
    return None if last.startswith("_") else getattr(found, last, None)


def cast_to(x: Atom, dtype: np.dtype) -> Atom:
    """`x` in this dtype: a cast is recorded only where it is needed."""
    if x.aval.dtype == dtype:
        return x
    if type(x) is Literal:
        return Literal(_number(x.value.item(), dtype))
    if x.aval.weak and x.aval.dtype.kind == "u" and dtype.kind == "i":
        raise IntegerRangeError(
            f"an argument is an integer of 2**63 or more, out of bounds for {dtype}; pass "
            "float(n), or np.uint64(n) for arithmetic without a sign."
        )
    return ew.cast(x, dtype=dtype)


def _number(value: Any, dtype: np.dtype) -> Any:
    try:
        return dtype.type(value)
    except OverflowError:
        raise IntegerRangeError(
            f"the integer {value} is out of bounds for {dtype}, which it has to be beside an array "
            f"of {dtype}; convert the array first, with .astype(float) for example."
        ) from None


def broadcast_together(operands: tuple[Atom, ...], name: str) -> list[Atom]:
    """The operands in their common shape; literals stay as they are."""
    shapes = {x.aval.shape for x in operands if type(x) is not Literal}
    if len(shapes) <= 1:
        return list(operands)
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        found = " and ".join([str(x.aval.shape) for x in operands])
        raise ArgumentError(
            f"{name}: shapes {found} do not broadcast together; "
            "insert axes with x[:, None] or reshape."
        ) from None
    return [x if type(x) is Literal else broadcast_to_shape(x, shape) for x in operands]


def broadcast_to_shape(x: Atom, shape: tuple[int, ...]) -> Atom:
    """`x` repeated to `shape`, its axes aligned to the right."""
    if x.aval.shape == shape:
        return x
    dims = tuple(range(len(shape) - x.aval.ndim, len(shape)))
    return broadcast(x, shape=shape, dims=dims)


def normalize_axes(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """An ``axis=`` argument (None, an int, a tuple) as sorted non-negative ints."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    result = []
    for a in axes:
        if not hasattr(a, "__index__"):
            raise ArgumentError(f"{name}: axis={axis!r}; give an int, a tuple of ints, or None.")
        a = operator.index(a)
        if not -ndim <= a < ndim:
            raise ArgumentError(
                f"{name}: axis {a} is out of range for an array with {ndim} axes; "
                f"{f'use {-ndim} to {ndim - 1}' if ndim else 'leave axis out'}."
            )
        result.append(a % ndim)
    if len(set(result)) != len(result):
        raise ArgumentError(f"{name}: axis {axis} names an axis twice; name each axis once.")
    return tuple(sorted(result))


def normalize_axis(axis: int, ndim: int, name: str) -> int:
    """One axis as a non-negative int."""
    return normalize_axes(axis, ndim, name)[0]


def aval_of(x: Any) -> Aval:
    """The aval of an argument: Tracer, array, scalar or nested list."""
    if isinstance(x, Tracer):
        return x.aval
    return Aval(np.shape(x), getattr(x, "dtype", None) or np.asarray(x).dtype)
