"""The distances of `scipy.spatial.distance`, of vectors along the last axes of arrays.

Where vectors are equal, a distance that is a norm of their difference has the derivative 0, the
subgradient of least norm.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError
from gpuad.primitives import elementwise as ew
from gpuad.primitives.sources import stop_gradient
from gpuad.scipy import _images as images
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply


def weighted(x: Any, w: Any) -> Any:
    return x if w is None else w * x


def total(x: Any, w: Any = None) -> Any:
    return gnp.sum(weighted(x, w), axis=-1)


def euclidean(u: Any, v: Any, w: Any = None) -> Any:
    if w is None:
        return gnp.linalg.norm(u - v, axis=-1)
    return apply(ew.root_of_squares, total(abs(u - v) ** 2, w))


def sqeuclidean(u: Any, v: Any, w: Any = None) -> Any:
    difference = u - v
    return total(difference * difference, w)


def cityblock(u: Any, v: Any, w: Any = None) -> Any:
    return total(abs(u - v), w)


def chebyshev(u: Any, v: Any, w: Any = None) -> Any:
    return gnp.max(weighted(abs(u - v), None if w is None else w > 0), axis=-1)


def minkowski(u: Any, v: Any, w: Any = None, p: Any = 2) -> Any:
    p = images.known("minkowski", "p", p, "Distances of each p are another program.")
    if p <= 0:
        raise ArgumentError(f"minkowski: p={p}; give a number above 0.")
    if p == 2:
        return euclidean(u, v, w)
    if math.isinf(p):
        return chebyshev(u, v, w)
    if p == 1:
        return cityblock(u, v, w)
    if w is None:
        return gnp.linalg.norm(u - v, ord=float(p), axis=-1)
    powers = total(abs(u - v) ** p, w)
    return apply(lambda s: ew.root_of_powers(s, p=float(p)), powers)


def seuclidean(u: Any, v: Any, V: Any) -> Any:
    return euclidean(u, v, 1 / V)


def mahalanobis(u: Any, v: Any, VI: Any) -> Any:
    difference = u - v
    form = total(gnp.matmul(difference, VI) * difference)
    return apply(ew.root_of_squares, form)


def _within(distance: Any) -> Any:
    """From 0 to 2, with the derivatives that it has without that."""
    return distance + apply(stop_gradient, gnp.clip(distance, 0, 2) - distance)


def cosine(u: Any, v: Any, w: Any = None) -> Any:
    products = total(u * v, w)
    lengths = gnp.sqrt(total(u * u, w) * total(v * v, w))
    return _within(1 - products / lengths)


def cosine_of_pairs(a: Any, b: Any, w: Any = None) -> Any:
    """The same of each row with each, by a product of matrices."""
    products = gnp.matmul(weighted(a, w), gnp.matrix_transpose(b))
    lengths = [gnp.sqrt(total(x * x, w)) for x in (a, b)]
    return _within(1 - products / (lengths[0][:, None] * lengths[1]))


def centred(x: Any, w: Any) -> Any:
    if w is None:
        return x - gnp.mean(x, axis=-1, keepdims=True)
    return x - gnp.sum(x * w, axis=-1, keepdims=True) / gnp.sum(w)


def correlation(u: Any, v: Any, w: Any = None) -> Any:
    return cosine(centred(u, w), centred(v, w), w)


def braycurtis(u: Any, v: Any, w: Any = None) -> Any:
    return total(abs(u - v), w) / total(abs(u + v), w)


def canberra(u: Any, v: Any, w: Any = None) -> Any:
    sizes = abs(u) + abs(v)
    both_zero = sizes == 0
    shares = gnp.where(both_zero, 0.0, abs(u - v) / gnp.where(both_zero, 1.0, sizes))
    return total(shares, w)


METRICS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (braycurtis, canberra, chebyshev, cityblock, correlation, cosine, euclidean,
              mahalanobis, minkowski, seuclidean, sqeuclidean)
}  # fmt: skip

ALIASES = {
    "euclid": "euclidean", "eu": "euclidean", "e": "euclidean", "sqe": "sqeuclidean",
    "sqeuclid": "sqeuclidean", "cblock": "cityblock", "cb": "cityblock", "c": "cityblock",
    "chebychev": "chebyshev", "cheby": "chebyshev", "cheb": "chebyshev", "ch": "chebyshev",
    "mi": "minkowski", "m": "minkowski", "pnorm": "minkowski", "cos": "cosine",
    "co": "correlation", "mahal": "mahalanobis", "mah": "mahalanobis", "mahalanobis": "mahalanobis",
    "se": "seuclidean", "s": "seuclidean",
}  # fmt: skip


def metric_named(name: str, metric: Any) -> str:
    """The full name of a metric that can be recorded."""
    if callable(metric):
        raise ArgumentError(
            f"{name}: metric is a function; write ad.vmap(ad.vmap(metric, (None, 0)), (0, None)) "
            "of the two arrays."
        )
    found = ALIASES.get(str(metric).lower(), str(metric).lower())
    if found not in METRICS:
        raise ArgumentError(
            f"{name}: metric={metric!r} cannot be recorded; give one of {', '.join(METRICS)}."
        )
    return found


def options_of(name: str, metric: str, rows: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a metric, with those that SciPy takes from the rows of both arrays."""
    allowed = {"seuclidean": {"V"}, "mahalanobis": {"VI"}, "minkowski": {"w", "p"}}
    unknown = set(given) - allowed.get(metric, {"w"})
    if unknown:
        raise ArgumentError(
            f"{name}: metric {metric!r} has no argument {', '.join(sorted(unknown))}; leave it out."
        )
    given = {k: x for k, x in given.items() if x is not None}
    count, columns = rows.shape
    if metric == "seuclidean" and "V" not in given:
        given["V"] = gnp.var(rows, axis=0, ddof=1)
    if metric == "mahalanobis" and "VI" not in given:
        if count <= columns:
            raise ArgumentError(
                f"{name}: {count} rows of {columns} columns have a singular covariance; give VI."
            )
        covariance = gnp.reshape(gnp.cov(rows, rowvar=False), (columns, columns))
        given["VI"] = gnp.matrix_transpose(gnp.linalg.inv(covariance))
    if "w" in given:
        given["w"] = checked_weights(name, given["w"])
    return {k: images.beside(x, rows) for k, x in given.items()}


def checked_weights(name: str, w: Any) -> Any:
    """Weights as a vector; those that are known must not be negative."""
    if w is None or isinstance(w, Tracer):
        return w
    w = np.asarray(w, float) if isinstance(w, list | tuple) else w
    if bool((w < 0).any()):
        raise ArgumentError(f"{name}: w has negative weights; give weights from 0.")
    return w
