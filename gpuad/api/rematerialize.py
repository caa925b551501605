"""checkpoint: intermediate values are computed again instead of stored."""

import functools
from collections.abc import Callable
from typing import Any

from gpuad import tree
from gpuad.api.recording import Arguments, check_callable, record
from gpuad.tracing import Tracer, apply, as_tracers, innermost
from gpuad.transforms.calls import checkpoint as checkpoint_


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose intermediate values are not stored for reverse mode but computed again.

    Parameters
    ----------
    function
        A function of arrays or pytrees of arrays, with an array or a pytree as its result.

    Returns
    -------
    callable
        A function of the same arguments with the same values and derivatives.

    Raises
    ------
    ArgumentError
        If `function` is not a function, or if, inside a transform, a leaf of its result is not an
        array.
    GpuadError
        If `function` does what cannot be recorded; the docstring of `gpuad` lists the cases.

    Notes
    -----
    Reverse mode then holds the arguments instead of the intermediate values, at the price of
    computing the function once more (Griewank & Walther, *Evaluating Derivatives*, 2008, ch. 12).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(ad.checkpoint(lambda x: np.sin(np.sin(x))))(1.0)
    np.float64(0.36003948908962097)
    """
    check_callable(function, "checkpoint")

    @functools.wraps(function)
    def recomputed(*args: Any, **kwargs: Any) -> Any:
        leaves, treedef = tree.flatten((args, kwargs))
        traced = [isinstance(x, Tracer) for x in leaves]
        if innermost(leaves) is None:
            result = function(*args, **kwargs)
            innermost(tree.flatten(result)[0])  # raises if a Tracer of an ended trace is in it
            return result
        recorded = record(function, Arguments(leaves, treedef, traced))
        operands = [x for x, on in zip(leaves, traced, strict=True) if on]
        operands += as_tracers(recorded.captured)
        results = apply(lambda *xs: checkpoint_(*xs, graph=recorded.graph), *operands)
        return tree.unflatten(recorded.out_tree, list(results))

    return recomputed


__all__ = ["checkpoint"]
