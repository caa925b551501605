"""Transforms are pure functions of a graph: their results are kept with the graph."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from gpuad.collector import gc_paused
from gpuad.ir.check import check
from gpuad.ir.graph import Graph

F = TypeVar("F", bound=Callable[..., Any])

checking = False
"""Whether every transform's result is checked for legality; the tests turn it on."""


def memo(transform: F) -> F:
    """A transform that computes ``transform(graph, *args)`` once for each graph and hashable
    `args`."""

    @functools.wraps(transform)
    def remembered(graph: Graph, *args: Any) -> Any:
        key = (transform.__qualname__, transform.__module__, *args)
        found = graph.derived.get(key)
        if found is None:
            with gc_paused:
                found = graph.derived[key] = transform(graph, *args)
            if checking:
                for result in found if isinstance(found, tuple) else (found,):
                    if isinstance(result, Graph):
                        check(result)
        return found

    return remembered  # type: ignore[return-value]
