"""gpuad.scipy.spatial.distance against SciPy: values, derivatives, vmap, and messages."""

import numpy as np
import pytest
import scipy.spatial.distance

import gpuad as ad
from gpuad.errors import ArgumentError, DTypeError
from gpuad.scipy import _metrics
from gpuad.testing import check_grads

distance = ad.scipy.spatial.distance
_draw = np.random.default_rng(31)
A, B = _draw.normal(size=(7, 3)), _draw.normal(size=(5, 3))
W = np.array([1.0, 2.0, 0.5])
WITHOUT_WEIGHTS = ("mahalanobis", "seuclidean")
ROWS = {
    "real": (A, B),
    "single": (A.astype(np.float32), B.astype(np.float32)),
    "integers": (np.round(9 * A).astype(int), np.round(9 * B).astype(int)),
    "strided": (A.T.copy().T[::-1], B[::2]),
}


def compare(name, *arrays, **options):
    expected = np.asarray(getattr(scipy.spatial.distance, name)(*arrays, **options))
    function = ad.jit(
        lambda *traced: getattr(distance, name)(*traced, **options), executor="reference"
    )
    found = function(*arrays)
    single = any(x.dtype == np.float32 for x in arrays)
    assert found.shape == expected.shape
    # From version 1.18 on SciPy gives some distances of single precision in it.
    assert found.dtype in (expected.dtype, np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if single else 1e-13, atol=2e-15)


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("metric", _metrics.METRICS)
def test_values(metric, kind):
    a, b = ROWS[kind]
    compare("cdist", a, b, metric=metric)
    compare("pdist", a, metric=metric)
    if metric not in WITHOUT_WEIGHTS:
        compare("cdist", a, b, metric=metric, w=W)
        compare("pdist", a, metric=metric, w=W)
        compare(metric, a[0], b[0])
        compare(metric, a[0], b[0], w=W)


@pytest.mark.parametrize("p", [0.5, 1, 2, 3.0, np.inf])
def test_minkowski(p):
    for options in ({}, {"w": W}):
        compare("cdist", A, B, metric="m", p=p, **options)
        compare("minkowski", A[0], B[0], p=p, **options)


def test_options():
    inverse = 2 * np.eye(3) + 0.1
    compare("cdist", A, B, metric="mahal", VI=inverse)
    compare("mahalanobis", A[0], B[0], inverse)
    compare("seuclidean", A[0], B[0], W)
    compare("pdist", A, metric="s", V=W)
    compare("correlation", A[0], B[0], centered=False, w=W)
    compare("euclidean", A[0] * 1j, B[0])
    zeros = np.array([[0.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    compare("cdist", zeros, zeros, metric="canberra")


def test_squareform():
    vector = _draw.normal(size=6)
    for x in (vector, scipy.spatial.distance.squareform(vector), np.zeros(0), np.zeros((1, 1))):
        compare("squareform", x)
    compare("squareform", vector, force="tomatrix")
    compare("pdist", A[:1])
    compare("cdist", A[:0], B)


GIVEN = {"mahalanobis": {"VI": 2 * np.eye(3) + 0.1}, "seuclidean": {"V": W}}


@pytest.mark.parametrize("metric", _metrics.METRICS)
def test_derivatives(metric):
    options = GIVEN.get(metric, {})

    def cost(a, b):
        return (distance.cdist(a, b, metric) ** 2).sum()

    check_grads(cost, (A, B), order=2)
    check_grads(lambda a: (distance.pdist(a, metric, **options) ** 2).sum(), (A,), order=2)
    np.testing.assert_allclose(ad.jit(ad.grad(cost))(A, B), ad.grad(cost)(A, B), rtol=1e-12)
    of_itself = ad.grad(lambda a: distance.cdist(a, a, metric, **options).sum())(A)
    twice = ad.grad(lambda a: distance.pdist(a, metric, **options).sum())(A)
    np.testing.assert_allclose(of_itself, 2 * twice, rtol=1e-8, atol=1e-7)
    several = np.stack([A, 2 * A])
    each = np.stack([distance.cdist(x, B, metric, **options) for x in several])
    found = ad.vmap(lambda x: distance.cdist(x, B, metric, **options))(several)
    np.testing.assert_allclose(found, each, rtol=1e-12)


def test_derivatives_by_options():
    def cost(w):
        rest = distance.cdist(A, B, "minkowski", p=3, w=w).sum()
        return rest + (distance.cdist(A, B, w=w) * distance.cdist(A, B, "correlation", w=w)).sum()

    check_grads(cost, (W,), order=2)
    check_grads(
        lambda m: distance.cdist(A, B, "mahalanobis", VI=m).sum(), (2 * np.eye(3) + 0.1,), order=2
    )
    assert np.isfinite(ad.grad(cost)(np.array([1.0, 0.0, 0.5]))).all()


def test_hard_points():
    """Equal vectors have the subgradient 0, and the cosine of parallel ones its curvature."""
    for name in ("euclidean", "minkowski", "cityblock", "chebyshev"):
        slope = ad.grad(lambda u, name=name: getattr(distance, name)(u, A[0]))(A[0])
        np.testing.assert_array_equal(slope, np.zeros(3))
    u = A[0] / np.linalg.norm(A[0])
    curvature = ad.hessian(lambda v: distance.cosine(u, v))(u)
    np.testing.assert_allclose(curvature, np.eye(3) - np.outer(u, u), atol=1e-14)


def test_differences_of_pairs_are_not_held():
    x = _draw.normal(size=(400, 16))
    step = ad.jit(ad.grad(lambda x: distance.cdist(x, x).sum()))
    np.testing.assert_allclose(step(x), ad.grad(lambda x: distance.cdist(x, x).sum())(x), rtol=1e-9)
    assert step.explain(x).launches <= 3


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: distance.cdist(x, x, "hamming"), ArgumentError, "'hamming' cannot be recorded"),
        (lambda x: distance.cdist(x, x, max), ArgumentError, "ad.vmap"),
        (lambda x: distance.cdist(x, x, V=W), ArgumentError, "no argument V"),
        (lambda x: distance.cdist(x, x[:, :2]), ArgumentError, "one length"),
        (lambda x: distance.pdist(x[0]), ArgumentError, "a vector in each row"),
        (lambda x: distance.pdist(x * 1j), DTypeError, "real vectors"),
        (lambda x: distance.cdist(x, x, "minkowski", p=-1), ArgumentError, "p=-1"),
        (lambda x: distance.cdist(x, x, "minkowski", p=x[0, 0]), ArgumentError, "p is traced"),
        (lambda x: distance.cdist(x, x, w=[-1, 1, 1]), ArgumentError, "negative weights"),
        (lambda x: distance.pdist(x[:3], "mahalanobis"), ArgumentError, "give VI"),
        (lambda x: distance.squareform(x), ArgumentError, "square matrix"),
        (lambda x: distance.squareform(x[0, :2]), ArgumentError, "2 distances"),
        (lambda x: distance.squareform(x, "tomatrix"), ArgumentError, "force='tomatrix'"),
        (lambda x: distance.euclidean(x, x), ArgumentError, "give a vector"),
    ],
)
def test_messages(function, error, words):
    with pytest.raises(error, match=words):
        ad.grad(lambda x: abs(function(x)).sum())(A)
