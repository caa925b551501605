"""The reference executor: a graph run equation by equation through NumPy or CuPy.

It is the meaning of every graph; the other executors are tested against it. It frees each value
after its last use, never changes an input and never returns one: a result that shares memory with
an argument is copied.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.graph import Graph
from gpuad.ir.interpret import program


def run(graph: Graph, inputs: Sequence[Any], xp: Any) -> list[Any]:
    """The outputs of `graph` for these arrays of the namespace `xp`."""
    with np.errstate(all="ignore"):
        outputs = program(graph, xp)(*inputs)
    return [own(x, inputs) for x in outputs]


def own(x: Any, inputs: Sequence[Any]) -> Any:
    """`x` itself if it is a fresh array, else a copy."""
    if isinstance(x, np.generic):
        return x
    if not x.ndim and isinstance(x, np.ndarray):
        return x[()]
    if x.base is None:
        if any(x is y for y in inputs):
            return x.copy()
        return x
    if 0 in x.strides or any(_shares(x, y) for y in inputs):
        return x.copy()
    return x


def apart(results: Sequence[Any]) -> list[Any]:
    """The results, none sharing memory with another: a second view of a value is copied."""
    if len(results) < 2:
        return list(results)
    seen: set[int] = set()
    separate = []
    for x in results:
        root = id(_root(x))
        separate.append(x.copy() if root in seen and not isinstance(x, np.generic) else x)
        seen.add(root)
    return separate


def _shares(x: Any, y: Any) -> bool:
    return _root(x) is _root(y)


def _root(x: Any) -> Any:
    while getattr(x, "base", None) is not None:
        x = x.base
    return x
