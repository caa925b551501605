"""make_graph: a recorded function as text."""

import functools
from collections.abc import Callable
from typing import Any

from gpuad import tree
from gpuad.api.recording import Arguments, argument_paths, check_array, check_callable, record
from gpuad.ir.graph import Graph
from gpuad.ir.show import show


class GraphText:
    """A recorded function, printed as text; made by `make_graph`.

    Attributes
    ----------
    graph
        The recorded graph.
    """

    def __init__(self, graph: Graph):
        self.graph = graph

    def __repr__(self) -> str:
        return show(self.graph)


def make_graph(function: Callable[..., Any]) -> Callable[..., GraphText]:
    """A function of the same arguments that gives the recorded graph instead of the result.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays; a derivative is one too, as in
        ``make_graph(grad(f))``.

    Returns
    -------
    callable
        A function of the same arguments. It gives a `GraphText`, which prints as one line for each
        operation: the name, dtype and shape of the result, the primitive, and its operands.

    Raises
    ------
    ArgumentError
        If `function` is not a function, or if an argument or its result has a leaf that is not an
        array.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> def f(x):
    ...     return np.sin(x**2)
    >>> ad.make_graph(ad.grad(f))(2.0)
    f(a: f64[]) {
      b: f64[] = square a
      c: f64[] = mul 2.0 a
      d: f64[] = cos b
      e: f64[] = mul d 1.0
      f: f64[] = mul c e
      return f
    }
    """
    check_callable(function, "make_graph")

    @functools.wraps(function)
    def text(*args: Any, **kwargs: Any) -> GraphText:
        leaves, treedef = tree.flatten((args, kwargs))
        for x, path in zip(leaves, argument_paths(function, args, kwargs), strict=True):
            check_array(x, path, "make_graph")
        recorded = record(function, Arguments(leaves, treedef))
        return GraphText(recorded.graph)

    return text


__all__ = ["GraphText", "make_graph"]
