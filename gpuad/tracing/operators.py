"""What every array class of gpuad has in common: NumPy's operators, methods and protocols.

All of them end in the functions of `gpuad.numpy`, found through the registry.
"""

import math
import sys
from typing import Any

import numpy as np

from gpuad.errors import InPlaceError, UnsupportedError
from gpuad.tracing.callers import calling_library, instead_of_calling
from gpuad.tracing.registry import CUPY, NUMPY, OPERATIONS, lookup, special_function
from gpuad.tracing.views import ROWS


class ArrayLike:
    """An array that gpuad computes with: the base of `Tracer` and `DualArray`.

    A subclass defines `shape`, `_store` and `_rebind`.
    """

    __slots__ = ()
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    @property
    def shape(self) -> tuple[int, ...]:
        raise AssertionError("a subclass defines it")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def _store(self, result: Any) -> Any:
        """Puts `result` into this array, in place; returns the array."""
        raise AssertionError("a subclass defines it")

    def _rebind(self, new: Any) -> Any:
        """Makes `new`, of the shape and dtype of this array, its value."""
        raise AssertionError("a subclass defines it")

    def _check_array(self) -> None:
        """Raises an error if this object must not be used where an array is expected."""

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return _among_plain_arrays(sys._getframe(1)) or OPERATIONS["__namespace__"](api_version)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "at":
            return OPERATIONS["_at"](ufunc, *inputs)
        function = NUMPY.get(ufunc) or special_function(ufunc)
        if function is None:
            raise UnsupportedError(_unsupported(_module_and_name(ufunc)))
        if method == "__call__" and kwargs.get("where", True) is not True:
            return function(*inputs, **kwargs)
        out = kwargs.pop("out", None)
        if method == "__call__" and ufunc.nout > 1 and out is not None:
            return function(*inputs, out=out, **kwargs)
        if method == "__call__":
            result = function(*inputs, **kwargs)
        else:
            variant = getattr(function, method, None)
            if variant is None:
                raise UnsupportedError(_unsupported(f"{_module_and_name(ufunc)}.{method}"))
            result = variant(*inputs, **kwargs)
        return result if out is None else store(result, out, broadcast=method == "__call__")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        ours = lookup(NUMPY, function)
        if ours is None:
            name = f"{function.__module__}.{function.__name__}"
            raise UnsupportedError(_unsupported(name))
        return ours(*args, **kwargs)

    def __cupy_override_elementwise_kernel__(self, kernel: Any, *args: Any, **kwargs: Any) -> Any:
        return self._cupy_kernel(kernel, args, kwargs)

    def __cupy_override_reduction_kernel__(
        self, kernel: Any, axis: Any, dtype: Any, out: Any, keepdims: bool
    ) -> Any:
        options = {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims or None}
        return self._cupy_kernel(kernel, (self,), options)

    def _cupy_kernel(self, kernel: Any, args: Any, kwargs: Any) -> Any:
        function = lookup(CUPY, kernel.name)
        if function is None:
            raise UnsupportedError(_unsupported(f"the CuPy kernel {kernel.name!r}"))
        out = kwargs.pop("out", None)
        result = function(*args, **{k: v for k, v in kwargs.items() if v is not None})
        return result if out is None else store(result, out)


def _among_plain_arrays(frame: Any) -> Any:
    """NumPy's namespace, if array-api-compat (which SciPy has) asks in `frame` for the one of
    traced and NumPy arrays together, which it refuses if they have two. NumPy's functions take
    both."""
    code, module = frame.f_code, frame.f_globals.get("__name__", "")
    if code.co_name != "array_namespace" or "array_api_compat" not in module:
        return None
    arrays = frame.f_locals.get("xs", ())
    plain = next((x for x in arrays if isinstance(x, np.ndarray | np.generic)), None)
    return None if plain is None else frame.f_globals["array_namespace"](plain)


def _module_and_name(ufunc: Any) -> str:
    """What a user calls a ufunc, which has no ``__module__``."""
    name = ufunc.__name__
    for module in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            return f"{module}.{name}"
    return f"the ufunc {name}"


def _unsupported(name: str) -> str:
    return (
        f"{name} cannot be recorded by gpuad. Write it with functions of gpuad.numpy, or wrap the "
        "call in gpuad.external with its output declared (and a custom rule if it is to be "
        "differentiated)."
    )


def store(result: Any, out: Any, broadcast: bool = False) -> Any:
    """`result` put into the array given as out=, repeated as a ufunc does if `broadcast`."""
    (target,) = out if isinstance(out, tuple) else (out,)
    shape, wanted = getattr(result, "shape", ()), updatable(target).shape
    if broadcast and shape != wanted and _repeats_to(shape, wanted):
        result = OPERATIONS["broadcast_to"](result, wanted)
    return target._store(result)


def _repeats_to(shape: tuple[int, ...], larger: tuple[int, ...]) -> bool:
    """Whether an array of the first shape broadcasts to the second."""
    ends = zip(reversed(shape), reversed(larger), strict=False)
    return len(shape) <= len(larger) and all(n in (1, m) for n, m in ends)


def updatable(target: Any) -> ArrayLike:
    """`target`, which must be an `ArrayLike` to be updated in place by a traced value."""
    if not isinstance(target, ArrayLike):
        library = calling_library(sys._getframe(1))
        instead = instead_of_calling(library)
        if instead:
            raise InPlaceError(
                f"a traced value was about to be written into a plain array in {library}, which "
                f"would lose its derivative. {instead}."
            )
        raise InPlaceError(
            "a traced value was about to be written into a plain array (out=, np.add.at, or an "
            "in-place operator such as a += x), which would lose its derivative. Write a = a + x, "
            "or start from gpuad.numpy.zeros / np.zeros_like(x); or give "
            "np.asarray(ad.stop_gradient(x)) if its derivative is meant to be lost."
        )
    return target


def _binary(name: str) -> tuple[Any, Any, Any]:
    def forward(self: ArrayLike, other: Any) -> Any:
        return OPERATIONS[name](self, other) if _is_operand(other) else NotImplemented

    def reflected(self: ArrayLike, other: Any) -> Any:
        return OPERATIONS[name](other, self) if _is_operand(other) else NotImplemented

    def in_place(self: ArrayLike, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        result = OPERATIONS[name](self, other)
        # Without axes NumPy has an immutable scalar: x += 1 gives x another value.
        return self._store(result) if self.ndim else result

    return forward, reflected, in_place


def _is_operand(x: Any) -> bool:
    return not isinstance(x, str | dict | set | type(None))


_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "divmod": "divmod",
    "pow": "power",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
for _symbol, _name in _BINARY.items():
    for _prefix, _method in zip(("", "r", "i"), _binary(_name), strict=True):
        if _prefix + _symbol != "idivmod":
            setattr(ArrayLike, f"__{_prefix}{_symbol}__", _method)

_COMPARISON = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
for _symbol, _name in _COMPARISON.items():
    setattr(ArrayLike, f"__{_symbol}__", _binary(_name)[0])

_power = _binary("power")[0]


def _power_or_square(self: Any, other: Any) -> Any:
    """``x ** y``; of booleans ``x ** 2`` is their square, of dtype int8, as for NumPy."""
    square = type(other) is int and other == 2 and self.dtype.kind == "b"
    return OPERATIONS["square"](self) if square else _power(self, other)


setattr(ArrayLike, "__pow__", _power_or_square)  # noqa: B010

_UNARY = {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "invert"}


def _unary(name: str) -> Any:
    return lambda self: OPERATIONS[name](self)


for _symbol, _name in _UNARY.items():
    setattr(ArrayLike, f"__{_symbol}__", _unary(_name))

for _symbol, _name in {"T": "transpose", "mT": "matrix_transpose"}.items():
    setattr(ArrayLike, _symbol, property(_unary(_name)))


def _part(name: str) -> Any:
    """A part of complex numbers as a property, which can be stored to."""

    def store_part(self: ArrayLike, value: Any) -> None:
        OPERATIONS[name](self)[...] = value

    return property(_unary(name), store_part)


for _name in ("real", "imag"):
    setattr(ArrayLike, _name, _part(_name))

_METHODS = (
    "all any argmax argmin argpartition argsort astype choose clip cumprod "
    "cumsum diagonal dot flatten max mean min nonzero prod put ravel repeat reshape round "
    "searchsorted squeeze std sum swapaxes take trace transpose var"
).split()


def _as_method(name: str) -> Any:
    def method(self: ArrayLike, *args: Any, **kwargs: Any) -> Any:
        return OPERATIONS[name](self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"``gpuad.numpy.{name}`` of this array."
    return method


def _sort(self: ArrayLike, *args: Any, **kwargs: Any) -> None:
    """Sorts the array itself, as ``ndarray.sort`` does; ``gpuad.numpy.sort`` gives a copy."""
    self._store(OPERATIONS["sort"](self, *args, **kwargs))


def _partition(self: ArrayLike, *args: Any, **kwargs: Any) -> None:
    """Puts the kth smallest elements in their places, as ``ndarray.partition`` does."""
    self._store(OPERATIONS["partition"](self, *args, **kwargs))


def _copy(self: ArrayLike, order: str = "C") -> Any:
    """``gpuad.numpy.copy`` of this array, its elements row by row if not asked for otherwise."""
    result = OPERATIONS["copy"](self, order=order)
    if order == "C" and hasattr(result, "_layout"):
        result._layout = ROWS
    return result


def _view(self: Any, dtype: Any = None) -> Any:
    """A view of the same dtype; the bits cannot be read as another one."""
    if dtype is not None and dtype != self.dtype:
        raise UnsupportedError(
            f"x.view({dtype}): the bits of a traced array of {self.dtype} cannot be read as those "
            "of another dtype; write x.astype(dtype) to convert its values, or x.real and x.imag."
        )
    return self[...]


def _contains(self: ArrayLike, value: Any) -> bool:
    """Whether any element is equal to the value, which must be known."""
    return bool(OPERATIONS["any"](OPERATIONS["equal"](self, value)))


def _compress(self: ArrayLike, condition: Any, axis: Any = None, out: Any = None) -> Any:
    """``gpuad.numpy.compress`` of this array."""
    return OPERATIONS["compress"](condition, self, axis, out)


def _conj(self: Any) -> Any:
    """``gpuad.numpy.conj`` of this array, which is the array itself where it is real."""
    return OPERATIONS["conj"](self) if self.dtype.kind == "c" else self


def _fill(self: Any, value: Any) -> None:
    """Gives every element this value, as ``ndarray.fill`` does."""
    self[...] = value


def _round(self: ArrayLike, ndigits: int = 0) -> Any:
    return OPERATIONS["round"](self, ndigits)


for _name in _METHODS:
    setattr(ArrayLike, _name, _as_method(_name))
ArrayLike.sort = _sort  # type: ignore[attr-defined]
ArrayLike.view = _view  # type: ignore[attr-defined]
ArrayLike.conj = ArrayLike.conjugate = _conj  # type: ignore[attr-defined]
setattr(ArrayLike, "__contains__", _contains)  # noqa: B010
ArrayLike.copy = _copy  # type: ignore[attr-defined]
ArrayLike.partition = _partition  # type: ignore[attr-defined]
ArrayLike.compress = _compress  # type: ignore[attr-defined]
ArrayLike.fill = _fill  # type: ignore[attr-defined]
ArrayLike.__round__ = _round  # type: ignore[attr-defined]
