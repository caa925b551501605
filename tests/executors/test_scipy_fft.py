"""gpuad.scipy.fft against SciPy: values, transposes, options, and what scipy.fft itself says."""

import numpy as np
import pytest
import scipy.fft

import gpuad as ad
from gpuad.errors import ArgumentError, ConversionError, DTypeError, UnsupportedError
from gpuad.primitives import cosine_transforms
from gpuad.testing import check_grads

fft = ad.scipy.fft
ONE_AXIS = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
SEVERAL = ("fft2", "ifft2", "rfft2", "irfft2", "hfft2", "ihfft2",
           "fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn")  # fmt: skip
OF_REAL = ("rfft", "ihfft", "rfft2", "ihfft2", "rfftn", "ihfftn")
COSINES = ("dct", "idct", "dst", "idst")
NORMS = (None, "backward", "ortho", "forward")
_draw = np.random.default_rng(22)
REAL, COMPLEX = _draw.normal(size=(3, 4, 5)), _draw.normal(size=(4, 6)) * (1 + 2j) + 0.5
ARRAYS = {
    "real": REAL,
    "complex": COMPLEX,
    "single": REAL[0].astype(np.float32),
    "half": REAL[0].astype(np.float16),
    "integers": _draw.integers(0, 9, (4, 6)),
    "strided": REAL[::2, ::-1, 1:4].T,
}


def compare(name, x, **options):
    ours, theirs = getattr(fft, name), getattr(scipy.fft, name)
    expected = theirs(x.copy(), **options)
    found = ad.jit(lambda x: ours(x, **options), executor="reference")(x)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    tolerance = 1e-5 if expected.dtype.name in ("float32", "complex64") else 1e-12
    scale = np.max(np.abs(expected), initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("name", [*ONE_AXIS, *SEVERAL])
def test_values(name, kind):
    x = ARRAYS[kind]
    x = x.real if name in OF_REAL else x
    if name in ONE_AXIS:
        choices = [{}, {"n": 3, "norm": "ortho"}, {"n": 8, "axis": 0, "workers": 2}]
    else:
        choices = [{}, {"axes": (0, 1)}, {"s": (5, 3), "axes": (1, 0), "norm": "forward"}]
        choices += [{"s": (3, -1), "axes": (-1, 0), "overwrite_x": True}]
    for options in choices:
        compare(name, x, **options)


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("type", [1, 2, 3, 4])
@pytest.mark.parametrize("name", COSINES)
def test_values_of_cosine_and_sine_transforms(name, type, kind):
    x = ARRAYS[kind]
    for norm in NORMS:
        compare(name, x, type=type, norm=norm)
        compare(f"{name}n", x, type=type, norm=norm)
    compare(name, x, type=type, n=3, axis=0, workers=1)
    compare(f"{name}n", x, type=type, s=(5, 3), axes=(0, 1))
    compare(f"{name}n", x, type=type, axes=())
    if x.dtype.kind != "c":
        for norm in (None, "ortho"):
            compare(name, x, type=type, norm=norm, orthogonalize=norm is None)
            compare(f"{name}n", x, type=type, norm=norm, orthogonalize=norm is None)


def matrix(function, n):
    return ad.jacrev(function)(np.zeros(n))


@pytest.mark.parametrize("name", COSINES)
def test_jacobians_are_the_matrices_and_hessians_follow(name):
    for type in (1, 2, 3, 4):
        for norm in NORMS[1:]:
            options = {"type": type, "norm": norm}
            expected = getattr(scipy.fft, name)(np.eye(5), axis=0, **options)
            found = matrix(lambda x, o=options: getattr(fft, name)(x, **o), 5)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    check_grads(lambda x: np.sum(getattr(fft, name + "n")(x, 3) ** 3), (REAL[0, :2],), order=2)


def test_orthogonal_transforms_are():
    for name in COSINES:
        for type in (1, 2, 3, 4):
            m = matrix(lambda x, n=name, t=type: getattr(fft, n)(x, t, norm="ortho"), 6)
            np.testing.assert_allclose(m @ m.T, np.eye(6), atol=1e-12)


def test_a_cosine_transform_of_jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    loss = lambda dct, x: (dct(x, norm="ortho") ** 3).sum()  # noqa: E731
    expected = jax.grad(lambda x: loss(jax.scipy.fft.dct, x))(REAL[0])
    np.testing.assert_allclose(ad.grad(lambda x: loss(fft.dct, x))(REAL[0]), expected, rtol=1e-10)


def test_vmap_and_jit():
    for name in ("fft", "rfftn", "hfft2", "dct", "idstn"):
        function = getattr(fft, name)
        expected = np.stack([getattr(scipy.fft, name)(x) for x in REAL])
        np.testing.assert_allclose(ad.vmap(function)(REAL), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(ad.jit(ad.vmap(function))(REAL), expected, atol=1e-12)


def test_plain_arrays_are_scipys():
    np.testing.assert_array_equal(fft.dct(REAL, workers=2), scipy.fft.dct(REAL))
    assert fft.next_fast_len(97) == scipy.fft.next_fast_len(97)
    assert fft.next_fast_len(97, real=True) == scipy.fft.next_fast_len(97, real=True)
    assert fft.prev_fast_len(97) == scipy.fft.prev_fast_len(97)
    np.testing.assert_array_equal(fft.fftfreq(5, 0.1), scipy.fft.fftfreq(5, 0.1))
    slope = ad.grad(lambda d: np.sum(fft.rfftfreq(6, d)))(0.5)
    np.testing.assert_allclose(slope, -np.sum(scipy.fft.rfftfreq(6, 0.5)) / 0.5)


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: fft.fft(x, plan=3), UnsupportedError, r"fft\(plan=3\).*leave plan out"),
        (
            lambda x: fft.fftn(x, axes=(0, 0)),
            ArgumentError,
            r"fftn: axis \(0, 0\) names an axis twice",
        ),
        (lambda x: fft.rfft(x + 0j), DTypeError, r"rfft: the array is complex128.*write fft"),
        (lambda x: fft.dct(x, 5), ArgumentError, "dct: type=5; give 1, 2, 3 or 4"),
        (lambda x: fft.dct(x[:, :1], 1), ArgumentError, "dct: type=1 of an array of shape"),
        (lambda x: fft.idct(x, norm="half"), ArgumentError, "idct: norm='half'; give 'backward'"),
        (lambda x: fft.dctn(x, s=(2,), axes=(0, 1)), ArgumentError, r"s=\(2,\) has 1 lengths"),
        (lambda x: fft.dct(x * 1j, orthogonalize=True), UnsupportedError, "leave it out, or tran"),
        (lambda x: fft.fftfreq(4, x[0, 0], xp=np), UnsupportedError, "leave xp out"),
    ],
)
def test_what_is_said_of_bad_arguments(function, error, words):
    with pytest.raises(error, match=words):
        ad.jit(function)(REAL[0])


@pytest.mark.parametrize("name", [*ONE_AXIS, *SEVERAL, *COSINES, "dctn", "idstn"])
def test_scipys_own_function_names_the_one_to_write(name):
    with pytest.raises(ConversionError, match=rf"Write gpuad\.scipy\.fft\.{name}\. "):
        ad.jit(getattr(scipy.fft, name))(REAL[0])


def test_scipys_own_shift_takes_traced_arrays():
    np.testing.assert_array_equal(
        ad.jit(scipy.fft.fftshift)(REAL), scipy.fft.fftshift(REAL)
    )  # fmt: skip


@pytest.mark.parametrize("n", [2, 5, 8])
@pytest.mark.parametrize("kind", ["dct", "dst"])
def test_transforms_that_cupy_lacks_are_made_of_others(kind, n):
    x = REAL.reshape(6, 10)[:, :n]
    for type in (1, 4):
        expected = getattr(scipy.fft, kind)(x, type)
        found = cosine_transforms.continued(np, kind, x, type)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        single = cosine_transforms.continued(np, kind, x.astype(np.float32), type)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-5)
