"""The reference executor: a graph run equation by equation through NumPy or CuPy.

It defines the result of every graph; the other executors are tested against it. It frees each value
after its last use, never changes an input and never returns one: a result that shares memory with
an argument is copied.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from gpuad.ir.graph import Graph
from gpuad.ir.half import widened
from gpuad.ir.interpret import program


def run(graph: Graph, inputs: Sequence[Any], xp: Any) -> list[Any]:
    """The outputs of `graph` for these arrays of the namespace `xp`."""
    with np.errstate(all="ignore"):
        outputs = program(graph, xp)(*inputs)
    return owned(outputs, inputs)


def owned(outputs: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """Each output itself if it is a fresh array, else a copy."""
    given = {id(_root(x)) for x in inputs}
    return [_owned(x, given) for x in outputs]


def _owned(x: Any, given: Collection[int]) -> Any:
    if isinstance(x, np.generic):
        return x
    if not x.ndim and isinstance(x, np.ndarray):
        return x[()]
    spread = x.base is not None and 0 in x.strides
    return x.copy() if spread or id(_root(x)) in given else x


def apart(results: Sequence[Any]) -> list[Any]:
    """The results; one that shares memory with an earlier one is copied."""
    if len(results) < 2:
        return list(results)
    seen: set[int] = set()
    separate = []
    for x in results:
        root = id(_root(x))
        separate.append(x.copy() if root in seen and not isinstance(x, np.generic) else x)
        seen.add(root)
    return separate


def has_nan(x: Any) -> bool:
    """Whether an element of an array is NaN."""
    x = np.asarray(x)
    x = x.astype(widened(x.dtype), copy=False)
    if x.dtype.kind not in "fc" or not x.size:
        return False
    with np.errstate(all="ignore"):
        return bool(np.isnan(x.min() if x.dtype.kind == "f" else x.sum()))


def _root(x: Any) -> Any:
    while getattr(x, "base", None) is not None:
        x = x.base
    return x
