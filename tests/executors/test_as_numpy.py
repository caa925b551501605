"""Small things in which traced code does as NumPy: large integers, signs of zero, dtypes, lists."""

import math

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.errors import GpuadError, IntegerRangeError, UnsupportedError

X = np.array([0.5, 1.5, 2.5])
EXECUTORS = ["reference", "native"]


def test_integers_beyond_64_bits_are_floats_beside_floats():
    def series(x):
        return sum(x**n / math.factorial(n) for n in range(31))

    assert ad.grad(series)(1.0) == pytest.approx(math.e, rel=1e-15)
    assert ad.jit(series)(1.0) == series(np.float64(1.0))
    halved = ad.jit(lambda x: x * 2**70 / (2**69))(np.float32(3.0))
    assert halved == 6
    assert halved.dtype == np.float32
    assert ad.jit(lambda x: np.maximum(x, -(10**30)))(X).tolist() == X.tolist()
    assert ad.jit(lambda x: np.full_like(x, 10**30))(X).tolist() == [1e30] * 3
    assert ad.jit(lambda x, n: x * n)(np.float32(3.0), 2**63) == np.float32(3.0) * 2**63


@pytest.mark.parametrize(
    "f",
    [
        lambda: ad.jit(lambda x: x * 2)(10**30),
        lambda: ad.jit(lambda x: x * 10**30)(np.arange(3)),
        lambda: ad.jit(lambda x: x + 2**63)(np.arange(3)),
        lambda: ad.jit(lambda x: x + 0)(2**63),
        lambda: ad.jit(lambda x: x // 2, executor="reference")(2**64 - 1),
        lambda: ad.jit(lambda x, n: x + n)(np.arange(3), 2**63),
        lambda: ad.jit(lambda x: x * 10**400)(X),
        lambda: ad.jit(lambda x: (x, 10**30))(X),
        lambda: ad.jit(lambda x: x + 300)(np.arange(3, dtype=np.int8)),
    ],
)
def test_integers_that_no_dtype_holds_are_refused_by_name(f):
    with pytest.raises(IntegerRangeError, match="integer"):
        f()


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", "sin tan sinh tanh arcsin arctan arcsinh arctanh cbrt expm1 log1p negative".split()
)
def test_odd_functions_keep_the_sign_of_zero(name, dtype, executor):
    f = getattr(np, name)
    x = np.array([-0.0, 0.0, -0.25, 0.5] * 8, dtype)
    got = ad.jit(f, executor=executor)(x)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(f(x)))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_modf_keeps_signs(dtype, executor):
    x = np.array([-0.0, 0.0, -1.0, -2.75, 3.0, -np.inf, np.inf, 1e30], dtype)
    for got, right in zip(ad.jit(np.modf, executor=executor)(x), np.modf(x), strict=True):
        np.testing.assert_array_equal(got, right)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(right))
    assert ad.grad(lambda x: np.modf(x)[0])(dtype(-1.0)) == 1


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_reciprocal_of_integers(dtype, executor):
    limits = np.iinfo(dtype)
    x = np.array([limits.max, limits.max - 1, limits.min, limits.min + 1, 0, 1, 2, 3], dtype)
    x = x if limits.min == 0 else np.append(x, np.array([-1, -2], dtype))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(ad.jit(np.reciprocal, executor=executor)(x), np.reciprocal(x))


def test_dtypes_of_covariances_and_squares():
    x = np.arange(6, dtype=np.float32).reshape(2, 3) ** 2
    for f in (np.cov, np.corrcoef, lambda x: np.cov(x, dtype=np.float32)):
        got, right = ad.jit(f, executor="reference")(x), f(x)
        assert got.dtype == right.dtype
        np.testing.assert_allclose(got, right, rtol=1e-6)
    b = np.array([True, False])
    for f in (lambda b: b**2, lambda b: b**3, lambda b: b**b):
        assert ad.jit(f, executor="reference")(b).dtype == f(b).dtype


@pytest.mark.parametrize("f", [np.sort, np.argsort])
def test_kinds_of_sorts(f):
    for kind in (None, "quicksort", "stable", "Heap", "m"):
        got = ad.jit(lambda x, kind=kind: f(x, kind=kind), executor="reference")(-X)
        np.testing.assert_array_equal(got, f(-X))
    with pytest.raises(ValueError, match="kind='foo'; choose one of 'quicksort'"):
        ad.jit(lambda x: f(x, kind="foo"))(X)


@pytest.mark.parametrize("equation", ["ij,ij->i", "ij,jk->ik", "ij,ij->ij", "i,ij,j->", "ij,kj"])
def test_einsum_repeats_axes_of_size_one(equation):
    def f(*operands):
        return np.einsum(equation, *operands)

    sizes = [{"i": 3, "j": 1, "k": 2}, {"i": 1, "j": 4, "k": 2}, {"i": 3, "j": 4, "k": 1}]
    terms = equation.split("->")[0].split(",")
    operands = [
        np.arange(1.0, 1 + math.prod([s[c] for c in term])).reshape([s[c] for c in term])
        for term, s in zip(terms, sizes, strict=False)
    ]
    np.testing.assert_allclose(ad.jit(f, executor="reference")(*operands), f(*operands))


def test_where_takes_its_arguments_by_position():
    for where in (np.where, gnp.where):
        with pytest.raises(TypeError, match="positional"):
            ad.jit(lambda x, where=where: where(condition=x > 0, x=x, y=0))(X)


LISTS = {
    "mean": lambda np, x: np.mean([x[0], x[1]]),
    "append": lambda np, x: np.append(x, [x[0], 1.0]),
    "sums": lambda np, x: np.sum([[x[0], x[1]], [1.0, x[2]]], axis=0),
    "extremes": lambda np, x: np.max([x[0], 2.0]) + np.ptp((x[0], x[2])),
    "spread": lambda np, x: np.std([x[0], x[1]]) + np.median([x[0], x[1]]),
    "products": lambda np, x: np.outer([x[0], x[1]], x) @ x + np.dot([x[0], x[1]], x[1:]),
    "weights": lambda np, x: np.average([x[0], x[1]], weights=[1.0, x[2]]),
    "functions": lambda np, x: np.sin([x[0], 1.0]) + np.add([x[0], 1.0], x[1]),
    "where": lambda np, x: np.where([True, False], [x[0], x[1]], 0.0),
    "joined": lambda np, x: np.concatenate([[x[0]], [x[1], 1.0], x]),
    "inserted": lambda np, x: np.insert(x, 1, [x[0]]),
    "norm": lambda np, x: np.linalg.norm([x[0], x[1]]) + np.trace([[x[0], 1.0], [2.0, x[1]]]),
    "reshaped": lambda np, x: np.reshape([x[0], x[1]], (2, 1)) * np.ravel([[x[0]], [x[1]]]),
    "einsum": lambda np, x: np.einsum("i,i", [x[0], x[1]], [1.0, 2.0]),
    "like": lambda np, x: np.zeros_like([x[0], 1.0]) + x[0],
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_traced_values_are_arrays(name):
    f = LISTS[name]
    right = f(np, X)
    for transform in (
        ad.jit(lambda x: f(gnp, x), executor="reference"),
        lambda x: ad.jvp(lambda x: f(gnp, x), (x,), (x,))[0],
    ):
        np.testing.assert_allclose(transform(X), right, rtol=1e-14)


@pytest.mark.parametrize("f", [np.mean, np.array, np.sum, np.linalg.norm, np.sin])
def test_lists_that_numpy_takes_apart_are_told_what_to_write(f):
    """NumPy asks nobody before it makes an array of a list."""
    for transform in (ad.grad, ad.jit):
        with pytest.raises(GpuadError, match=r"np\.stack\(\[\.\.\.\]\)"):
            transform(lambda x: np.sum(f([x[0], x[1]])))(X)


def test_two_results_are_stored_in_the_places_that_are_given():
    def stored(xp, x):
        a, b, c = [xp.zeros(x.shape) for _ in range(3)]
        k = xp.zeros(x.shape, np.int32)
        xp.divmod(x, 2.0, a, b)
        xp.modf(x, c)
        xp.frexp(x, None, k)
        return a + 10 * b + 100 * c + k

    x = np.array([-3.5, 0.25, 7.0])
    np.testing.assert_array_equal(ad.jit(lambda x: stored(gnp, x))(x), stored(np, x))
    for f in (np.modf, np.frexp):
        with pytest.raises(UnsupportedError, match="real part or abs"):
            ad.jit(f)(x * 1j)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.float64, np.int32])
def test_ranges_have_numpys_dtypes(dtype):
    x = np.array([1, 2, 5]).astype(dtype)
    for f in (
        lambda x: np.linspace(x, 0, 3),
        lambda x: np.linspace(1.5, x, 3, endpoint=False, retstep=True),
        lambda x: np.logspace(0, x, 3, base=2),
        lambda x: np.geomspace(x, 9, 3),
    ):
        for found, expected in zip(ad.jit(f)(x), f(x), strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-6)


OF_NUMBERS = {
    "toeplitz": lambda a, b: ad.scipy.linalg.toeplitz([a, b, 2.0], [1.0, b]),
    "hankel": lambda a, b: ad.scipy.linalg.hankel([a, b], r=[b, 1.0]),
    "circulant": lambda a, b: ad.scipy.linalg.circulant([a, b]),
    "expm_frechet": lambda a, b: ad.scipy.linalg.expm_frechet(np.eye(2), [[a, 0], [1, b]])[1],
    "cho_solve": lambda a, b: ad.scipy.linalg.cho_solve(([[a, 0], [1, b]], True), [1.0, a]),
    "linspace": lambda a, b: gnp.linspace([a, 0], [1, b], 3),
    "logspace": lambda a, b: gnp.logspace(0, [1, b], 3, base=[a, 2]),
    "add.reduce": lambda a, b: gnp.add.reduce([a, b]),
    "subtract.reduce": lambda a, b: gnp.subtract.reduce([a, b]),
    "add.reduceat": lambda a, b: gnp.add.reduceat([a, b, 2], [0, 1]),
    "multiply.outer": lambda a, b: gnp.multiply.outer([a, 1], [b]),
}


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_lists_of_traced_numbers_are_arrays(name):
    a, b = np.float64(0.75), np.float64(2.0)
    np.testing.assert_allclose(ad.jit(OF_NUMBERS[name])(a, b), OF_NUMBERS[name](a, b), rtol=1e-12)
