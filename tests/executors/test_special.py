"""gpuad.scipy.special, and SciPy's own functions on traced arrays: values and dtypes as SciPy's,
derivatives, transforms, complex values, hard points, refusals."""

import doctest
import inspect

import numpy as np
import pytest
import scipy.optimize
import scipy.special as theirs

import gpuad as ad
import pretended_cupy
from gpuad.compile import run_once
from gpuad.errors import ArgumentError, ConversionError, UnsupportedError
from gpuad.scipy import special
from gpuad.testing import check_grads

UFUNCS = [n for n in special.__all__ if isinstance(getattr(theirs, n), np.ufunc)]
BY_ORDER = ("expn", "iv", "ive", "jn", "jv", "kn", "yn", "yv")
WHOLE = ("expn", "kn", "yn")
COMPLEX = ("digamma", "exp1", "expi", "gamma", "loggamma", "psi", "rgamma", "wofz")
UNIT = ("betainc", "betaincc", "betaincinv", "betainccinv", "gammaincinv", "gammainccinv", "logit",
        "ndtri")  # fmt: skip


def arguments(name, shape=(5,), seed=0):
    """Arguments inside of the domain."""
    draw = np.random.default_rng(seed)
    xs = [draw.uniform(0.2, 0.8, shape) for _ in range(getattr(theirs, name).nin)]
    if name in BY_ORDER:
        xs[0] = np.full(shape, 2.0) if name in WHOLE else np.full(shape, 1.5)
    return [-x for x in xs] if name in ("log_expit", "ndtri_exp") else xs


def moved(name):
    """The function of those arguments by which it is differentiated, and these."""
    xs = arguments(name)
    if name in BY_ORDER:
        return lambda x: getattr(theirs, name)(xs[0], x), xs[1:]
    return getattr(theirs, name), xs


@pytest.mark.parametrize("name", UFUNCS)
def test_values_and_dtypes_are_scipys(name):
    ours, ufunc = getattr(special, name), getattr(theirs, name)
    for dtype in (np.float64, np.float32, np.float16, np.int64, np.int32, np.int8, np.bool_):
        xs = arguments(name) if np.dtype(dtype).kind == "f" else [np.array([1, 2])] * ufunc.nin
        xs = [x.astype(dtype) for x in xs]
        with np.errstate(all="ignore"):
            expected = ufunc(*xs)
            found = run_once(ours, xs, {})
        assert found.dtype == expected.dtype, dtype
        rtol = 1e-13 if expected.dtype.name in ("float64", "complex128") else 1e-5
        np.testing.assert_allclose(found, expected, rtol=rtol, err_msg=str(dtype))


@pytest.mark.parametrize("name", UFUNCS)
def test_derivatives_of_both_modes_and_orders(name):
    if name in ("cosm1", "wofz", "gammasgn"):
        pytest.skip("tested below")
    function, xs = moved(name)
    check_grads(lambda *xs: function(*xs).sum(), tuple(xs), order=2)


@pytest.mark.parametrize("name", "gammainc betainc voigt_profile erfcx beta binom boxcox".split())
def test_third_derivatives(name):
    function, xs = moved(name)
    check_grads(lambda *xs: function(*xs).sum(), tuple([x[:3] + 0.1 for x in xs]), order=3)


@pytest.mark.parametrize("name", UFUNCS)
def test_vmap_is_a_loop_and_jit_changes_nothing(name):
    ufunc = getattr(theirs, name)
    xs = arguments(name, (3, 4))
    found = ad.vmap(ufunc)(*xs)
    np.testing.assert_allclose(found, ufunc(*xs), rtol=1e-13)
    axes = (0, *[None] * (len(xs) - 1))
    mixed = ad.vmap(ufunc, axes)(xs[0], *[x[0] for x in xs[1:]])
    expected = [ufunc(row, *[x[0] for x in xs[1:]]) for row in xs[0]]
    np.testing.assert_allclose(mixed, np.stack(expected), rtol=1e-13)
    np.testing.assert_allclose(ad.jit(ufunc)(*xs), ufunc(*xs), rtol=1e-13)
    np.testing.assert_allclose(ad.jit(ufunc)(*[x.T for x in xs]), ufunc(*xs).T, rtol=1e-13)


@pytest.mark.parametrize("name", UFUNCS)
def test_jitted_gradients_are_the_gradients(name):
    if name in ("wofz", "gammasgn"):
        return
    function, xs = moved(name)
    gradient = ad.grad(lambda *xs: function(*xs).sum(), tuple(range(len(xs))))
    for found, expected in zip(ad.jit(gradient)(*xs), gradient(*xs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("name", UFUNCS)
def test_empty_scalar_and_missing_values(name):
    ufunc = getattr(theirs, name)
    empty = [np.zeros((0, 3))] * ufunc.nin
    found = run_once(ufunc, empty, {})
    assert found.shape == (0, 3) and found.dtype == ufunc(*empty).dtype
    numbers = [x[0] for x in arguments(name)]
    np.testing.assert_allclose(run_once(ufunc, numbers, {}), ufunc(*numbers), rtol=1e-13)
    missing = [x * np.nan for x in arguments(name)]
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run_once(ufunc, missing, {}), ufunc(*missing))


@pytest.mark.parametrize("name", UFUNCS)
def test_gradients_of_nothing_and_of_missing_values(name):
    if name in ("wofz", "gammasgn"):
        return
    function, xs = moved(name)
    both = tuple(range(len(xs)))
    gradient = ad.grad(lambda *xs: function(*xs).sum(), both)
    if name not in BY_ORDER:
        assert [x.shape for x in gradient(*[x[:0] for x in xs])] == [(0,)] * len(xs)
    xs[-1][2] = np.nan
    with np.errstate(all="ignore"):
        found = gradient(*xs)
    for slope in found:
        assert np.isfinite(np.delete(slope, 2)).all()
    assert np.isnan(found[0][2]) or name == "rel_entr", "NaN is not lost"


def test_out_lists_and_nested_transforms():
    x = np.array([0.5, 2.0])

    def filled(x):
        target = np.zeros_like(x)
        theirs.gammaln(x, out=target)
        return (target * special.digamma([x[0], x[1]])).sum()

    expected = theirs.psi(x) ** 2 + theirs.gammaln(x) * theirs.polygamma(1, x)
    np.testing.assert_allclose(ad.grad(filled)(x), expected)
    second = ad.vmap(ad.grad(ad.grad(theirs.gammaln)))(x)
    np.testing.assert_allclose(second, theirs.polygamma(1, x))


# Functions that are no ufuncs

POINTS = np.array([[0.7, 1.4], [2.5, 3.1]])
OTHERS = {
    "polygamma 0": lambda s, x: s.polygamma(0, x),
    "polygamma": lambda s, x: s.polygamma(2, x),
    "multigammaln": lambda s, x: s.multigammaln(x + 1, 3),
    "factorial": lambda s, x: s.factorial(x - 1.5),
    "zeta": lambda s, x: s.zeta(x + 1),
    "zeta of two": lambda s, x: s.zeta(x + 1, x),
    "zeta of a number": lambda s, x: s.zeta(2, x),
    "lambertw": lambda s, x: s.lambertw(x).real,
    "lambertw -1": lambda s, x: s.lambertw(-0.1 * x, -1).real,
    "lambertw of tolerance": lambda s, x: s.lambertw(x, tol=1e-6).real,
    "logsumexp": lambda s, x: s.logsumexp(x, axis=0),
    "logsumexp of weights": lambda s, x: s.logsumexp(x, b=np.ones(2), keepdims=True),
    "softmax": lambda s, x: s.softmax(x, axis=1),
    "log_softmax": lambda s, x: s.log_softmax(x, axis=-1),
    "sinc": lambda s, x: s.sinc(x),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions(name):
    call = OTHERS[name]
    for x in (POINTS, POINTS.astype(np.float32), np.array(2.0)):
        if x.ndim == 0 and "max" in name.replace("sumexp", "max"):  # along an axis
            continue
        found, expected = run_once(lambda x: call(special, x), (x,), {}), call(theirs, x)
        assert found.dtype == expected.dtype
        near = {"rtol": 1e-5 if x.dtype == "f4" else 1e-13, "atol": 1e-16}
        np.testing.assert_allclose(found, expected, **near)
        np.testing.assert_allclose(call(special, x), expected, rtol=1e-6, atol=1e-16)
    if name != "factorial":
        check_grads(lambda x: (call(special, x) * POINTS).sum(), (POINTS,), order=2)
    np.testing.assert_allclose(
        ad.vmap(lambda x: call(special, x[None]))(POINTS),
        [call(theirs, x[None]) for x in POINTS],
        rtol=1e-13,
    )
    np.testing.assert_allclose(ad.jit(lambda x: call(special, x))(POINTS), call(theirs, POINTS))


def test_options_of_scipys_that_only_plain_arrays_have():
    found = special.logsumexp(POINTS, b=-1.0, return_sign=True)
    np.testing.assert_allclose(found, theirs.logsumexp(POINTS, b=-1.0, return_sign=True))
    np.testing.assert_array_equal(special.factorial(5, exact=True), 120)


def test_factorial_is_zero_below_zero():
    x = np.array([-1.0, 0.0, 3.0])
    np.testing.assert_array_equal(run_once(special.factorial, (x,), {}), theirs.factorial(x))
    slopes = ad.grad(lambda x: special.factorial(x).sum())(x)
    np.testing.assert_allclose(slopes, [0, -np.euler_gamma, 6 * theirs.psi(4.0)])


# Complex values


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_values_and_derivatives(name):
    ufunc = getattr(theirs, name)
    z = np.array([0.5 + 0.3j, 2.0 - 1.5j, -1.3 + 0.7j, 4.0 + 9.0j, -0.2 - 3.0j])
    np.testing.assert_allclose(run_once(ufunc, (z,), {}), ufunc(z), rtol=1e-13)
    assert run_once(ufunc, (z.astype(np.complex64),), {}).dtype == ufunc(z.astype("c8")).dtype
    first = ad.jvp(ufunc, (z,), (np.ones_like(z),))[1]
    step = 1e-4

    def difference(f):
        near = (f(z + step) - f(z - step)) / (2 * step)
        return (4 * near - (f(z + 2 * step) - f(z - 2 * step)) / (4 * step)) / 3

    np.testing.assert_allclose(first, difference(ufunc), rtol=1e-9)
    slope = lambda z: ad.jvp(ufunc, (z,), (np.ones_like(z),))[1]  # noqa: E731
    second = ad.jvp(slope, (z,), (np.full_like(z, 1j),))[1]
    np.testing.assert_allclose(second, 1j * difference(slope), rtol=1e-8)
    gradient = ad.grad(lambda z: ufunc(z).real.sum())(z)
    np.testing.assert_allclose(gradient, first, rtol=1e-13)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_wofz_off_the_real_line(order):
    """By w' = 2i/√π - 2zw, in many digits."""
    mp = pytest.importorskip("mpmath")
    z = np.array([0.3 + 1.1j, -2.4 + 0.45j, 3.2 + 0.9j, 5.9 + 0.5j, 1.0 + 6.4j, -4.0 + 4.0j])
    expected = []
    with mp.workdps(40):
        for x in map(mp.mpc, z):
            before = mp.exp(-x * x) * mp.erfc(-1j * x)
            now = 2j / mp.sqrt(mp.pi) - 2 * x * before
            for k in range(1, order):
                before, now = now, -2 * (x * now + k * before)
            expected.append(complex(now))
    slope = theirs.wofz
    for _ in range(order):
        slope = slope_along_one(slope)
    np.testing.assert_allclose(slope(z), expected, rtol=[5e-15, 1e-14, 3e-14, 3e-13][order - 1])


def slope_along_one(f):
    return lambda z: ad.jvp(f, (z,), (np.ones_like(z),))[1]


def test_wofz_of_real_values_is_complex():
    x = np.array([-7.5, -0.5, 0.0, 0.3, 3.0, 8.0])
    np.testing.assert_allclose(run_once(theirs.wofz, (x,), {}), theirs.wofz(x), rtol=1e-13)
    slopes = ad.grad(lambda x: theirs.wofz(x).imag.sum())(x)
    dawson = ad.grad(lambda x: theirs.dawsn(x).sum())(x)
    np.testing.assert_allclose(slopes, dawson * 2 / np.sqrt(np.pi), rtol=1e-11)


# Hard points


def test_what_is_dropped_gives_no_nan():
    x = np.array([-2.0, 0.0, 1.5])

    def guarded(x):
        return np.sum(np.where(x > 0, theirs.gammaln(x) + theirs.betainc(x, 2.0, x / 4), x))

    first, second = ad.grad(guarded)(x), ad.hvp(guarded, (x,), (np.ones(3),))[0]
    np.testing.assert_array_equal(first[:2], 1)
    np.testing.assert_array_equal(second[:2], 0)
    assert np.isfinite(first).all() and np.isfinite(second).all()


def slopes_of(f, *xs):
    return ad.grad(lambda *xs: np.sum(f(*xs)), tuple(range(len(xs))))(*[np.array([x]) for x in xs])


HARD = [
    (theirs.rgamma, (0.0,), (1.0,)),
    (theirs.rgamma, (-2.0,), (2.0,)),
    (theirs.gammainc, (1.0, 0.0), (0.0, 1.0)),
    (theirs.gammainc, (2.0, 0.0), (0.0, 0.0)),
    (theirs.gammainc, (0.5, 0.0), (0.0, np.inf)),
    (theirs.gammainc, (2.0, np.inf), (0.0, 0.0)),
    (theirs.betainc, (1.0, 2.0, 0.0), (0.0, 0.0, 2.0)),
    (theirs.betainc, (2.0, 1.0, 1.0), (0.0, 0.0, 2.0)),
    (theirs.rel_entr, (0.0, 2.0), (-np.inf, 0.0)),
    (theirs.kl_div, (2.0, 2.0), (0.0, 0.0)),
    (theirs.huber, (1.0, 0.0), (0.0, 0.0)),
    (theirs.huber, (1.0, 3.0), (2.0, 1.0)),
    (theirs.i0e, (0.0,), (0.0,)),
    (theirs.j1, (0.0,), (0.5,)),
    (theirs.exprel, (0.0,), (0.5,)),
    (theirs.spence, (1.0,), (-1.0,)),
    (theirs.ellipk, (0.0,), (np.pi / 8,)),
    (theirs.boxcox, (2.0, 0.0), (0.5, np.log(2) ** 2 / 2)),
    (theirs.boxcox, (0.0, 2.0), (0.0, 0.25)),
    (theirs.inv_boxcox, (0.5, 0.0), (np.exp(0.5), -np.exp(0.5) / 8)),
    (theirs.log_ndtr, (50.0,), (0.0,)),
    (theirs.dawsn, (np.inf,), (0.0,)),
    (theirs.erfcx, (np.inf,), (0.0,)),
    (theirs.voigt_profile, (1.0, 0.0, 2.0), (-4 / np.pi / 25, 0.0, -3 / np.pi / 25)),
    (theirs.binom, (3.0, 5.0), (-1 / 20, 1 / 20)),
    (theirs.gammasgn, (1.5,), (0.0,)),
]


@pytest.mark.parametrize(("function", "point", "expected"), HARD, ids=lambda x: str(x))
def test_slopes_at_hard_points(function, point, expected):
    with np.errstate(all="ignore"):
        found = slopes_of(function, *point)
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-12, atol=1e-15)


# What is refused


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: special.jv(x, 1.0), r"jv .*argument v.*stop_gradient\(v\)"),
        (lambda x: special.expn(x, 1.0), r"expn .*argument n"),
        (lambda x: special.ive(x, x), r"ive .*argument v"),
        (lambda x: special.polygamma(x, 1.0), "polygamma: n is a traced array"),
        (lambda x: special.polygamma(np.arange(2), x), "polygamma: n=.*one int"),
        (lambda x: special.polygamma(-1, x), "order of 0 or more"),
        (lambda x: special.lambertw(x, [0, 1]), "lambertw: k=.*one int"),
        (lambda x: special.multigammaln(x, 1.5), "multigammaln: d=1.5"),
        (lambda x: special.factorial(x, exact=True), "leave exact out"),
        (lambda x: special.factorial(x, extend="complex"), r"special.gamma\(n \+ 1\)"),
        (lambda x: special.gammaln(x + 1j), "gammaln"),
        (lambda x: special.ndtr(x * 1j), "real part"),
        (lambda x: special.gamma(x, where=x > 0), "np.where"),
        (lambda x: special.gamma(x, colour=1), "colour"),
        (lambda x: special.beta(x), "2 arrays"),
        (lambda x: theirs.struve(1, x), r"scipy\.special\.struve.*gpuad\.external"),
    ],
)
def test_refusals_name_what_to_write(call, words):
    with pytest.raises((UnsupportedError, ArgumentError), match=words):
        ad.grad(lambda x: np.sum(np.abs(call(x))))(np.array([0.5, 1.5]))


def test_orders_may_be_traced_if_they_are_not_differentiated():
    x = np.array([0.5, 1.5])
    np.testing.assert_allclose(ad.jit(special.jv)(2.0, x), theirs.jv(2.0, x))
    slope = ad.jit(ad.grad(lambda x, v: special.jv(v, x).sum()))(x, 2)
    np.testing.assert_allclose(slope, theirs.jvp(2, x))


@pytest.mark.parametrize("name", "logsumexp softmax log_softmax factorial".split())
def test_functions_of_scipy_that_ask_for_arrays_name_ours(name):
    with pytest.raises(ConversionError, match=rf"Write gpuad\.scipy\.special\.{name}\."):
        ad.grad(lambda x: getattr(theirs, name)(x).sum())(np.ones(2))


def test_names_that_are_missing_are_short_to_read():
    with pytest.raises(AttributeError, match=r"dir\(gpuad\.scipy\.special\)") as info:
        _ = special.struve
    assert len(str(info.value)) < 400


OURS = [n for n in special.__all__ if "gpuad.scipy" in inspect.getdoc(getattr(special, n))]


@pytest.mark.parametrize("name", OURS)
def test_examples_are_right(name):
    document = inspect.getdoc(getattr(special, name))
    assert "\nExamples\n--------\n" in document
    test = doctest.DocTestParser().get_doctest(document, {}, name, None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not runner.run(test).failed


def test_names_of_this_module_have_examples():
    assert len(OURS) > 60


def test_rosen_without_that_mode_is_refused():
    with pytest.raises(ConversionError, match=r"scipy\.optimize.*rosen"):
        ad.grad(scipy.optimize.rosen)(np.ones(3))


# A pretended GPU


@pytest.fixture
def cupy(monkeypatch):
    yield pretended_cupy.installed(monkeypatch)
    ad.clear_cache()


@pytest.mark.parametrize(
    "name", "gammaln gammainc betainc beta j1 i1 k1 erfcx zeta log_ndtr".split()
)
def test_on_a_gpu(cupy, name):
    count = getattr(getattr(theirs, name), "nin", 2)
    xs = [np.random.default_rng(k).uniform(0.2, 0.8, 6) + (name == "zeta") for k in range(count)]
    function = getattr(special, name)
    gradient = ad.grad(lambda *xs: function(*xs).sum(), tuple(range(count)))
    on_gpu = gradient(*[cupy.asarray(x) for x in xs])
    for found, expected in zip(on_gpu, gradient(*xs), strict=True):
        np.testing.assert_allclose(found.get(), expected, rtol=1e-13)


def test_what_cupy_lacks_is_refused_by_name(cupy, monkeypatch):
    monkeypatch.setattr(cupy.special, "spence", None, raising=False)
    with pytest.raises(UnsupportedError, match=r"no spence.*gpuad\.external"):
        ad.grad(lambda x: special.spence(x).sum())(cupy.asarray(np.ones(3)))


@pytest.mark.parametrize("name", ("betaincc", "betainccinv", "ellipe", "wofz", "voigt_profile"))
def test_what_older_versions_of_cupy_lack_is_composed(cupy, monkeypatch, name):
    for lacking in ("betaincc", "betainccinv", "ellipe", "wofz", "voigt_profile"):
        monkeypatch.setattr(cupy.special, lacking, None, raising=False)
    xs = arguments(name, (40,))
    if name == "ellipe":
        xs = [np.array([-1e5, -2.0, 0.0, 1e-9, 0.7, 0.999, 1.0])]
    if name == "wofz":
        draw = np.random.default_rng(0)
        xs = [draw.normal(size=60) * 4 + 1j * draw.normal(size=60) * draw.random(60) ** 4]
    found = run_once(getattr(special, name), [cupy.asarray(x) for x in xs], {})
    np.testing.assert_allclose(found.get(), getattr(theirs, name)(*xs), rtol=2e-14)


def test_bessel_functions_of_order_2_without_cupys(cupy, monkeypatch):
    x = np.array([1e-3, 0.4, 3.0])
    for name in ("j", "y", "i", "k"):
        function = getattr(special, f"{name}1")
        expected = ad.grad(lambda x, f=function: f(x).sum())(x)
        monkeypatch.setattr(cupy.special, "__getattr__", _without(cupy.special.__getattr__))
        found = ad.grad(lambda x, f=function: f(x).sum())(cupy.asarray(x))
        np.testing.assert_allclose(found.get(), expected, rtol=1e-12)


def _without(lookup):
    def find(name):
        if name in ("jv", "yv", "iv", "kv"):
            raise AttributeError(name)
        return lookup(name)

    return find
