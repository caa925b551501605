"""Filters of `scipy.signal` along an axis."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Atom
from gpuad.ir.primitive import zeros
from gpuad.numpy._arguments import promote, shape_of
from gpuad.numpy._dispatch import broadcast_to_shape, implements, normalize_axis
from gpuad.primitives import elementwise as ew
from gpuad.primitives.cumulative import cumsum
from gpuad.primitives.recursive import moving_sums, recursive_filter
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.structure import concatenate, expand, move_axis, pad, reshape, slice_axis
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

# lfilter: y[n] = (Σ_k b[k] x[n − k] − Σ_{k>0} a[k] y[n − k]) / a[0]; the sums over x come first.


def _coefficients(name: str, b: Any, a: Any) -> None:
    for key, value in (("b", b), ("a", a)):
        shape = shape_of(value)
        if len(shape) > 1 or 0 in shape:
            raise ArgumentError(
                f"{name}: {key} has shape {shape}; give coefficients as a vector, not an empty one."
            )
    if isinstance(a, np.ndarray | list | tuple) and np.ravel(a)[0] == 0:
        raise ArgumentError(f"{name}: a[0] is 0; leave out leading zeros of a.")


def _zeros(shape: tuple[int, ...], like: Atom) -> Atom:
    return zeros(Aval(shape, like.aval.dtype))


def _behind(v: Atom, axis: int, count: int) -> Atom:
    """`count` zeros behind the elements along an axis."""
    zeros = (0,) * v.aval.ndim
    high = (*zeros[:axis], count, *zeros[axis + 1 :])
    return pad(v, low=zeros, high=high, step=(1,) * v.aval.ndim) if count > 0 else v


def _normalized(b: Atom, a: Atom) -> tuple[Atom, Atom]:
    """Coefficients as vectors of one length, with a[0] = 1; of `a` those behind it."""
    b, a = [expand(v, (0,)) if not v.aval.ndim else v for v in (b, a)]
    order = max(b.aval.shape[0], a.aval.shape[0])
    first = slice_axis(a, 0, 0, 1)
    b, a = [ew.div(v, broadcast_to_shape(first, v.aval.shape)) for v in (b, a)]
    b, a = [_behind(v, 0, order - v.aval.shape[0]) for v in (b, a)]
    return b, slice_axis(a, 0, 1, order)


def _run_filter(b: Atom, a: Atom, x: Atom, state: Atom | None) -> tuple[Atom, Atom | None]:
    """The filter along the last axis, and its state behind the last element if it is given the one
    before the first. The state is what the elements so far add to the sums of those to come."""
    last, n = x.aval.ndim - 1, x.aval.shape[-1]
    b, a = _normalized(b, a)
    order = a.aval.shape[0]
    sums = moving_sums(b, x)
    if state is not None:
        sums = ew.add(sums, _behind(state, last, n))
    y = recursive_filter(a, slice_axis(sums, last, 0, n), batch=0)
    if state is None:
        return y, None
    rest = slice_axis(sums, last, n, n + order)
    if order:
        delayed = concatenate(_zeros((1,), a), a, axis=0)
        rest = ew.sub(rest, slice_axis(moving_sums(delayed, y), last, n, n + order))
    return y, rest


def _inexact(values: list[Atom]) -> list[Atom]:
    common = np.result_type(*[v.aval.dtype for v in values])
    return promote(values, common if common.kind in "fc" else np.dtype(float))


@implements(name="scipy.signal.lfilter")
def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """Filters along an axis: ``a[0] y[n] = Σ_k b[k] x[n − k] − Σ_{k>0} a[k] y[n − k]``.

    With the state `zi` before the first element the result is the pair of y and the state behind
    the last one.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([1.0, 0.0, 0.0])
    >>> ad.scipy.signal.lfilter([1.0], [1.0, -0.5], x)
    array([1.  , 0.5 , 0.25])
    >>> ad.grad(lambda d: ad.scipy.signal.lfilter([1.0], [1.0, d], x)[2])(-0.5)
    np.float64(-1.0)
    """
    _coefficients("lfilter", b, a)
    place = _axis_of("lfilter", x, axis)

    def record(b: Atom, a: Atom, x: Atom, *zi: Atom) -> Any:
        b, a, x, *states = _inexact([b, a, x, *zi])
        last = x.aval.ndim - 1
        x = move_axis(x, place, last)
        state = None
        if states:
            shape = (*x.aval.shape[:-1], _order(b, a))
            state = _state("lfilter", move_axis(states[0], place, last), shape, place)
        y, behind = _run_filter(b, a, x, state)
        y = move_axis(y, last, place)
        return y if behind is None else (y, move_axis(behind, last, place))

    return apply(record, b, a, x, *([] if zi is None else [zi]))


def _axis_of(name: str, x: Any, axis: Any) -> int:
    shape = shape_of(x)
    if not shape:
        raise ArgumentError(f"{name}: x is a number; give an array with an axis.")
    place = normalize_axis(axis, len(shape), name)
    if not shape[place]:
        raise ArgumentError(f"{name}: shape {shape} has nothing along axis {place}.")
    return place


def _order(b: Atom, a: Atom) -> int:
    return max(b.aval.size, a.aval.size) - 1


def _state(name: str, zi: Atom, shape: tuple[int, ...], axis: int) -> Atom:
    given = zi.aval.shape
    pairs = zip(given[:-1], shape[:-1], strict=False)
    fits = len(given) == len(shape) and given[-1] == shape[-1]
    if not fits or any(n not in (1, k) for n, k in pairs):
        expected = (*shape[:axis], shape[-1], *shape[axis:-1])
        raise ArgumentError(
            f"{name}: zi has another shape than x with the order of the filter along the axis; "
            f"give {expected}."
        )
    return broadcast_to_shape(zi, shape)


@implements(name="scipy.signal.lfilter_zi")
def lfilter_zi(b: Any, a: Any) -> Any:
    """The state of a filter that has got ones for ever: the `zi` for which `lfilter` of ones gives
    the same everywhere."""
    _coefficients("lfilter_zi", b, a)
    return apply(lambda b, a: _steady_state(*_inexact([b, a])), b, a)


def _steady_state(b: Atom, a: Atom) -> Atom:
    """With B = b[1:] − a[1:] b[0] and a[0] = 1: z[0] = ΣB / Σa, and z[k] is the sum of a up to k
    times z[0], minus that of B up to k."""
    b, a = _normalized(b, a)
    order = a.aval.shape[0]
    if not order:
        return a
    first = broadcast_to_shape(slice_axis(b, 0, 0, 1), (order,))
    rest = ew.sub(slice_axis(b, 0, 1, order + 1), ew.mul(a, first))
    total = ew.add(reduce_sum(a, axes=(0,)), 1.0)
    start = broadcast_to_shape(ew.div(reduce_sum(rest, axes=(0,)), total), (order,))
    up_to = [_behind_zero(cumsum(v, axis=0)) for v in (a, rest)]
    return ew.sub(ew.mul(ew.add(up_to[0], 1.0), start), up_to[1])


def _behind_zero(v: Atom) -> Atom:
    """The elements but the last one, behind a zero."""
    n = v.aval.shape[0]
    zero = _zeros((1,), v)
    return concatenate(zero, slice_axis(v, 0, 0, n - 1), axis=0)


# Sections, and filters forth and back


def _sections(name: str, sos: Any) -> int:
    shape = shape_of(sos)
    if len(shape) != 2 or shape[1] != 6 or not shape[0]:
        raise ArgumentError(f"{name}: sos has shape {shape}; give (sections, 6).")
    if not isinstance(sos, Tracer) and not np.all(np.asarray(sos)[:, 3] == 1):
        raise ArgumentError(f"{name}: sos[:, 3] must be ones; divide each section by it.")
    return shape[0]


@implements(name="scipy.signal.sosfilt")
def sosfilt(sos: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """Filters along an axis by sections of second order, one after the other: rows of `sos` are
    b[0], b[1], b[2], 1, a[1], a[2]. With the states `zi` (sections, ..., 2, ...) the result is the
    pair of y and the states behind the last element."""
    count = _sections("sosfilt", sos)
    place = _axis_of("sosfilt", x, axis)
    if zi is not None:
        expected = [count, *shape_of(x)]
        expected[place + 1] = 2
        if shape_of(zi) != tuple(expected):
            raise ArgumentError(f"sosfilt: zi has shape {shape_of(zi)}; give {tuple(expected)}.")

    def record(sos: Atom, x: Atom, *zi: Atom) -> Any:
        sos, x, *given = _inexact([sos, x, *zi])
        last = x.aval.ndim - 1
        y, states = move_axis(x, place, last), []
        for k in range(count):
            row = _row(sos, k)
            state = move_axis(_row(given[0], k), place, last) if given else None
            y, behind = _run_filter(slice_axis(row, 0, 0, 3), slice_axis(row, 0, 3, 6), y, state)
            if behind is not None:
                states.append(expand(move_axis(behind, last, place), (0,)))
        y = move_axis(y, last, place)
        return (y, concatenate(*states, axis=0)) if given else y

    return apply(record, sos, x, *([] if zi is None else [zi]))


def _row(v: Atom, k: int) -> Atom:
    return reshape(slice_axis(v, 0, k, k + 1), shape=v.aval.shape[1:])


def _piece(x: Any, axis: int, start: int | None, stop: int | None, step: int = 1) -> Any:
    return x[(*[slice(None)] * axis, slice(start, stop, step))]


def _continued(x: Any, axis: int, padtype: Any, edge: int) -> Any:
    """The signal continued by so many elements at both ends."""
    n = x.shape[axis]
    first, last = _piece(x, axis, 0, 1), _piece(x, axis, n - 1, n)
    if padtype == "constant":
        parts = [OPERATIONS["repeat"](v, edge, axis=axis) for v in (first, last)]
    else:
        parts = [
            OPERATIONS["flip"](_piece(x, axis, 1, edge + 1), axis),
            OPERATIONS["flip"](_piece(x, axis, n - edge - 1, n - 1), axis),
        ]
        if padtype == "odd":
            parts = [2 * v - part for v, part in zip((first, last), parts, strict=True)]
    return OPERATIONS["concatenate"]([parts[0], x, parts[1]], axis=axis)


@implements(name="scipy.signal.filtfilt")
def filtfilt(
    b: Any, a: Any, x: Any, axis: int = -1, padtype: Any = "odd", padlen: Any = None,
    method: str = "pad", irlen: Any = None,
) -> Any:  # fmt: skip
    """Filters along an axis forth and back, which shifts nothing in time; the signal is continued
    at both ends by `padlen` elements.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    >>> y = lambda d: ad.scipy.signal.filtfilt([1 - d], [1.0, -d], x, padlen=2)
    >>> y(0.5).round(3)
    array([0.042, 0.083, 0.167, 0.333, 0.167, 0.084, 0.043])
    >>> ad.grad(lambda d: y(d)[3])(0.5).round(3)
    np.float64(-0.886)
    """
    if method == "gust":
        raise UnsupportedError("filtfilt(method='gust') cannot be recorded; write method='pad'.")
    if method != "pad" or padtype not in ("odd", "even", "constant", None):
        raise ArgumentError(
            f"filtfilt: method={method!r}, padtype={padtype!r}; give method='pad' and padtype "
            "'odd', 'even', 'constant' or None."
        )
    _coefficients("filtfilt", b, a)
    place = _axis_of("filtfilt", x, axis)
    taps = max(np.prod(shape_of(v), dtype=int) for v in (b, a))
    edge = 0 if padtype is None else max(0, int(3 * taps if padlen is None else padlen))
    x = apply(lambda v: _inexact([v])[0], x) if isinstance(x, Tracer) else np.asarray(x)
    if x.shape[place] <= edge:
        raise ArgumentError(
            f"filtfilt: {x.shape[place]} elements along axis {place} and padlen={edge}; give a "
            "smaller padlen."
        )
    signal = _continued(x, place, padtype, edge) if edge else x
    state = OPERATIONS["reshape"](
        lfilter_zi(b, a), [-1 if i == place else 1 for i in range(len(x.shape))]
    )
    y = _forth(b, a, signal, place, state)
    y = OPERATIONS["flip"](_forth(b, a, OPERATIONS["flip"](y, place), place, state), place)
    return _piece(y, place, edge, signal.shape[place] - edge)


def _forth(b: Any, a: Any, x: Any, axis: int, state: Any) -> Any:
    y, _ = lfilter(b, a, x, axis, zi=state * _piece(x, axis, 0, 1))
    return y
