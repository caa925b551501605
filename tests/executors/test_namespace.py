"""gpuad.numpy as a namespace: the array API's names, dtypes, and what is said of unknown names."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.compile import run_once
from gpuad.errors import UnsupportedError

ARRAY_API = {
    "constants": "e inf nan newaxis pi",
    "dtypes": "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 "
    "complex128",
    "creation": "arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid "
    "ones ones_like tril triu zeros zeros_like",
    "dtype functions": "astype can_cast finfo iinfo isdtype result_type",
    "elementwise": "abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift "
    "bitwise_invert bitwise_or bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh "
    "divide equal exp expm1 floor floor_divide greater greater_equal hypot imag isfinite isinf "
    "isnan less less_equal log log1p log2 log10 logaddexp logical_and logical_not logical_or "
    "logical_xor maximum minimum multiply negative nextafter not_equal positive pow real "
    "reciprocal remainder round sign signbit sin sinh square sqrt subtract tan tanh trunc",
    "indexing": "take take_along_axis",
    "linear algebra": "matmul matrix_transpose tensordot vecdot",
    "manipulation": "broadcast_arrays broadcast_to concat expand_dims flip moveaxis permute_dims "
    "repeat reshape roll squeeze stack tile unstack",
    "searching": "argmax argmin count_nonzero nonzero searchsorted where",
    "sets": "unique_all unique_counts unique_inverse unique_values",
    "sorting": "argsort sort",
    "statistics": "cumulative_prod cumulative_sum max mean min prod std sum var",
    "utilities": "all any diff",
}


@pytest.mark.parametrize("chapter", ARRAY_API)
def test_the_names_of_the_array_api_are_there(chapter):
    assert [n for n in ARRAY_API[chapter].split() if not hasattr(gnp, n)] == []


def test_every_public_name_is_there():
    assert gnp.__all__ == sorted(set(gnp.__all__))
    assert set(gnp.__all__) <= set(vars(gnp))
    assert dir(gnp) == gnp.__all__


def test_a_traced_array_names_its_namespace():
    def standardized(x):
        xp = x.__array_namespace__(api_version="2023.12")
        assert xp is gnp
        return (x - xp.mean(x)) / xp.std(x)

    x = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(run_once(standardized, (x,), {}), (x - x.mean()) / x.std())
    with pytest.raises(UnsupportedError, match=r"not 1999\.01"):
        run_once(lambda x: x.__array_namespace__(api_version="1999.01"), (x,), {})


def test_namespace_info():
    info = gnp.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] == np.float64
    assert info.capabilities()["boolean indexing"]


@pytest.mark.parametrize(
    ("name", "words"), [("packbits", "numpy.packbits"), ("no_such", "no_such")]
)
def test_an_unknown_name_says_what_to_do(name, words):
    with pytest.raises(AttributeError, match=rf"'{name}'.*{words}.*gpuad\.external"):
        getattr(gnp, name)


def dtypes_of(function, *args):
    """What a function of dtypes says of traced arrays."""
    seen = []
    ad.jit(lambda *xs: seen.append(function(*xs)) or xs[0])(*args)
    return seen[0]


def test_dtype_functions_of_traced_arrays():
    x = np.ones(2, np.float32)
    assert dtypes_of(np.result_type, x, np.ones(1)) == np.float64
    assert dtypes_of(np.result_type, x, 2.0) == np.float32
    assert dtypes_of(lambda x: gnp.result_type(x, np.int8, 1j), x) == np.complex64
    assert dtypes_of(lambda x: np.can_cast(x, np.float64), x)
    assert not dtypes_of(lambda x: gnp.can_cast(x, np.int64), x)
    assert dtypes_of(np.iscomplexobj, x * 1j) and dtypes_of(np.isrealobj, x)


def test_unique_elements_of_known_values():
    x = np.array([3.0, 1.0, 3.0, 2.0])
    seen = []

    def loss(x):
        found = gnp.unique_all(x)
        seen.append((found.indices, found.inverse_indices, found.counts))
        assert len(gnp.unique_counts(x)) == len(gnp.unique_inverse(x)) == 2
        return (gnp.unique_values(x) * found.values).sum()

    np.testing.assert_allclose(ad.grad(loss)(x), [6, 2, 0, 4])
    for found, expected in zip(seen[0], np.unique_all(x)[1:], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_comparing_whole_arrays_gives_python_bools():
    x = np.array([1.0, 2.0])
    for function, value in [
        (lambda x: np.allclose(x, x + 1e-12), True),
        (lambda x: np.array_equal(x, x[:1]), False),
        (lambda x: np.array_equal(x, x * 1.0), True),
        (lambda x: np.array_equiv(x, x[None]), True),
    ]:
        seen = []
        ad.grad(lambda x, f=function, s=seen: s.append(f(x)) or x.sum())(x)
        assert seen == [value]
