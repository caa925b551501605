"""Cases of the structure primitives."""

import numpy as np

from executors.case import Case
from gpuad.primitives import sources
from gpuad.primitives import structure as s

_draw = np.random.default_rng(1)
_X = _draw.uniform(-2.0, 2.0, (2, 3, 4))
_ROW = _X[:1, 0]
_COMPLEX = _draw.normal(size=(2, 3)) + 1j * _draw.normal(size=(2, 3))
_INTEGERS = _draw.integers(-5, 6, (3, 4))
_TRUTH = _INTEGERS > 0
_EMPTY = np.zeros((3, 0))


def _broadcast(x, shape, dims, name=""):
    def expected(x):
        x = np.asarray(x)
        full = [1] * len(shape)
        for d, n in zip(dims, x.shape, strict=True):
            full[d] = n
        return np.broadcast_to(x.reshape(full), shape)

    return Case(s.broadcast, (x,), {"shape": shape, "dims": dims}, expected, f"broadcast-{name}")


def _reshape(x, shape, name=""):
    return Case(s._reshape, (x,), {"shape": shape}, lambda x: x.reshape(shape), f"reshape-{name}")


def _transpose(x, perm, name=""):
    return Case(
        s._transpose, (x,), {"perm": perm}, lambda x: x.transpose(perm), f"transpose-{name}"
    )


def _slice(x, starts, stops, steps, name=""):
    key = tuple(map(slice, starts, stops, steps))
    params = {"starts": starts, "stops": stops, "steps": steps}
    return Case(s._slice, (x,), params, lambda x: x[key], f"slice-{name}")


def _pad(x, low, high, step, name=""):
    def expected(x):
        spread = np.zeros([max(0, (n - 1) * k + 1) for n, k in zip(x.shape, step, strict=True)])
        spread = spread.astype(x.dtype)
        spread[tuple([slice(None, None, k) for k in step])] = x
        return np.pad(spread, list(zip(low, high, strict=True)))

    return Case(s.pad, (x,), {"low": low, "high": high, "step": step}, expected, f"pad-{name}")


def _concatenate(xs, axis, name=""):
    return Case(
        s.concatenate, xs, {"axis": axis}, lambda *xs: np.concatenate(xs, axis), f"concat-{name}"
    )


def _iota(shape, axis, dtype=np.int64):
    params = {"shape": shape, "dtype": np.dtype(dtype), "axis": axis}
    name = "x".join(map(str, shape))
    return Case(
        sources._iota,
        (),
        params,
        lambda: np.indices(shape)[axis].astype(dtype),
        f"iota-{name}-{axis}",
    )


CASES = [
    _broadcast(_X, (2, 3, 4, 5), (0, 1, 2), "new_last"),
    _broadcast(_X[0], (3, 5, 4), (0, 2), "new_middle"),
    _broadcast(_ROW, (3, 4), (0, 1), "stretched"),
    _broadcast(_ROW, (5, 3, 4), (1, 2), "new_and_stretched"),
    _broadcast(_ROW, (1, 1, 4), (1, 2), "ones"),
    _broadcast(_X[:, :1].T, (4, 3, 2), (0, 1, 2), "strided"),
    _broadcast(_X[0, 0, 0], (2, 3), (), "no_axes"),
    _broadcast(2.5 * np.ones(()), (), (), "to_no_axes"),
    _broadcast(_ROW, (0, 4), (0, 1), "to_nothing"),
    _broadcast(_COMPLEX, (3, 2, 3), (1, 2), "complex"),
    _broadcast(_TRUTH, (2, 3, 4), (1, 2), "booleans"),
    _reshape(_X, (6, 4), "joined"),
    _reshape(_X, (2, 2, 6), "cut_across"),
    _reshape(_X, (2, 1, 3, 4, 1), "with_ones"),
    _reshape(_X.transpose(2, 0, 1), (4, 6), "of_transposed"),
    _reshape(_X[:1, :1, :1], (), "to_no_axes"),
    _reshape(_X[0, 0, 0], (1, 1), "of_no_axes"),
    _reshape(_EMPTY, (0, 5), "empty"),
    _reshape(_COMPLEX, (3, 2), "complex"),
    _reshape(_INTEGERS, (2, 6), "integers"),
    _transpose(_X, (2, 0, 1), "turned"),
    _transpose(_X, (0, 2, 1), "swapped"),
    _transpose(_COMPLEX, (1, 0), "complex"),
    _transpose(_EMPTY, (1, 0), "empty"),
    _slice(_X, (0, 1, 0), (2, 3, 4), (1, 1, 1), "one_axis"),
    _slice(_X, (1, 0, 1), (2, 3, 4), (1, 2, 2), "strided"),
    _slice(_X[0, 0], (0,), (4,), (3,), "step_to_end"),
    _slice(_X[0], (2, 0), (2, 4), (1, 1), "nothing"),
    _slice(_COMPLEX, (0, 1), (2, 3), (1, 1), "complex"),
    _slice(_INTEGERS, (1, 0), (3, 4), (1, 3), "integers"),
    _pad(_X, (1, 0, 2), (0, 0, 1), (1, 1, 1), "around"),
    _pad(_X[0], (0, 1), (2, 0), (2, 3), "between"),
    _pad(_EMPTY, (1, 2), (0, 1), (1, 2), "empty"),
    _pad(_COMPLEX, (1, 0), (0, 1), (1, 2), "complex"),
    _pad(_TRUTH, (1, 0), (0, 1), (1, 1), "booleans"),
    _concatenate((_X, _X[:, :1]), 1, "two"),
    _concatenate((_X[0], -_X[1], 2 * _X[0]), 0, "three"),
    _concatenate((_X[0],), 1, "one"),
    _concatenate((_EMPTY, _X[0, :, :2]), 1, "with_empty"),
    _concatenate((_COMPLEX, 1j * _COMPLEX), 1, "complex"),
    _concatenate((_INTEGERS, _INTEGERS), 0, "integers"),
    Case(s.flip, (_X,), {"axes": (1,)}, lambda x: np.flip(x, 1), "flip-one"),
    Case(s.flip, (_X,), {"axes": (0, 2)}, lambda x: np.flip(x, (0, 2)), "flip-two"),
    Case(s.flip, (_COMPLEX,), {"axes": (0, 1)}, np.flip, "flip-complex"),
    Case(s.flip, (_EMPTY,), {"axes": (1,)}, lambda x: x, "flip-empty"),
    Case(sources.stop_gradient, (_X,), {}, lambda x: x, "stop_gradient"),
    Case(sources.stop_gradient, (_INTEGERS,), {}, lambda x: x, "stop_gradient-integers"),
    _iota((5,), 0),
    _iota((2, 3), 0),
    _iota((2, 3), 1, np.float32),
    _iota((0, 3), 0),
    Case(
        sources._array_constant,
        (),
        {"value": sources.ArrayConstant(_X)},
        lambda: _X,
        "array_constant",
    ),
]
