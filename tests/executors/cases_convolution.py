"""Cases of convolutions along several axes, and of recursive filters."""

import itertools

import numpy as np
import scipy.signal

from executors.case import Case
from gpuad.primitives import convolution as c
from gpuad.primitives.recursive import recursive_filter

_draw = np.random.default_rng(12)


def _real(*shape):
    return _draw.uniform(-1.0, 1.0, shape)


def _complex(*shape):
    return _draw.normal(size=shape) + 1j * _draw.normal(size=shape)


def _integers(*shape):
    return _draw.integers(-5, 6, shape)


def _each(function, batch):
    """The function of the arrays that go together."""

    def f(x, y):
        lead = x.shape[:batch]
        places = itertools.product(*map(range, lead))
        parts = [function(x[i], y[i]) for i in places]
        return np.reshape(parts, (*lead, *parts[0].shape)) if batch else parts[0]

    return f


def _full(name, x, y, batch=0):
    f = _each(lambda x, y: scipy.signal.convolve(x, y, method="direct"), batch)
    return Case(c.convolve_full, (x, y), {"batch": batch}, f, f"convolve_full-{name}")


def _valid(name, z, y, batch=0):
    f = _each(lambda z, y: scipy.signal.correlate(z, y.conj(), "valid", "direct"), batch)
    return Case(c.correlate_valid, (z, y), {"batch": batch}, f, f"correlate_valid-{name}")


def _filter(name, a, x, batch=0):
    def one(a, x):
        return scipy.signal.lfilter([1.0], np.r_[1.0, a], x)

    return Case(
        recursive_filter, (a, x), {"batch": batch}, _each(one, batch), f"recursive_filter-{name}"
    )


def _with_marks(marked, case):
    """The same with a mark for each operand."""
    x, y = case.operands
    marks = [_draw.random(z.shape) < 2 for z in (x, y)]
    return Case(
        marked, (*marks, x, y), case.params, lambda mx, my, x, y: case.expected(x, y),
        f"{marked}-{case.id}",
    )  # fmt: skip


PLAIN = [
    _full("line", _real(7), _real(3)),
    _full("short", _real(2), _real(5)),
    _full("plane", _real(4, 5), _real(2, 3)),
    _full("space", _complex(2, 3, 2), _complex(2, 1, 2)),
    _full("rows", _real(3, 4), _real(1, 3)),
    _full("long rows", _real(2, c.LEAST_ROW), _real(1, 3)),
    _full("batch", _real(2, 4, 3), _real(2, 2, 2), 1),
    _full("lines", _complex(2, 5), _complex(2, 3), 1),
    _full("integers", _integers(4, 3), _integers(2, 2)),
    Case(c.convolve_full, (_real(0, 3), _real(0, 2)), {"batch": 1}, lambda x, y: np.zeros((0, 4)),
         "convolve_full-empty"),
    _valid("line", _real(7), _real(3)),
    _valid("complex", _complex(7), _complex(3)),
    _valid("plane", _real(4, 5), _real(2, 3)),
    _valid("few sums", _complex(4, 5, 3), _complex(3, 5, 3)),
    _valid("rows", _real(3, 4), _real(1, 3)),
    _valid("long rows", _real(2, c.LEAST_ROW), _real(1, 3)),
    _valid("batch", _real(2, 4, 3), _real(2, 2, 2), 1),
    _valid("few sums of a batch", _real(2, 4, 3), _real(2, 3, 3), 1),
    _valid("integers", _integers(4, 3), _integers(2, 2)),
    Case(c.correlate_valid, (_real(0, 3), _real(0, 2)), {"batch": 1}, lambda z, y: np.zeros((0, 2)),
         "correlate_valid-empty"),
    _filter("line", _real(2) / 3, _real(9)),
    _filter("rows", _real(3) / 4, _real(2, 3, 7)),
    _filter("complex", _complex(2) / 6, _complex(2, 6)),
    _filter("batch", _real(2, 3) / 4, _real(2, 4, 6), 1),
    _filter("lines", _real(2, 3) / 4, _real(2, 6), 1),
    _filter("nothing", _real(0), _real(3)),
    Case(recursive_filter, (_real(2), _real(0, 4)), {"batch": 0}, lambda a, x: x,
         "recursive_filter-empty"),
]  # fmt: skip
MARKED = {c.convolve_full: c.convolve_kept, c.correlate_valid: c.correlate_kept}
CASES = [
    *PLAIN,
    *[
        _with_marks(MARKED[case.primitive], case)
        for case in PLAIN
        if case.primitive in MARKED and case.operands[0].size and "long" not in case.id
        and case.operands[0].dtype.kind in "fc"
    ],
]  # fmt: skip
