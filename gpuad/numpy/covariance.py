"""Covariance and correlation of observations."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.numpy import statistics as st
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import implements
from gpuad.numpy.searching import where
from gpuad.numpy.statistics import ndim_of
from gpuad.primitives import elementwise as ew
from gpuad.tracing import Tracer, namespace_of
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS


@implements(np.cov)
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None,
        fweights: Any = None, aweights: Any = None, *, dtype: Any = None) -> Any:  # fmt: skip
    """The covariance matrix of the rows of `m`, as `numpy.cov`."""
    x = _rows(m, not rowvar and ndim_of(m) != 1)
    if y is not None:
        other = _rows(y, not rowvar and ndim_of(y) == 2 and shape_of(y)[0] != 1)
        x = OPERATIONS["concatenate"]([x, other], axis=0)
    x = OPERATIONS["astype"](x, dtype or np.result_type(x.dtype, np.float64))
    ddof = (0 if bias else 1) if ddof is None else ddof
    if int(ddof) != ddof:
        raise ArgumentError(f"cov: ddof={ddof}; give an integer.")
    n = shape_of(x)[1]
    weights, counts = _checked(aweights, n, "aweights"), _checked(fweights, n, "fweights")
    if counts is not None and not isinstance(counts, Tracer) and (counts % 1 != 0).any():
        raise ArgumentError("cov: fweights are numbers of times, so give integers.")
    if weights is None and counts is None:
        centred = OPERATIONS["subtract"](x, st.mean(x, 1, keepdims=True))
        return _products(centred, centred, float(max(n - ddof, 0)))
    w = counts if weights is None else weights if counts is None else weights * counts
    total = st.sum(w)
    factor = total - ddof
    if weights is not None and ddof:
        factor = total - ddof * st.sum(OPERATIONS["multiply"](w, weights)) / total
    factor = where(OPERATIONS["greater"](factor, 0), factor, 0.0)
    centred = OPERATIONS["subtract"](x, st.average(x, 1, w, keepdims=True))
    centred = OPERATIONS["astype"](centred, x.dtype)
    return _products(centred, OPERATIONS["multiply"](centred, w), factor)


def _products(x: Any, y: Any, factor: Any) -> Any:
    product = OPERATIONS["matmul"](x, OPERATIONS["conj"](OPERATIONS["transpose"](y)))
    return OPERATIONS["squeeze"](OPERATIONS["divide"](product, factor))


def _checked(weights: Any, n: int, name: str) -> Any:
    """Weights of the observations, as floats."""
    if weights is None:
        return None
    if shape_of(weights) != (n,):
        raise ArgumentError(
            f"cov: {name} have shape {shape_of(weights)}; give one for each of {n} observations."
        )
    if isinstance(weights, Tracer):
        return OPERATIONS["astype"](weights, float)
    weights = namespace_of(weights).asarray(weights, dtype=float)
    if (weights < 0).any():
        raise ArgumentError(f"cov: {name} are below 0; give values from 0.")
    return weights


def _rows(m: Any, turn: bool) -> Any:
    """`m` as a matrix with a variable in each row."""
    if ndim_of(m) > 2:
        raise ArgumentError(f"cov: an array with {ndim_of(m)} axes; give one or two.")
    if ndim_of(m) < 2:
        m = OPERATIONS["reshape"](m, (1, -1))
    return OPERATIONS["transpose"](m) if turn else m


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """The correlation matrix of the rows of `x`, as `numpy.corrcoef`."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not shape_of(c):
        return OPERATIONS["divide"](c, c)
    variances = OPERATIONS["real"](OPERATIONS["diagonal"](c))
    s = OPERATIONS["sqrt"](variances)
    by_row = OPERATIONS["divide"](c, OPERATIONS["reshape"](s, (-1, 1)))
    return apply(_within_one, OPERATIONS["divide"](by_row, OPERATIONS["reshape"](s, (1, -1))))


def _within_one(v: Any) -> Any:
    if ew.is_complex(v):
        return ew.make_complex(*[ew.clip(part(v), -1.0, 1.0) for part in (ew.real, ew.imag)])
    return ew.clip(v, -1.0, 1.0)


__all__ = ["corrcoef", "cov"]
