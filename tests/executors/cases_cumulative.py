"""Cases of the cumulative operations."""

import numpy as np

from executors.case import Case
from gpuad.primitives import cumulative as c

_draw = np.random.default_rng(4)
_X = _draw.uniform(-2.0, 2.0, (3, 5, 2))
_LINE = _draw.uniform(-2.0, 2.0, 9)
_ZEROS = np.array([[1.5, 0.0, -0.5, 2.0, 3.0], [0.0, 0.7, 0.0, 1.2, 1.0]])
_COMPLEX = _draw.normal(size=(2, 4)) + 1j * _draw.normal(size=(2, 4))
_INTEGERS = _draw.integers(-5, 6, (3, 4))


def _recurrence(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    y = np.zeros_like(b)
    for k in range(len(b)):
        y[k] = b[k] + (a[k] * y[k - 1] if k else 0)
    return np.moveaxis(y, 0, axis)


CASES = [
    *[
        Case(primitive, (x,), {"axis": axis}, lambda x, f=f, a=axis: f(x, axis=a),
             f"{primitive}-{i}")
        for primitive, f in [
            (c.cumsum, np.cumsum),
            (c.cumprod, np.cumprod),
            (c.cummax, np.maximum.accumulate),
            (c.cummin, np.minimum.accumulate),
            (c.cumlogsumexp, np.logaddexp.accumulate),
        ]
        for i, (x, axis) in enumerate([(_X, 1), (_X, 2), (_LINE, 0), (_LINE[:1], 0), (_X[:0], 0)])
    ],
    *[
        Case(
            c.linear_recurrence, (a, b), {"axis": axis},
            lambda a, b, axis=axis: _recurrence(a, b, axis), f"linear_recurrence-{i}",
        )
        for i, (a, b, axis) in enumerate(
            [
                (_X, _draw.normal(size=_X.shape), 1),
                (_LINE, _draw.normal(size=_LINE.shape), 0),
                (_ZEROS, _draw.normal(size=_ZEROS.shape), 1),
                (_COMPLEX, _draw.normal(size=_COMPLEX.shape) + 1j, 1),
            ]
        )
    ],
    Case(c.cumprod, (_ZEROS,), {"axis": 1}, lambda x: x.cumprod(1), "cumprod-zeros"),
    Case(c.cumsum, (_COMPLEX,), {"axis": 1}, lambda x: x.cumsum(1), "cumsum-complex"),
    Case(c.cumprod, (_COMPLEX,), {"axis": 1}, lambda x: x.cumprod(1), "cumprod-complex"),
    Case(c.cumsum, (_INTEGERS,), {"axis": 0}, lambda x: x.cumsum(0), "cumsum-integers"),
    Case(c.cummax, (_INTEGERS,), {"axis": 0}, lambda x: np.maximum.accumulate(x, 0), "cummax-int"),
]  # fmt: skip
