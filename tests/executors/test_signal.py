"""gpuad.scipy.signal against SciPy: values, derivatives, vmap, and messages."""

import numpy as np
import pytest
import scipy.signal

import gpuad as ad
from gpuad.errors import ArgumentError, ConversionError, DTypeError, UnsupportedError
from gpuad.primitives import convolution
from gpuad.testing import check_grads

signal = ad.scipy.signal
MODES = ("full", "same", "valid")
_draw = np.random.default_rng(23)


def real(*shape):
    return _draw.normal(size=shape)


def complex_(*shape):
    return _draw.normal(size=shape) + 1j * _draw.normal(size=shape)


def integers(*shape):
    return _draw.integers(-9, 10, shape)


def single(*shape):
    return real(*shape).astype(np.float32)


def assert_like(found, expected, tolerance=1e-12):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    tolerance = 1e-5 if expected.dtype.name in ("float32", "complex64") else tolerance
    scale = np.max(np.abs(expected), initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def compare(name, *args, moving=None, **options):
    """SciPy's function, and gpuad's with these of its arguments traced (all, if not given)."""
    arrays = [i for i, x in enumerate(args) if isinstance(x, np.ndarray)]
    places = arrays if moving is None else moving

    def function(*traced):
        all_args = [*args]
        for place, x in zip(places, traced, strict=True):
            all_args[place] = x
        return getattr(signal, name)(*all_args, **options)

    expected = getattr(scipy.signal, name)(*args, **options)
    found = ad.jit(function, executor="reference")(*[np.asarray(args[i]) for i in places])
    pairs = zip(found, expected, strict=True) if type(expected) is tuple else [(found, expected)]
    # SciPy transforms single precision by itself, even beside double precision.
    mixed = any(getattr(x, "dtype", None) == np.float32 for x in args)
    for x, y in pairs:
        assert_like(x, y, 1e-6 if mixed else 1e-12)


# Convolutions

PAIRS = {
    "lines": (real(7), real(3)),
    "even": (real(8), real(4)),
    "second longer": (real(4), real(7)),
    "complex": (complex_(7), real(4)),
    "planes": (real(5, 6), real(2, 3)),
    "second larger": (complex_(2, 3), complex_(5, 6)),
    "row": (complex_(4, 5), complex_(1, 3)),
    "space": (real(4, 5, 3), real(3, 2, 3)),
    "integers": (integers(5, 5), integers(2, 2)),
    "single": (single(4, 4), single(3, 2)),
    "of two dtypes": (single(6), real(3)),
    "strided": (real(12, 6)[::-2, ::2].T, real(2, 3)),
    "numbers": (np.array(3.0), np.array(2.0 + 1j)),
}


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_convolutions(name, kind):
    x, y = PAIRS[kind]
    for mode in MODES:
        for method in ("auto", "direct", "fft"):
            compare(name, x, y, mode=mode, method=method)
        compare(name, x, y, mode=mode, moving=[1])


@pytest.mark.parametrize("kind", PAIRS)
def test_convolutions_by_transforms(kind):
    x, y = PAIRS[kind]
    for mode in MODES:
        compare("fftconvolve", x, y, mode=mode)
        compare("oaconvolve", x, y, mode=mode)
    if kind == "planes":
        wide = real(5, 3)
        for mode in MODES:
            compare("fftconvolve", x, wide, mode=mode, axes=1)
            compare("oaconvolve", x, wide[:1], mode=mode, axes=[1])
            compare("fftconvolve", wide[:1], x, mode=mode, axes=(-1,))


@pytest.mark.parametrize("boundary", ["fill", "wrap", "symm"])
@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
def test_convolutions_with_boundaries(name, boundary):
    for kind in ("planes", "second larger", "row", "integers", "single", "strided"):
        x, y = PAIRS[kind]
        for mode in MODES:
            compare(name, x, y, mode=mode, boundary=boundary)
            if boundary == "fill":
                compare(name, x, y, mode=mode, fillvalue=2)


def test_large_direct_convolutions(monkeypatch):
    """Those of so many elements are SciPy's."""
    monkeypatch.setattr(convolution, "MOST_PASSES", 3)
    for kind in ("planes", "second larger", "space", "integers"):
        for mode in MODES:
            compare("convolve", *PAIRS[kind], mode=mode, method="direct")
    x, y = real(2, 6, 5), real(2, 3, 2)
    both = ad.vmap(lambda x, y: signal.convolve(x, y, method="direct"))(x, y)
    expected = [scipy.signal.convolve(a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(both, expected, rtol=1e-12, atol=1e-12)
    check_grads(lambda x, y: np.sum(signal.convolve(x, y, "valid", "direct") ** 2), (x[0], y[0]))


def test_nothing_convolved_gives_nothing():
    assert ad.jit(lambda x: signal.fftconvolve(x, np.ones(3)))(np.zeros(0)).shape == (0,)
    with pytest.raises(ArgumentError, match="neither empty"):
        ad.jit(lambda x: signal.convolve(x, np.ones(3)))(np.zeros(0))


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("mode", MODES)
def test_derivatives_of_convolutions(mode, method):
    for x, y in ((real(6), real(3)), (real(4, 5), real(2, 3)), (real(2, 3), real(4, 5))):
        for name in ("convolve", "correlate"):
            f = getattr(signal, name)
            check_grads(lambda x, y, f=f: np.sum(f(x, y, mode, method) ** 3), (x, y), order=2)

    def of_complex(x, y, u):
        z = signal.correlate(x + 1j * y, x - 1j * u, mode, method)
        return np.sum(np.abs(z) ** 2 + z.real**3)

    check_grads(of_complex, (real(4), real(4), real(4)), order=2)


@pytest.mark.parametrize("boundary", ["fill", "wrap", "symm"])
def test_derivatives_over_boundaries(boundary):
    def loss(x, y, fill):
        z = signal.convolve2d(x, y, "same", boundary, fillvalue=fill if boundary == "fill" else 0)
        return np.sum(z**3)

    check_grads(loss, (real(4, 5), real(2, 3), np.float64(0.7)), order=2)


def test_gradients_of_jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    x, y = real(6, 5), real(3, 2)
    for mode in MODES:
        theirs = lambda f, m=mode: lambda x, y: (f(x, y, m) ** 3).sum()  # noqa: E731
        expected = jax.grad(theirs(jax.scipy.signal.convolve), (0, 1))(x, y)
        for ours in (signal.convolve, signal.fftconvolve, signal.convolve2d):
            for a, b in zip(ad.grad(theirs(ours), (0, 1))(x, y), expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_the_gradient_of_a_small_kernel_takes_few_sums():
    """A transpose that made a full convolution would take minutes."""
    x, k = real(700, 700), real(3, 3)
    loss = lambda k: np.sum(signal.convolve(x, k, "valid", "direct"))  # noqa: E731
    found = ad.grad(loss)(k)
    expected = [[np.sum(x[2 - i : 700 - i, 2 - j : 700 - j]) for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["convolve", "fftconvolve", "correlate", "convolve2d"])
def test_vmap_of_convolutions(name):
    x, y = real(3, 4, 5), real(3, 2, 3)
    f, theirs = getattr(signal, name), getattr(scipy.signal, name)
    for axes in ((0, 0), (0, None), (None, 0)):
        args = [v if a == 0 else v[0] for v, a in zip((x, y), axes, strict=True)]
        expected = np.stack([
            theirs(*[v[i] if a == 0 else v for v, a in zip(args, axes, strict=True)], "valid")
            for i in range(3)
        ])  # fmt: skip
        for run in (ad.vmap(lambda x, y: f(x, y, "valid"), in_axes=axes),):
            np.testing.assert_allclose(run(*args), expected, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(ad.jit(run)(*args), expected, rtol=1e-12, atol=1e-12)
        twice = ad.vmap(ad.vmap(lambda x, y: f(x, y, "valid"), in_axes=axes), in_axes=axes)
        pairs = [np.stack([v, 2 * v]) if a == 0 else v for v, a in zip(args, axes, strict=True)]
        np.testing.assert_allclose(twice(*pairs)[0], expected, rtol=1e-12, atol=1e-12)


# Filters

B, A = scipy.signal.butter(3, 0.4)
SOS = scipy.signal.butter(5, 0.3, output="sos")
FILTERS = {
    "butter": (B, A),
    "sums alone": (np.array([1.0, 0.4, -0.2]), np.array([2.0])),
    "feedback alone": (np.array([0.5]), np.array([1.0, -0.5, 0.1])),
    "longer sums": (real(4), np.array([1.5, 0.3])),
    "factor": (np.array([3.0]), np.array([2.0])),
    "complex": (complex_(2), np.array([1.0, 0.3j])),
}
SIGNALS = [real(20), real(3, 15), real(15, 2, 2), complex_(2, 9), real(2), single(2, 16)]


@pytest.mark.parametrize("kind", FILTERS)
def test_recursive_filters(kind):
    b, a = FILTERS[kind]
    order = max(len(b), len(a)) - 1
    for x in SIGNALS:
        for axis in {-1, 0}:
            shape = [*x.shape]
            shape[axis] = order
            for moving in ([2], [0], [0, 1, 2]):
                compare("lfilter", b, a, x, axis=axis, moving=moving)
                compare("lfilter", b, a, x, axis, real(*shape), moving=[*moving, 4])
    one = real(1, order, 1)
    compare("lfilter", b, a, SIGNALS[2], 1, one) if order else None
    if order and np.isrealobj(b):
        found = ad.jit(signal.lfilter_zi)(b, a)
        if len(a) > 1:
            np.testing.assert_allclose(found, scipy.signal.lfilter_zi(b, a), rtol=1e-9)


def test_filters_of_sections():
    for x in (real(20), real(3, 15), real(15, 2, 2), complex_(2, 9)):
        for axis in (-1, 0):
            shape = [*x.shape]
            shape[axis] = 2
            compare("sosfilt", SOS, x, axis=axis)
            compare("sosfilt", SOS, x, axis, real(len(SOS), *shape), moving=[0, 1, 3])


@pytest.mark.parametrize("padding", [{}, {"padtype": "even"}, {"padtype": None}, {"padlen": 0},
                                     {"padtype": "constant", "padlen": 4}])  # fmt: skip
def test_filters_forth_and_back(padding):
    for x in (real(20), real(2, 15), complex_(16, 2), single(20)):
        axis = 0 if x.ndim == 1 or x.shape[0] > 2 else -1
        for moving in ([2], [0, 1, 2]):
            if x.dtype == np.float32 and moving != [2]:
                continue
            compare("filtfilt", B, A, x, axis, moving=moving, **padding)


def test_derivatives_of_filters():
    x, zi = real(2, 7), real(2, 3)

    def loss(b, a, x, zi):
        y, zf = signal.lfilter(b, a, x, zi=zi)
        return np.sum(y**3) + np.sum(zf**2)

    check_grads(loss, (B, A, x, zi), order=2)
    check_grads(lambda b, a, x: np.sum(signal.lfilter(b, a, x, axis=0) ** 2), (B, A, x), order=2)

    def of_sections(b, a, x):
        sos = np.concatenate([b, np.ones((3, 1)), a], axis=1)
        return np.sum(signal.sosfilt(sos, x) ** 2)

    check_grads(of_sections, (SOS[:, :3], SOS[:, 4:], x), order=2)
    check_grads(lambda b, a: np.sum(signal.lfilter_zi(b, a) ** 2), (B, A), order=2)
    check_grads(lambda b, a, x: np.sum(signal.filtfilt(b, a, x, padlen=3) ** 2), (B, A, x), order=2)


def test_vmap_and_jit_of_filters():
    a, x = np.stack([A, A * 1.1, A * 0.9]), real(3, 2, 8)
    both = ad.vmap(lambda a, x: signal.lfilter(B, a, x))
    expected = np.stack([scipy.signal.lfilter(B, c, y) for c, y in zip(a, x, strict=True)])
    np.testing.assert_allclose(both(a, x), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(ad.jit(both)(a, x), expected, rtol=1e-11, atol=1e-12)
    one = ad.vmap(lambda a: signal.lfilter(B, a, x[0]))(a)
    expected = np.stack([scipy.signal.lfilter(B, c, x[0]) for c in a])
    np.testing.assert_allclose(one, expected, rtol=1e-11, atol=1e-12)
    gradient = ad.vmap(ad.grad(lambda x: np.sum(signal.lfilter(B, A, x) ** 2)))
    each = [ad.grad(lambda x: np.sum(signal.lfilter(B, A, x) ** 2))(y) for y in x]
    np.testing.assert_allclose(gradient(x), each, rtol=1e-11)


def test_hessian_vector_products_of_a_filter_by_differences_of_the_gradient():
    x, move, step = real(30), real(4), 1e-6
    loss = lambda a: np.sum(np.exp(-(signal.lfilter(B, a, x) ** 2)))  # noqa: E731
    (found,) = ad.hvp(loss, (A,), (move,))
    gradient = ad.grad(loss)
    slope = (gradient(A + step * move) - gradient(A - step * move)) / (2 * step)
    np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-5)


def test_hilbert_and_trends():
    for x in (real(20), real(9, 2, 3), single(4, 7), integers(3, 8), complex_(3, 9)):
        for axis in (-1, 0):
            compare("detrend", x, axis=axis)
            compare("detrend", x, axis, "constant", overwrite_data=False)
            if x.shape[axis] > 3:
                compare("detrend", x, axis=axis, bp=[1, 3])
            if x.dtype.kind != "c":
                for n in (None, 1, 2, 5, 30):
                    compare("hilbert", x, n, axis, moving=[0])
    half = real(9).astype(np.float16)
    compare("detrend", half)
    compare("savgol_filter", half, 5, 2, moving=[0])
    check_grads(lambda x: np.sum(signal.detrend(x, bp=3) ** 3), (real(2, 7),), order=2)
    check_grads(lambda x: np.sum(np.abs(signal.hilbert(x))), (real(2, 7),), order=2)


@pytest.mark.parametrize("mode", ["interp", "mirror", "constant", "nearest", "wrap"])
def test_polynomials_in_windows(mode):
    for x in (real(20), real(9, 2, 3), single(4, 9), integers(3, 8)):
        axis = -1 if x.shape[-1] > 6 else 0
        for window, order, options in [
            (3, 1, {}), (5, 3, {"deriv": 1, "delta": 0.3}), (4, 2, {}), (7, 2, {"deriv": 2}),
            (1, 0, {}), (2, 1, {}),
        ]:  # fmt: skip
            options = {**options, "axis": axis, "mode": mode, "cval": 1.5}
            compare("savgol_filter", x, window, order, moving=[0], **options)
    smooth = lambda x: signal.savgol_filter(x, 5, 2, mode=mode)  # noqa: E731
    check_grads(lambda x: np.sum(smooth(x) ** 3), (real(2, 9),), order=2)
    np.testing.assert_allclose(
        ad.vmap(smooth)(SIGNALS[1]), scipy.signal.savgol_filter(SIGNALS[1], 5, 2, mode=mode)
    )


def test_the_value_beyond_the_boundary_may_be_traced_alone():
    x, k = real(4, 5), real(2, 3)
    for mode in MODES:
        f = lambda v, mode=mode: signal.convolve2d(x, k, mode, fillvalue=v)  # noqa: E731
        expected = scipy.signal.convolve2d(x, k, mode, fillvalue=1.5)
        np.testing.assert_allclose(ad.vjp(f, 1.5)[0], expected, rtol=1e-12, atol=1e-12)


def test_a_row_that_is_left_out_gives_no_nan():
    x = real(2, 8)
    x[1] = np.inf
    for f in (
        lambda x: signal.lfilter(B, A, x)[0],
        lambda x: signal.savgol_filter(x, 5, 2)[0],
        lambda x: signal.convolve(x, np.ones((1, 3)), method="direct")[0],
    ):
        found = ad.grad(lambda x, f=f: np.sum(f(x) ** 2))(x)
        assert np.isfinite(found[0]).all()
        np.testing.assert_array_equal(found[1], 0)


def test_what_is_sliced_off_drops_infinite_values():
    """log(0) stands where a slice leaves it out: of values, and in sums for the gradients of
    kernels and coefficients."""
    x, k = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.0]), np.array([1.0, 0.5])
    y = np.log(np.where(x > 0, x, 1.0))
    for f in (
        lambda y, k: np.convolve(y, k),
        lambda y, k: np.correlate(y, k, "full"),
        lambda y, k: signal.convolve(y, k, method="direct"),
        lambda y, k: signal.correlate(y[None], k[None], method="direct")[0],
        lambda y, k: signal.lfilter(k, [1.0, 0.2], y),
        lambda y, k: signal.lfilter([1.0, 0.3], k, y),
        lambda y, k: signal.sosfilt(np.concatenate([k, [0.1, 1.0], k * 0.1])[None], y),
    ):
        loss = lambda x, k, f=f: np.sum(f(np.log(x), k)[:3] ** 2)  # noqa: E731
        by_y, by_k = ad.grad(lambda y, k, f=f: np.sum(f(y, k)[:3] ** 2), (0, 1))(y, k)
        expected = np.divide(by_y, x, out=np.zeros(6), where=by_y != 0), by_k
        for gradient in (ad.grad(loss, (0, 1)), ad.jit(ad.grad(loss, (0, 1)))):
            for found, wanted in zip(gradient(x, k), expected, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
        products = [ad.hvp(loss, (z, k), (x, k)) for z in (x, x + 1e-300)]
        assert all(np.isfinite(v).all() for v in products[0])
        np.testing.assert_allclose(products[0][1], products[1][1], rtol=1e-9, atol=1e-9)


# Messages


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: signal.convolve(x, x, "half"), ArgumentError, "mode='half'; give 'full'"),
        (lambda x: signal.convolve(x, x, method="sum"), ArgumentError, "method='sum'; give"),
        (lambda x: signal.convolve(x, x[0]), ArgumentError, "different numbers of axes"),
        (lambda x: signal.convolve(x, x.T, "valid"), ArgumentError, "mode='valid' one array"),
        (lambda x: signal.fftconvolve(x, x, axes=3), ArgumentError, "axis 3 is out of range"),
        (lambda x: signal.fftconvolve(x, x[:2], axes=1), ArgumentError, "sizes 4 and 2 of axis 0"),
        (lambda x: signal.convolve2d(x[0], x[0]), ArgumentError, "two arrays of two axes"),
        (lambda x: signal.convolve2d(x, x, boundary="pad"), ArgumentError, "boundary='pad'; give"),
        (lambda x: signal.lfilter(x, [1.0], x), ArgumentError, "b has shape .* as a vector"),
        (lambda x: signal.lfilter(B, A, x, zi=x), ArgumentError, r"zi has .*give \(4, 3\)"),
        (lambda x: signal.lfilter(B, A, x[0, 0]), ArgumentError, "x is a number"),
        (lambda x: signal.sosfilt(x, x), ArgumentError, r"sos has shape .*\(sections, 6\)"),
        (lambda x: signal.sosfilt(2 * SOS, x), ArgumentError, r"sos\[:, 3\] must be ones"),
        (lambda x: signal.sosfilt(SOS, x, zi=x), ArgumentError, r"zi has shape .*\(3, 4, 2\)"),
        (lambda x: signal.filtfilt(B, A, x, method="gust"), UnsupportedError, "method='pad'"),
        (lambda x: signal.filtfilt(B, A, x, padtype="no"), ArgumentError, "padtype 'odd'"),
        (lambda x: signal.filtfilt(B, A, x), ArgumentError, "padlen=12; give a smaller padlen"),
        (lambda x: signal.hilbert(x * 1j), DTypeError, r"give real values, x\.real"),
        (lambda x: signal.hilbert(x, 0), ArgumentError, "a transform of 0 elements"),
        (lambda x: signal.detrend(x, type="cubic"), ArgumentError, "type='cubic'; give 'linear'"),
        (lambda x: signal.detrend(x, bp=9), ArgumentError, "bp=9 and 5 elements"),
        (lambda x: signal.detrend(x, bp=-1), ArgumentError, "bp=-1 and 5 elements"),
        (lambda x: signal.lfilter(B, [0.0, 1.0], x), ArgumentError, r"a\[0\] is 0"),
        (lambda x: signal.savgol_filter(x, 7, 2), ArgumentError, "window_length=7 of 5 elements"),
        (lambda x: signal.savgol_filter(x, 3, 2, mode="no"), ArgumentError, "mode='no'; give"),
        (lambda x: signal.savgol_filter(x * 1j, 3, 2), DTypeError, r"smooth x\.real and x\.imag"),
    ],
)
def test_what_is_said_of_bad_arguments(function, error, words):
    with pytest.raises(error, match=words):
        ad.jit(function)(real(4, 5))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("convolve", lambda f, x: f(x, x)),
        ("fftconvolve", lambda f, x: f(x, x)),
        ("convolve2d", lambda f, x: f(x, x)),
        ("lfilter", lambda f, x: f(B, A, x)),
        ("sosfilt", lambda f, x: f(SOS, x)),
        ("filtfilt", lambda f, x: f(B, A, x, padlen=2)),
        ("hilbert", lambda f, x: f(x)),
        ("detrend", lambda f, x: f(x)),
        ("savgol_filter", lambda f, x: f(x, 3, 1)),
    ],
)
def test_scipys_own_function_names_the_one_to_write(name, call):
    with pytest.raises(ConversionError, match=rf"Write gpuad\.scipy\.signal\.{name}\. "):
        ad.jit(lambda x: call(getattr(scipy.signal, name), x))(real(4, 5))


def test_plain_arrays_are_scipys():
    x = real(12)
    np.testing.assert_array_equal(signal.lfilter(B, A, x), scipy.signal.lfilter(B, A, x))
    np.testing.assert_array_equal(signal.filtfilt(B, A, x, method="gust"),
                                  scipy.signal.filtfilt(B, A, x, method="gust"))  # fmt: skip
