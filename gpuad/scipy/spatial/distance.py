"""Distances of vectors, under the names of `scipy.spatial.distance`."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError, DTypeError
from gpuad.numpy._arguments import into, shape_of
from gpuad.numpy._dispatch import implements
from gpuad.numpy._missing import only
from gpuad.scipy import _images as images
from gpuad.scipy import _metrics as metrics

DOUBLE = np.dtype(float)

# All pairs


def _rows(name: str, argument: str, x: Any) -> Any:
    if len(shape_of(x)) != 2:
        raise ArgumentError(
            f"{name}: {argument} has shape {shape_of(x)}; give a matrix with a vector in each row."
        )
    if x.dtype.kind == "c":
        raise DTypeError(f"{name}: {argument} is {x.dtype}; give real vectors.")
    return images.cast(x, DOUBLE)


@implements(name="scipy.spatial.distance.cdist")
def cdist(XA: Any, XB: Any, metric: str = "euclidean", *, out: Any = None, **kwargs: Any) -> Any:
    """The distance of each row of `XA` to each row of `XB`, in double precision as SciPy's.

    Metrics "braycurtis", "canberra", "chebyshev", "cityblock", "correlation", "cosine",
    "euclidean", "mahalanobis" (`VI`), "minkowski" (`p`), "seuclidean" (`V`) and "sqeuclidean"; most
    take weights `w`. Compiled programs do not hold the differences of all pairs.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([[0.0, 0.0], [3.0, 4.0]])
    >>> ad.scipy.spatial.distance.cdist(x, x)
    array([[0., 5.],
           [5., 0.]])
    >>> ad.grad(lambda x: ad.scipy.spatial.distance.cdist(x, x).sum())(x)
    array([[-1.2, -1.6],
           [ 1.2,  1.6]])
    """
    XA, XB = [images.lifted(x, XA, XB, *kwargs.values()) for x in (XA, XB)]
    a, b = _rows("cdist", "XA", XA), _rows("cdist", "XB", XB)
    if a.shape[1] != b.shape[1]:
        raise ArgumentError(
            f"cdist: shapes {a.shape} and {b.shape}; give vectors of one length, in rows."
        )
    metric = metrics.metric_named("cdist", metric)
    rows = gnp.concatenate((a, b)) if metric in ("seuclidean", "mahalanobis") else a
    options = metrics.options_of("cdist", metric, rows, kwargs)
    if metric in ("cosine", "correlation"):
        w = options.get("w")
        if metric == "correlation":
            a, b = metrics.centred(a, w), metrics.centred(b, w)
        return into(metrics.cosine_of_pairs(a, b, w), out)
    return into(metrics.METRICS[metric](a[:, None, :], b[None, :, :], **options), out)


@implements(name="scipy.spatial.distance.pdist")
def pdist(X: Any, metric: str = "euclidean", *, out: Any = None, **kwargs: Any) -> Any:
    """The distances of the rows of `X`, of each pair once: (0, 1), (0, 2), ..., (1, 2), ...

    See `cdist` for the metrics.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([[0.0], [1.0], [3.0]])
    >>> ad.grad(lambda x: ad.scipy.spatial.distance.pdist(x, "sqeuclidean").sum())(x)
    array([[-8.],
           [-2.],
           [10.]])
    """
    x = _rows("pdist", "X", images.lifted(X, *kwargs.values()))
    metric = metrics.metric_named("pdist", metric)
    options = metrics.options_of("pdist", metric, x, kwargs)
    first, second = np.triu_indices(x.shape[0], 1)
    u, v = [gnp.take(x, images.beside(i, x), axis=0) for i in (first, second)]
    return into(metrics.METRICS[metric](u, v, **options), out)


@implements(name="scipy.spatial.distance.squareform")
def squareform(X: Any, force: str = "no", checks: bool = True) -> Any:
    """The vector of the distances of pairs as a symmetric matrix, or the other way round.

    The values of a traced matrix are not known, so that nothing is checked but its shape.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> squareform = ad.scipy.spatial.distance.squareform
    >>> ad.grad(lambda d: (squareform(d) ** 2).sum())(np.array([1.0, 2.0, 3.0]))
    array([ 4.,  8., 12.])
    """
    shape = X.shape
    wanted = {"tomatrix": 1, "tovector": 2}.get(force.lower(), len(shape))
    if len(shape) not in (1, 2) or len(shape) != wanted:
        raise ArgumentError(
            f"squareform: X has shape {shape} and force={force!r}; give a vector of distances to "
            "make a matrix of, or a matrix to make a vector of."
        )
    if len(shape) == 2:
        if shape[0] != shape[1]:
            raise ArgumentError(f"squareform: X has shape {shape}; give a square matrix.")
        first, second = np.triu_indices(shape[0], 1)
        return gnp.take(gnp.reshape(X, -1), images.beside(first * shape[0] + second, X))
    n = math.isqrt(2 * shape[0]) + 1
    if n * (n - 1) != 2 * shape[0]:
        raise ArgumentError(
            f"squareform: {shape[0]} distances are no n (n - 1) / 2; give those of all pairs."
        )
    if not shape[0]:
        return gnp.zeros_like(X, shape=(1, 1))
    places = np.zeros((n, n), int)
    places[np.triu_indices(n, 1)] = np.arange(1, shape[0] + 1)
    entries = gnp.concatenate((gnp.zeros_like(X[:1]), X))
    return gnp.take(entries, images.beside(places + places.T, X))


# One pair


def _pair(name: str, u: Any, v: Any, *others: Any) -> tuple[Any, Any]:
    vectors = [images.lifted(x, u, v, *others) for x in (u, v)]
    for argument, x in zip("uv", vectors, strict=True):
        if x.ndim != 1:
            raise ArgumentError(f"{name}: {argument} has shape {x.shape}; give a vector.")
    return vectors[0], vectors[1]


def _distance(name: str, u: Any, v: Any, w: Any, kept: str = "", **options: Any) -> Any:
    """A distance in double precision, or in the precision of vectors whose kinds are `kept`."""
    u, v = _pair(name, u, v, w)
    u, v = [x if x.dtype.kind in f"c{kept}" else images.cast(x, DOUBLE) for x in (u, v)]
    w = images.beside(metrics.checked_weights(name, w), u)
    return metrics.METRICS[name](u, v, w, **options)


@implements(name="scipy.spatial.distance.euclidean")
def euclidean(u: Any, v: Any, w: Any = None) -> Any:
    """The length of the difference of two vectors; its derivative is 0 where they are equal.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> u = np.array([3.0, 4.0])
    >>> ad.grad(ad.scipy.spatial.distance.euclidean)(u, np.zeros(2))
    array([0.6, 0.8])
    """
    return _distance("euclidean", u, v, w)


@implements(name="scipy.spatial.distance.sqeuclidean")
def sqeuclidean(u: Any, v: Any, w: Any = None) -> Any:
    """The square of the length of the difference."""
    return _distance("sqeuclidean", u, v, w, "f")


@implements(name="scipy.spatial.distance.minkowski")
def minkowski(u: Any, v: Any, p: float = 2, w: Any = None) -> Any:
    """(Σ w |u − v|ᵖ)^(1/p).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> u = np.array([1.0, 1.0])
    >>> ad.grad(lambda u: ad.scipy.spatial.distance.minkowski(u, np.zeros(2), 4))(u).round(4)
    array([0.5946, 0.5946])
    """
    return _distance("minkowski", u, v, w, p=p)


@implements(name="scipy.spatial.distance.cityblock")
def cityblock(u: Any, v: Any, w: Any = None) -> Any:
    """The sum of the moduli of the differences."""
    return _distance("cityblock", u, v, w, "biuf")


@implements(name="scipy.spatial.distance.chebyshev")
def chebyshev(u: Any, v: Any, w: Any = None) -> Any:
    """The largest modulus of a difference, of those whose weight is not 0."""
    return _distance("chebyshev", u, v, w, "biuf")


@implements(name="scipy.spatial.distance.cosine")
def cosine(u: Any, v: Any, w: Any = None) -> Any:
    """1 minus the cosine of the angle between two vectors.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> u, v = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    >>> ad.grad(lambda v: ad.scipy.spatial.distance.cosine(u, v))(v).round(4)
    array([-0.3536,  0.3536])
    """
    return _distance("cosine", u, v, w, "f")


@implements(name="scipy.spatial.distance.correlation")
def correlation(u: Any, v: Any, w: Any = None, centered: bool = True) -> Any:
    """1 minus the correlation of two vectors."""
    return _distance("correlation" if centered else "cosine", u, v, w, "f")


@implements(name="scipy.spatial.distance.braycurtis")
def braycurtis(u: Any, v: Any, w: Any = None) -> Any:
    """Σ|u − v| / Σ|u + v|."""
    return _distance("braycurtis", u, v, w)


@implements(name="scipy.spatial.distance.canberra")
def canberra(u: Any, v: Any, w: Any = None) -> Any:
    """Σ |u − v| / (|u| + |v|), without terms in which both are 0."""
    return _distance("canberra", u, v, w)


@implements(name="scipy.spatial.distance.seuclidean")
def seuclidean(u: Any, v: Any, V: Any) -> Any:
    """The length of the difference, with each component over the root of its variance `V`."""
    u, v = _pair("seuclidean", u, v, V)
    return metrics.seuclidean(u, v, images.lifted(V, u))


@implements(name="scipy.spatial.distance.mahalanobis")
def mahalanobis(u: Any, v: Any, VI: Any) -> Any:
    """The root of (u − v) @ VI @ (u − v), for an inverse covariance `VI`.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> u = np.array([1.0, 0.0])
    >>> ad.grad(lambda m: ad.scipy.spatial.distance.mahalanobis(u, np.zeros(2), m))(np.eye(2))
    array([[0.5, 0. ],
           [0. , 0. ]])
    """
    u, v = _pair("mahalanobis", u, v, VI)
    return metrics.mahalanobis(u, v, gnp.atleast_2d(images.lifted(VI, u)))


__all__ = [
    "braycurtis", "canberra", "cdist", "chebyshev", "cityblock", "correlation", "cosine",
    "euclidean", "mahalanobis", "minkowski", "pdist", "seuclidean", "sqeuclidean", "squareform",
]  # fmt: skip

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute
    __getattr__, __dir__ = only(__name__, __all__)
