"""Fourier transforms: numpy.fft and gpuad.numpy.fft against NumPy, JAX and adjoints by hand."""

import itertools

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from executors.memory_programs import measured
from gpuad.compile import run_once
from gpuad.errors import ArgumentError, DTypeError, InPlaceError, MemoryLimitError
from gpuad.executors.native import result_pool
from gpuad.primitives.fourier import fft
from gpuad.testing import check_grads

ONE_AXIS = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
SEVERAL = ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
OF_REAL = ("rfft", "ihfft", "rfft2", "rfftn")
NORMS = (None, "backward", "ortho", "forward")
_draw = np.random.default_rng(21)


def real(*shape):
    return _draw.normal(size=shape)


def complex_(*shape):
    return _draw.normal(size=shape) + 1j * _draw.normal(size=shape)


def traced(function, *args):
    """What a function gives for traced arrays."""
    return run_once(function, args, {})


def assert_like(found, expected):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    single = expected.dtype.name in ("float16", "float32", "complex64")
    tolerance = 2e-3 if expected.dtype == np.float16 else 1e-5 if single else 1e-12
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


ARRAYS = {
    "real": real(3, 4, 5),
    "complex": complex_(6),
    "single": real(4, 3).astype(np.float32),
    "complex single": complex_(2, 5).astype(np.complex64),
    "integers": _draw.integers(0, 9, (2, 6)),
    "bool": real(2, 4) > 0,
    "no rows": np.zeros((0, 3)),
    "strided": complex_(4, 12)[::-2, ::3].T,
    "one": real(1, 2),
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("name", ONE_AXIS)
def test_values_along_one_axis(name, kind):
    x, function = ARRAYS[kind], getattr(np.fft, name)
    if name in OF_REAL and x.dtype.kind == "c":
        with pytest.raises(DTypeError, match=rf"{name}: the array is complex.*x\.real"):
            traced(function, x)
        return
    choices = [(n, -1, None) for n in (None, 1, 2, 5, 6, 9)] + [(None, 0, None), (4, 0, "ortho")]
    for n, axis, norm in [*choices, *[(None, -1, norm) for norm in NORMS]]:
        if n is None and (x.shape[axis] == 0 or ("hfft irfft".find(name) >= 0 and len(x) < 2)):
            continue
        expected = function(x, n, axis, norm)
        assert_like(traced(lambda x, a=(n, axis, norm): function(x, *a), x), expected)


@pytest.mark.parametrize("kind", ["real", "single", "integers", "strided", "no rows"])
@pytest.mark.parametrize("name", SEVERAL)
def test_values_along_several_axes(name, kind):
    x, function = ARRAYS[kind], getattr(np.fft, name)
    x = x.real if name in OF_REAL else x
    for options in (
        {},
        {"axes": (0, 1)},
        {"axes": (-1, 0), "norm": "ortho"},
        {"axes": (1,), "s": (4,)},
        {"axes": (0, -1), "s": (5, -1)},
        {"axes": (0, 1), "s": (2, 3), "norm": "forward"},
        {"axes": (0, 1, 0)},
    ):
        try:
            expected = function(x, **options)
        except ValueError:  # an axis without elements
            with pytest.raises(ArgumentError):
                traced(lambda x, options=options: function(x, **options), x)
            continue
        assert_like(traced(lambda x, options=options: function(x, **options), x), expected)


def test_half_precision_is_numpys():
    x = real(7).astype(np.float16)
    for function in (np.fft.fft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft):
        assert traced(function, x).dtype == function(x).dtype


def test_no_axes_change_nothing():
    x = ARRAYS["integers"]
    for function in (np.fft.fftn, np.fft.ifftn, np.fft.fftshift, np.fft.ifftshift):
        assert_like(traced(lambda x, f=function: f(x, axes=()), x), x)


@pytest.mark.parametrize("axes", [None, 0, (1,), (0, 2), (-1, 0, 1)])
def test_shifts(axes):
    for name, x in itertools.product(("fftshift", "ifftshift"), (real(3, 4, 5), complex_(4, 3, 1))):
        function = getattr(np.fft, name)
        assert_like(traced(lambda x, f=function: f(x, axes=axes), x), function(x, axes=axes))


def test_frequencies():
    for n, function, ours in [
        (7, np.fft.fftfreq, gnp.fft.fftfreq),
        (8, np.fft.fftfreq, gnp.fft.fftfreq),
        (8, np.fft.rfftfreq, gnp.fft.rfftfreq),
    ]:
        np.testing.assert_array_equal(ours(n, 0.3), function(n, 0.3))
        for f in (function, ours):
            np.testing.assert_allclose(traced(lambda d, f=f, n=n: f(n, d), 0.3), function(n, 0.3))
    slope = ad.grad(lambda d: (gnp.fft.fftfreq(6, d) ** 2).sum())(0.5)
    np.testing.assert_allclose(slope, -2 * (np.fft.fftfreq(6, 0.5) ** 2).sum() / 0.5)
    with pytest.raises(ArgumentError, match=r"fftfreq: n=2\.5; give .* an int"):
        traced(lambda d: gnp.fft.fftfreq(2.5, d), 0.3)


# Derivatives


def weighted(name, options):
    """A real loss of a transform, with NumPy or another namespace."""

    def loss(x, xp=np):
        y = getattr(xp.fft, name)(x, **options)
        w = np.linspace(-1.0, 1.0, y.size).reshape(y.shape)
        return xp.sum(xp.real(y) ** 3 * w) + xp.sum(xp.imag(y) ** 2 * (w + 0.3) * xp.real(y))

    return loss


OPTIONS = {
    "one": [{"n": 5, "norm": "ortho"}, {"n": 6}, {"n": 8, "norm": "forward"}, {"axis": 0}],
    "several": [{"axes": (0,)}, {"s": (5, 3), "axes": (1, 0), "norm": "ortho"}, {}],
}


@pytest.mark.parametrize("name", [*ONE_AXIS, *SEVERAL])
def test_transposes_are_those_of_jax(name):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    for options in OPTIONS["one" if name in ONE_AXIS else "several"]:
        if name.endswith("2") and options.get("axes") == (0,):
            continue
        for x in (real(4, 6), complex_(4, 6)):
            if name in OF_REAL and x.dtype.kind == "c":
                continue
            theirs = lambda x, o=options: getattr(jax.numpy.fft, name)(x, **o)  # noqa: E731
            ours = lambda x, o=options: getattr(np.fft, name)(x, **o)  # noqa: E731
            y = ours(x)
            seed = complex_(*y.shape) if y.dtype.kind == "c" else real(*y.shape)
            (expected,) = jax.vjp(theirs, x)[1](seed)
            (found,) = ad.vjp(ours, x)[1](seed)
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [*ONE_AXIS, *SEVERAL])
def test_derivatives_against_differences(name):
    options = {"n": 5} if name in ONE_AXIS else {"s": (3, 5), "axes": (0, 1)}
    loss = weighted(name, options)
    check_grads(loss, (real(2, 6),), order=2)
    if name not in OF_REAL:
        check_grads(lambda x, y: loss(x + 1j * y), (real(2, 4), real(2, 4)), order=2)


@pytest.mark.parametrize("name", [*ONE_AXIS, *SEVERAL])
def test_vmap_and_jit(name):
    function = getattr(np.fft, name)
    x = real(3, 4, 6)
    expected = np.stack([function(row) for row in x])
    np.testing.assert_allclose(ad.vmap(function)(x), expected, rtol=1e-12, atol=1e-12)
    last = ad.vmap(function, in_axes=2, out_axes=1)(np.moveaxis(x, 0, 2))
    np.testing.assert_allclose(last, np.moveaxis(expected, 0, 1), rtol=1e-12, atol=1e-12)
    loss = weighted(name, {})
    np.testing.assert_allclose(ad.jit(function)(x), function(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ad.jit(ad.grad(loss))(x), ad.grad(loss)(x), rtol=1e-10, atol=1e-10)


def test_single_precision_stays_single():
    x = real(4, 6).astype(np.float32)
    gradient = ad.grad(lambda x: np.sum(np.abs(np.fft.rfft2(x)) ** 2))(x)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(ad.jit(np.fft.fft)(x), np.fft.fft(x), rtol=1e-5, atol=1e-5)
    assert ad.jit(np.fft.fft)(x).dtype == np.complex64


def test_a_nan_stays_in_its_row():
    x = real(3, 8)
    x[1, 2] = np.nan
    found = ad.grad(lambda x: np.sum(np.abs(np.fft.fft(x)) ** 2))(x)
    assert np.isnan(found[1]).all() and np.isfinite(found[[0, 2]]).all()
    kept = ad.grad(lambda x: np.sum(np.abs(np.fft.fft(np.where(x > 0, x, 0))) ** 2))(x)
    assert np.isfinite(kept).all()


def test_the_derivative_of_a_row_that_is_left_out_is_zero():
    x = real(2, 8)
    x[1] = np.inf
    found = ad.grad(lambda x: np.sum(np.abs(np.fft.fft(x)[0]) ** 2))(x)
    np.testing.assert_allclose(found[0], 16 * x[0])
    np.testing.assert_array_equal(found[1], 0)


def test_parseval():
    x, n = complex_(5, 12), 12
    energy = np.sum(np.abs(x) ** 2)
    power = lambda y: np.sum(np.abs(y) ** 2)  # noqa: E731
    for norm, factor in (("backward", n), ("ortho", 1), ("forward", 1 / n)):
        value, gradient = ad.value_and_grad(
            lambda x, norm=norm: power(np.fft.fft(x, norm=norm))
        )(x)  # fmt: skip
        np.testing.assert_allclose(value, factor * energy)
        np.testing.assert_allclose(gradient, 2 * factor * x.conj(), rtol=1e-12)


@pytest.mark.parametrize("n", [7, 8])
def test_round_trips(n):
    x, z = real(n, n), complex_(n, n)
    for forward, backward, value in [
        (np.fft.fft, np.fft.ifft, z),
        (np.fft.fft2, np.fft.ifft2, z),
        (np.fft.rfft, lambda y: np.fft.irfft(y, n), x),
        (np.fft.rfft2, lambda y: np.fft.irfft2(y, (n, n), (0, 1)), x),
        (np.fft.ihfft, lambda y: np.fft.hfft(y, n), x),
        (np.fft.fftshift, np.fft.ifftshift, z),
    ]:
        both = lambda v, f=forward, b=backward: b(f(v))  # noqa: E731
        np.testing.assert_allclose(traced(both, value), value, atol=1e-14)
        (tangent,) = [ad.jvp(both, (value,), (value * 2,))[1]]
        np.testing.assert_allclose(tangent, 2 * value, atol=1e-13)


# Messages


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: np.fft.fft(x, 0), r"fft: a transform of 0 elements; give n from 1"),
        (lambda x: np.fft.fft(x, axis=3), r"fft: axis 3 is out of range"),
        (lambda x: np.fft.fft(x, norm="full"), r"fft: norm='full'; give 'backward', 'ortho'"),
        (lambda x: np.fft.irfft(x[:, :1]), r"irfft: a transform of 0 elements; give n from 1"),
        (lambda x: np.fft.fft2(x[0]), r"fft2?n?: axis -2 is out of range"),
        (lambda x: np.fft.fftn(x, (2, 3), (1,)), r"fftn: s=\(2, 3\) has 2 lengths"),
        (lambda x: np.fft.rfftn(x, axes=()), r"rfftn: no axes; give at least one"),
        (lambda x: np.fft.irfftn(x, axes=()), r"irfftn: no axes; give at least one"),
        (lambda x: np.fft.fft(x[0, 0]), r"fft: a number has no axis"),
    ],
)
def test_what_is_said_of_bad_arguments(function, words):
    with pytest.raises(ArgumentError, match=words):
        traced(function, real(3, 4))


def test_results_are_stored_in_out():
    def function(x):
        out = np.zeros_like(x, dtype=complex)
        assert np.fft.fft(x, out=out) is out
        return out

    x = real(4, 5)
    np.testing.assert_allclose(traced(function, x), np.fft.fft(x))
    with pytest.raises((InPlaceError, TypeError)):
        traced(lambda x: np.fft.fft(x, out=np.zeros((4, 5), complex)), x)


def test_lists_and_plain_arrays():
    x = real(4)
    np.testing.assert_allclose(traced(lambda x: gnp.fft.fft([x[0], x[1], 2.0]), x),
                               np.fft.fft([x[0], x[1], 2.0]))  # fmt: skip
    np.testing.assert_array_equal(gnp.fft.fft(x, norm="ortho"), np.fft.fft(x, norm="ortho"))
    assert gnp.fft.fftshift(x).shape == (4,)


# Memory


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (np.fft.fft, complex_(1 << 17)),
        (np.fft.fft2, complex_(300, 400)),
        (np.fft.fftn, complex_(40, 50, 60)),
        (np.fft.fft2, complex_(300, 800)[:, ::2]),
        (lambda x: np.fft.ifft(x, axis=0), complex_(300, 400).T),
        (np.fft.rfft2, real(300, 400)),
        (np.fft.irfft2, complex_(300, 201)),
        (lambda x: np.fft.fft2(x, (400, 500)), complex_(300, 400)),
    ],
)
def test_the_predicted_memory_is_what_is_measured(function, x):
    f = ad.jit(function)
    np.testing.assert_allclose(f(x), function(x), rtol=1e-9, atol=1e-9)
    ad.clear_cache()  # and what a program keeps for its next run
    predicted = f.explain(x).peak_bytes
    result_pool.release()
    found = measured(lambda: f(x))
    assert abs(found - predicted) < 0.1 * predicted


def test_a_batch_is_transformed_in_parts_under_a_limit():
    x = real(600, 16, 16)

    def loss(x):
        return np.sum(np.abs(np.fft.fft2(x)) ** 4)

    usual = ad.jit(ad.grad(loss)).explain(x).peak_bytes
    with pytest.raises(MemoryLimitError) as info:
        ad.jit(ad.grad(loss), max_bytes=0)(x)
    least = int(str(info.value).split("Give max_bytes=")[1].split()[0])
    assert least < x.nbytes + 0.6 * (usual - x.nbytes)
    limited = ad.jit(ad.grad(loss), max_bytes=least)
    np.testing.assert_allclose(limited(x), ad.grad(loss)(x), rtol=1e-10)
    assert measured(lambda: limited(x)) <= least + 200_000


def test_a_direction_in_which_the_loss_is_flat():
    """A global phase changes no intensity."""
    u = complex_(8)

    def loss(u):
        return np.sum(np.abs(np.fft.fft(u)) ** 4)

    _, slope = ad.jvp(loss, (u,), (1j * u,))
    np.testing.assert_allclose(slope, 0, atol=1e-9 * loss(u))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("inverse", [False, True])
def test_large_transforms_have_the_same_bits_on_any_number_of_threads(dtype, inverse):
    """They are made in memory that is given, on several threads."""
    x = complex_(260, 270).astype(dtype)[::-1].T
    into, params = fft.into, {"axes": (0, 1), "inverse": inverse, "norm": "ortho"}
    found = [np.empty(x.shape, dtype) for _ in range(3)]
    for threads, out in enumerate(found, 1):
        into(x, out, threads, **params)
        np.testing.assert_array_equal(out, found[0])
    expected = (np.fft.ifft2 if inverse else np.fft.fft2)(x, norm="ortho")
    assert_like(found[0], expected.astype(dtype))
    jitted = ad.jit(lambda x: (np.fft.ifft2 if inverse else np.fft.fft2)(x, norm="ortho"))
    np.testing.assert_array_equal(jitted(x), found[0])
