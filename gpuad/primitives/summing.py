"""Sums over many elements in single precision that keep their digits.

NumPy adds pair by pair only along the axis that is innermost in memory. Along other axes it adds
one by one, as BLAS does along the rows of thin matrices: for 10⁶ equal numbers in float32 that
loses 1e-4 to 1e-2. Here only short runs are added one by one, and the sums of runs in double
precision.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np

RUN = 32
"""How many elements of a sum are added one by one: equal ones lose up to 5e-7."""
MIN_SUM = 4 * RUN
"""The fewest elements of a sum that is made in runs."""
PRODUCT_RUN = 64
"""The length of a run in a matrix product, whose runs are a call of BLAS each."""
SCALAR_RUN = 1 << 9
"""The same in a product with one result: BLAS adds that in several vectors of numbers."""
MIN_PRODUCT = 1 << 11
"""The shortest contracted axis of a product that is made in runs."""
MAX_RUN_RESULTS = 1 << 10
"""The most results of a product that is made in runs. For more, BLAS makes runs of a few hundred
itself, which lose 4e-6."""
FEW_RESULTS = 1 << 6
"""The most results whose runs are all added in double precision, which takes little time then."""
WIDE = {np.dtype("f2"): "f8", np.dtype("f4"): "f8", np.dtype("c8"): "c16"}


def add_reduce(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """The sum over axes, in the dtype of `x`."""
    if xp is not np or x.dtype not in WIDE or _is_precise(x, axes):
        return xp.add.reduce(x, axis=axes, dtype=x.dtype)
    wide = WIDE[x.dtype]
    axis = max(axes, key=lambda a: x.shape[a])
    parts, rest = cut(x, axis, RUN)
    short = np.add.reduce(parts, axis=axis + 1, dtype=np.result_type(x.dtype, np.float32))
    total = np.add.reduce(short, axis=axes, dtype=wide)
    if rest.shape[axis]:
        total = total + np.add.reduce(rest, axis=axes, dtype=wide)
    return total.astype(x.dtype)


def _is_precise(x: Any, axes: tuple[int, ...]) -> bool:
    """Whether NumPy's sum is precise: of few elements, or pair by pair, because the summed axes are
    innermost in memory and dense."""
    if math.prod([x.shape[a] for a in axes]) < MIN_SUM:
        return True
    order = sorted([a for a in range(x.ndim) if x.shape[a] > 1], key=lambda a: abs(x.strides[a]))
    count = len([a for a in order if a in axes])
    inner = order[:count]
    steps = [x.strides[a] * x.shape[a] == x.strides[b] for a, b in pairwise(inner)]
    return set(inner) <= set(axes) and all(steps)


def product_run(length: int, results: int) -> int:
    """The length of runs of a product with a contracted axis of this length and so many results; 0
    if it is one call of BLAS."""
    if length < MIN_PRODUCT or not 0 < results <= MAX_RUN_RESULTS:
        return 0
    return PRODUCT_RUN if results > 1 else SCALAR_RUN


def cut(x: Any, axis: int, run: int) -> tuple[Any, Any]:
    """The array with one axis as two, runs and their elements; and the rest behind the last run."""
    n = x.shape[axis] // run
    before = (slice(None),) * axis
    whole = x[(*before, slice(n * run))]
    shape = (*x.shape[:axis], n, run, *x.shape[axis + 1 :])
    return whole.reshape(shape), x[(*before, slice(n * run, None))]


def add_runs(parts: Any, rest: Any) -> Any:
    """The sum of `parts`, the products of runs, along their first axis, and of `rest`."""
    wide = WIDE[parts.dtype]
    if parts[0].size > FEW_RESULTS:
        total = add_reduce(np, parts, (0,)).astype(wide)
    else:
        total = np.add.reduce(parts, axis=0, dtype=wide)
    return (total + rest).astype(parts.dtype)
