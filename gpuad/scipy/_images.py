"""What the functions of `scipy.ndimage` share: boundaries, axes, and the dtype of the result."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError, ConversionError, DTypeError, UnknownValueError
from gpuad.numpy._arguments import into, shape_of
from gpuad.numpy._dispatch import aval_of, cast_to, normalize_axis
from gpuad.primitives.sources import array_constant
from gpuad.tracing import Tracer, namespace_of_all
from gpuad.tracing.record import apply, innermost

PADDED = {
    "reflect": "symmetric", "grid-mirror": "symmetric", "mirror": "reflect", "nearest": "edge",
    "constant": "constant", "grid-constant": "constant", "wrap": "wrap", "grid-wrap": "wrap",
}  # fmt: skip
"""What `numpy.pad` calls the modes of filters."""


def beside(array: Any, *others: Any) -> Any:
    """A NumPy array as one that goes with the others: as a constant of what they are traced for, or
    on their device."""
    if not isinstance(array, np.ndarray):
        return array
    trace = innermost(others)
    if trace is not None:
        return apply(lambda: array_constant(np.array(array, order="C")), trace=trace)
    xp = namespace_of_all(others)
    return array if xp is np else xp.asarray(array)


def lifted(x: Any, *others: Any) -> Any:
    """An argument as a Tracer of the trace that it or another argument belongs to."""
    if isinstance(x, list | tuple):
        return beside(np.asarray(x), *others)
    return apply(lambda v: v, x, trace=innermost((x, *others)))


def checked_mode(name: str, mode: Any) -> str:
    if not isinstance(mode, str) or mode not in PADDED:
        raise ArgumentError(f"{name}: mode={mode!r}; give one of {', '.join(sorted(PADDED))}.")
    return mode


def axes_of(name: str, axes: Any, ndim: int) -> tuple[int, ...]:
    """An ``axes=`` argument in the order in which it names them."""
    if axes is None:
        return tuple(range(ndim))
    given = tuple(axes) if isinstance(axes, list | tuple | np.ndarray) else (axes,)
    found = tuple([normalize_axis(operator.index(a), ndim, name) for a in given])
    if len(set(found)) != len(found):
        raise ArgumentError(f"{name}: axes {given} name an axis twice; name each axis once.")
    return found


def each(name: str, keyword: str, given: Any, count: int) -> list[Any]:
    """One value for each of so many axes, from one for all of them or a sequence."""
    if isinstance(given, str) or not is_sequence(given):
        return [given] * count
    values = list(given)
    if len(values) != count:
        raise ArgumentError(
            f"{name}: {keyword} has {len(values)} values for {count} axes; give one for each axis, "
            "or one for all."
        )
    return values


def is_sequence(given: Any) -> bool:
    return isinstance(given, list | tuple) or bool(getattr(given, "shape", ()))


def known(name: str, keyword: str, value: Any, why: str) -> Any:
    """The value of an argument that decides what program is recorded. It must not be traced for a
    derivative, or with a value that is not known."""
    if isinstance(value, list | tuple):
        return type(value)([known(name, keyword, x, why) for x in value])
    if not isinstance(value, Tracer):
        return value
    try:
        found = value._value_without_derivative(keyword)
        return found.item() if hasattr(found, "item") else found
    except (ConversionError, UnknownValueError):
        raise ArgumentError(f"{name}: {keyword} is traced; give a number. {why}") from None


# Results


def is_array(output: Any) -> bool:
    return not isinstance(output, type | np.dtype | str) and hasattr(output, "shape")


def target(name: str, output: Any, x: Any, has_complex: bool) -> np.dtype:
    """The dtype of the result: that of the image, or what ``output=`` says."""
    if output is None:
        dtype = x.dtype
    elif is_array(output):
        dtype = np.dtype(output.dtype)
    else:
        dtype = np.dtype(output)
    if dtype.kind not in "biufc":
        raise DTypeError(f"{name}: output={output!r} is no dtype of numbers; give a float dtype.")
    return np.promote_types(dtype, np.complex64) if has_complex else dtype


SINGLE = ("float16", "float32", "complex64")


def working(x: Any, dtype: np.dtype, *others: Any) -> np.dtype:
    """The dtype to compute with: double precision, or single precision if both the image and the
    result are in it."""
    dtypes = [aval_of(v).dtype for v in (x, *others)]
    single = dtypes[0].name in SINGLE and dtype.name in SINGLE
    is_complex = any(d.kind == "c" for d in dtypes)
    return np.dtype(("complex64" if single else "complex128") if is_complex
                    else ("float32" if single else "float64"))  # fmt: skip


def cast(x: Any, dtype: np.dtype) -> Any:
    return apply(lambda v: cast_to(v, dtype), x) if isinstance(x, Tracer) else x.astype(dtype)


def like(value: Any, dtype: np.dtype) -> Any:
    """A number, known or traced, in this dtype."""
    return cast(value, dtype) if isinstance(value, Tracer) else dtype.type(value)


def truncated(x: Any, dtype: np.dtype) -> Any:
    """A computed image in the dtype of the result; to integers without what follows the point."""
    return cast(gnp.trunc(x), dtype) if dtype.kind == "b" else cast(x, dtype)


def rounded(x: Any, dtype: np.dtype) -> Any:
    """The same with the nearest integers that there are."""
    if dtype.kind not in "iu":
        return truncated(x, dtype)
    bounds = np.iinfo(dtype)
    nearest = gnp.trunc(x + gnp.where(x > 0, 0.5, -0.5))
    return cast(gnp.clip(nearest, float(bounds.min), float(bounds.max)), dtype)


def delivered(name: str, result: Any, output: Any) -> Any:
    """The result, written to ``output=`` if that is an array."""
    if not is_array(output):
        return result
    if shape_of(output) != result.shape:
        raise ArgumentError(
            f"{name}: output has shape {shape_of(output)}, the result {result.shape}; give a dtype."
        )
    return into(result, output)


# Windows


def padded(x: Any, widths: Sequence[tuple[int, int]], modes: Sequence[str], cval: Any) -> Any:
    """The image continued over its boundary; each axis has its widths and its mode."""
    for mode in dict.fromkeys(modes):
        here = [w if m == mode else (0, 0) for w, m in zip(widths, modes, strict=True)]
        if any(map(any, here)):
            options = {"constant_values": cval} if PADDED[mode] == "constant" else {}
            x = gnp.pad(x, here, mode=PADDED[mode], **options)
    return x


def reach(name: str, size: int, origin: Any) -> tuple[int, int]:
    """How far a window of this size reaches before and behind its element."""
    origin, half = operator.index(origin), size // 2
    if not 0 <= half + origin < size:
        raise ArgumentError(
            f"{name}: origin {origin} puts a window of {size} beside its element; give "
            f"{-half} to {(size - 1) // 2}."
        )
    return half + origin, size - half - 1 - origin


def piece(x: Any, axis: int, start: int, count: int) -> Any:
    return x[(*[slice(None)] * axis, slice(start, start + count))]


def summed(parts: Sequence[Any], combine: Callable[[Any, Any], Any] = operator.add) -> Any:
    """The parts combined in pairs, which keeps sums of many accurate."""
    rest = list(parts)
    while len(rest) > 1:
        pairs = [combine(*rest[i : i + 2]) for i in range(0, len(rest) - 1, 2)]
        rest = pairs + rest[len(pairs) * 2 :]
    return rest[0]


def window_sum(x: Any, axis: int, size: int) -> Any:
    """The sums over windows of elements that follow one another, by sums of twice as many."""
    count = x.shape[axis] - size + 1
    total, done, block, width = None, 0, x, 1
    for bit in range(size.bit_length()):
        if size >> bit & 1:
            part = piece(block, axis, done, count)
            total, done = part if total is None else total + part, done + width
        if size >> (bit + 1):
            n = block.shape[axis] - width
            block, width = piece(block, axis, 0, n) + piece(block, axis, width, n), 2 * width
    return total


def is_empty(x: Any) -> bool:
    return not math.prod(x.shape)
