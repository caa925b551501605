"""Cases of the reductions."""

import numpy as np
import scipy.special

from executors.case import Case
from gpuad.primitives import reduction as r

_draw = np.random.default_rng(3)
_X = _draw.uniform(-2.0, 2.0, (2, 3, 4))
_ZEROS = np.array([[1.5, 0.0, -0.5, 2.0], [0.0, 0.7, 0.0, 1.2], [0.3, -0.4, 0.9, 1.1]])
_COMPLEX = _draw.normal(size=(2, 3)) + 1j * _draw.normal(size=(2, 3))
_INTEGERS = _draw.integers(-5, 6, (3, 4))
_TRUTH = _draw.random((3, 4)) < 0.5
_EMPTY = np.zeros((3, 0))


def _norm(x, axis):
    return np.sqrt(np.sum(x * x, axis=axis))


def _unit(x, axis):
    return x / np.sqrt(np.sum(x * x, axis=axis, keepdims=True))


CASES = [
    *[
        Case(primitive, (x,), {"axes": axes}, lambda x, f=f, a=axes: f(x, axis=a), f"{name}-{i}")
        for name, primitive, f in [
            ("sum", r.reduce_sum, np.sum),
            ("prod", r.reduce_prod, np.prod),
            ("max", r.reduce_max, np.max),
            ("min", r.reduce_min, np.min),
            ("logsumexp", r.reduce_logsumexp, scipy.special.logsumexp),
            ("softmax", r.softmax, scipy.special.softmax),
            ("log_softmax", r.log_softmax, scipy.special.log_softmax),
            ("norm", r.reduce_norm, _norm),
            ("unit_vector", r.unit_vector, _unit),
        ]
        for i, (x, axes) in enumerate([(_X, (1,)), (_X, (0, 2)), (_X[0, 0], (0,))])
    ],
    *[
        Case(primitive, (_X[0],), {"axes": ()}, lambda x: x, f"{primitive}-no_axes")
        for primitive in (r.reduce_sum, r.reduce_prod, r.reduce_max, r.reduce_logsumexp)
    ],
    Case(r.reduce_sum, (_COMPLEX,), {"axes": (0,)}, lambda x: x.sum(0), "sum-complex"),
    Case(r.reduce_prod, (_COMPLEX,), {"axes": (0, 1)}, np.prod, "prod-complex"),
    Case(r.reduce_prod, (_ZEROS,), {"axes": (1,)}, lambda x: x.prod(1), "prod-zeros"),
    Case(r.reduce_sum, (_INTEGERS,), {"axes": (0,)}, lambda x: x.sum(0), "sum-integers"),
    Case(r.reduce_prod, (_INTEGERS,), {"axes": (0,)}, lambda x: x.prod(0), "prod-integers"),
    Case(r.reduce_max, (_INTEGERS,), {"axes": (0,)}, lambda x: x.max(0), "max-integers"),
    Case(r.reduce_sum, (_EMPTY,), {"axes": (1,)}, lambda x: x.sum(1), "sum-empty"),
    Case(r.reduce_prod, (_EMPTY,), {"axes": (1,)}, lambda x: x.prod(1), "prod-empty"),
    Case(r.reduce_logsumexp, (_EMPTY,), {"axes": (1,)}, lambda x: np.full(3, -np.inf), "lse-empty"),
    Case(r.kept_any, (_ZEROS * [0, 1, 1, 1],), {"axes": (0,)}, lambda x: x.any(0), "kept_any"),
    Case(r.reduce_any, (_TRUTH,), {"axes": (1,)}, lambda x: x.any(1)),
    Case(r.reduce_any, (_TRUTH,), {"axes": (0, 1)}, lambda x: x.any(), "any-all_axes"),
    Case(r.reduce_all, (_TRUTH,), {"axes": (0,)}, lambda x: x.all(0)),
    Case(r.argmax, (_X,), {"axis": 1}, lambda x: x.argmax(1)),
    Case(r.argmin, (_X,), {"axis": 2}, lambda x: x.argmin(2)),
    Case(r.argmax, (_INTEGERS,), {"axis": 0}, lambda x: x.argmax(0), "argmax-integers"),
]
