"""Cases of gather, the scatters and windows; the expected values are loops over single places."""

from collections.abc import Callable

import numpy as np

from executors.case import Case
from gpuad.ir.primitive import Primitive
from gpuad.primitives import indexing as p
from gpuad.primitives import windows as w

_draw = np.random.default_rng(11)


def _normal(*shape: int) -> np.ndarray:
    return _draw.uniform(-2.0, 2.0, shape)


def _complex(*shape: int) -> np.ndarray:
    return _normal(*shape) + 1j * _normal(*shape)


def gathered(x: np.ndarray, *indices: np.ndarray, batch: int) -> np.ndarray:
    shape = np.shape(indices[0])
    out = np.empty((*shape, *x.shape[batch + len(indices) :]), x.dtype)
    for at in np.ndindex(shape):
        out[at] = x[(*at[:batch], *[i[at] for i in indices])]
    return out


def scattered(combine: Callable) -> Callable:
    def expected(x: np.ndarray, u: np.ndarray, *indices: np.ndarray, batch: int) -> np.ndarray:
        out = x.copy()
        for at in np.ndindex(np.shape(indices[0])):
            place = (*at[:batch], *[i[at] for i in indices])
            out[place] = combine(out[place], u[at])
        return out

    return expected


# x's shape, the indices, the number of batch axes. Places 2 and (1, 0) come twice.
_ROWS = ((4, 3), (np.array([2, 0, 2]),), 0)
_PAIRS = ((3, 2, 2), (np.array([[1, 0], [2, 1]]), np.array([[0, 1], [1, 0]])), 0)
_BATCHED = ((2, 4), (np.array([[1, 1, 3], [0, 2, 0]]),), 1)
_SHAPES = {
    "rows": _ROWS,
    "pairs": _PAIRS,
    "scalar": ((3, 2), (np.array(1),), 0),
    "batched": _BATCHED,
    "batched_rest": ((2, 3, 2), (np.array([[2, 0], [1, 1]]),), 1),
    "batched_one": ((3, 4), (np.array([1, 0, 3]),), 1),
    "two_batched": ((2, 2, 3), (np.array([[[0, 2], [1, 1]], [[2, 2], [0, 1]]]),), 2),
    "batched_pair": ((2, 3, 2), (np.array([[0, 2], [1, 1]]), np.array([[1, 0], [0, 0]])), 1),
    "none": ((3, 2), (np.zeros((0,), np.int64),), 0),
}
_SCATTERS = {
    p.scatter_add: (lambda old, new: old + new, {}),
    p.scatter_mul: (lambda old, new: old * new, {}),
    p.scatter_max: (np.maximum, {}),
    p.scatter_min: (np.minimum, {}),
    p.scatter_set: (lambda old, new: new, {"unique": False}),
}


def _updates(shape: tuple, indices: tuple, batch: int, make: Callable) -> np.ndarray:
    return make(*indices[0].shape, *shape[batch + len(indices) :])


def _gather_case(name: str, make: Callable = _normal) -> Case:
    shape, indices, batch = _SHAPES[name]
    return Case(
        p.gather,
        (make(*shape), *indices),
        {"batch": batch},
        lambda x, *i: gathered(x, *i, batch=batch),
        f"gather-{name}-{make.__name__}",
    )


def _scatter_case(primitive: Primitive, name: str, make: Callable = _normal) -> Case:
    (combine, params), (shape, indices, batch) = _SCATTERS[primitive], _SHAPES[name]
    return Case(
        primitive,
        (make(*shape), _updates(shape, indices, batch, make), *indices),
        {"batch": batch, **params},
        lambda x, u, *i: scattered(combine)(x, u, *i, batch=batch),
        f"{primitive}-{name}-{make.__name__}",
    )


def _slice_set_case(shape: tuple, *slices: slice) -> Case:
    x = _normal(*shape)

    def expected(x: np.ndarray, u: np.ndarray) -> np.ndarray:
        out = x.copy()
        out[slices] = u
        return out

    return Case(
        w._slice_set,
        (x, _normal(*x[slices].shape)),
        {
            "starts": tuple([s.start for s in slices]),
            "stops": tuple([s.stop for s in slices]),
            "steps": tuple([s.step for s in slices]),
        },
        expected,
        f"slice_set-{slices}",
    )


CASES = [
    *[_gather_case(name) for name in _SHAPES],
    _gather_case("pairs", _complex),
    *[_scatter_case(primitive, name) for primitive in _SCATTERS for name in _SHAPES],
    *[_scatter_case(q, "rows", _complex) for q in (p.scatter_add, p.scatter_mul, p.scatter_set)],
    Case(
        p.scatter_set,
        (_normal(4, 2), _normal(2, 2), np.array([3, 1])),
        {"batch": 0, "unique": True},
        lambda x, u, i: scattered(lambda old, new: new)(x, u, i, batch=0),
        "scatter_set-unique",
    ),
    _slice_set_case((5, 3), slice(1, 4, 1), slice(0, 3, 1)),
    _slice_set_case((6, 4), slice(1, 6, 2), slice(3, 4, 1)),
    _slice_set_case((4,), slice(2, 2, 1)),
]
