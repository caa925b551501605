"""Sums over many elements in single precision that keep their digits.

NumPy adds pair by pair only along the axis that is innermost in memory; over the others, and BLAS
over the rows of thin matrices, one by one: of 10⁶ equal numbers in float32 that loses 1e-4 to 1e-2.
Here short runs are added so, and their sums in double precision.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np

RUN = 32
"""Elements added one by one: equal ones lose up to 5e-7."""
LEAST = 4 * RUN
"""A sum of fewer elements is left as it is."""
PRODUCT_RUN = 64
"""The same of products, whose runs are a call of BLAS each."""
SCALAR_RUN = 1 << 9
"""The same of a single sum, which BLAS adds up in the numbers of several vectors."""
LEAST_PRODUCT = 1 << 11
"""Products of fewer are one call."""
VALUES = 1 << 10
"""The most results of one product that is made in runs: BLAS adds larger ones up in runs itself, of
a few hundred (4e-6)."""
FEW_VALUES = 1 << 6
"""Sums of so few values are added in double precision at once: that takes little time then."""
WIDE = {np.dtype("f2"): "f8", np.dtype("f4"): "f8", np.dtype("c8"): "c16"}


def add_reduce(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """The sum over axes, in the dtype of `x`."""
    if xp is not np or x.dtype not in WIDE or _in_pairs(x, axes):
        return xp.add.reduce(x, axis=axes, dtype=x.dtype)
    wide = WIDE[x.dtype]
    axis = max(axes, key=lambda a: x.shape[a])
    parts, rest = cut(x, axis, RUN)
    short = np.add.reduce(parts, axis=axis + 1, dtype=np.result_type(x.dtype, np.float32))
    total = np.add.reduce(short, axis=axes, dtype=wide)
    if rest.shape[axis]:
        total = total + np.add.reduce(rest, axis=axes, dtype=wide)
    return total.astype(x.dtype)


def _in_pairs(x: Any, axes: tuple[int, ...]) -> bool:
    """Whether NumPy adds few, or pair by pair: what is summed lies innermost, in one run."""
    if math.prod([x.shape[a] for a in axes]) < LEAST:
        return True
    order = sorted([a for a in range(x.ndim) if x.shape[a] > 1], key=lambda a: abs(x.strides[a]))
    count = len([a for a in order if a in axes])
    inner = order[:count]
    steps = [x.strides[a] * x.shape[a] == x.strides[b] for a, b in pairwise(inner)]
    return set(inner) <= set(axes) and all(steps)


def product_run(length: int, values: int) -> int:
    """How many of the products whose sums are so many values one call of BLAS adds up; 0: all."""
    if length < LEAST_PRODUCT or not 0 < values <= VALUES:
        return 0
    return PRODUCT_RUN if values > 1 else SCALAR_RUN


def cut(x: Any, axis: int, run: int) -> tuple[Any, Any]:
    """The array with an axis cut into runs, of one more axis, and what is left over."""
    n = x.shape[axis] // run
    before = (slice(None),) * axis
    whole = x[(*before, slice(n * run))]
    shape = (*x.shape[:axis], n, run, *x.shape[axis + 1 :])
    return whole.reshape(shape), x[(*before, slice(n * run, None))]


def add_runs(parts: Any, rest: Any) -> Any:
    """The sum of the products of runs, along the first axis, and of what was left over."""
    wide = WIDE[parts.dtype]
    if parts[0].size > FEW_VALUES:
        total = add_reduce(np, parts, (0,)).astype(wide)
    else:
        total = np.add.reduce(parts, axis=0, dtype=wide)
    return (total + rest).astype(parts.dtype)
