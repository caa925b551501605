"""Cases of sorting and searching."""

import numpy as np

from executors.case import Case
from gpuad.primitives import sorting as s

_draw = np.random.default_rng(5)
_X = _draw.uniform(-2.0, 2.0, (3, 5, 2))
_COMPLEX = _draw.normal(size=(2, 4)) + 1j * _draw.normal(size=(2, 4))
_INTEGERS = _draw.integers(0, 3, (3, 6))
_LINES = np.sort(_draw.normal(size=(3, 4)), axis=1)
_QUERIES = _draw.normal(size=(3, 2, 2))


def _in_lines(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.stack([np.searchsorted(row, query) for row, query in zip(a, v, strict=True)])


CASES = [
    *[
        Case(s.sort, (x,), {"axis": axis}, lambda x, a=axis: np.sort(x, a), f"sort-{i}")
        for i, (x, axis) in enumerate(
            [(_X, 1), (_X, 0), (_X[0, :, 0], 0), (_COMPLEX, 1), (_INTEGERS, 1), (_X[:0], 0)]
        )
    ],
    *[
        Case(
            s.argsort, (x,), {"axis": axis},
            lambda x, a=axis: np.argsort(x, a, kind="stable"), f"argsort-{i}",
        )
        for i, (x, axis) in enumerate([(_X, 1), (_X, 2), (_INTEGERS, 1)])
    ],
    *[
        Case(
            s.permute_along, (x, np.argsort(_draw.random(x.shape), axis)), {"axis": axis},
            lambda x, p, a=axis: np.take_along_axis(x, p, a), f"permute_along-{i}",
        )
        for i, (x, axis) in enumerate([(_X, 1), (_X, 0), (_COMPLEX, 1)])
    ],
    *[
        Case(
            s.searchsorted, (_LINES[0], _QUERIES), {"side": side, "batch": 0},
            lambda a, v, side=side: np.searchsorted(a, v, side), f"searchsorted-{side}",
        )
        for side in ("left", "right")
    ],
    Case(
        s.searchsorted, (_LINES, _QUERIES), {"side": "left", "batch": 1}, _in_lines,
        "searchsorted-batch",
    ),
]  # fmt: skip
