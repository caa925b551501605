"""Cases of host functions. Their operands are whole numbers: a host function has no derivative rule
(``external`` is tested with custom rules)."""

import numpy as np

from executors.case import Case
from gpuad.ir.aval import Aval
from gpuad.primitives.host import Host, external_call

_X = np.arange(6).reshape(2, 3)


def _sums(x, y):
    return x + y, x.sum(axis=-1)


CASES = [
    Case(
        external_call,
        (_X, _X[::-1].copy()),
        {
            "host": Host(_sums, "sums", vectorized),
            "avals": (Aval((2, 3), _X.dtype), Aval((2,), _X.dtype)),
        },
        _sums,
        f"external_call-{vectorized}",
    )
    for vectorized in (False, True)
]
