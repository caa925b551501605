"""Every public function of NumPy, SciPy and gpuad takes traced arrays, or says what to write."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats

import gpuad as ad
from executors import public_calls
from gpuad.errors import ConversionError, GpuadError, UnknownValueError
from gpuad.scipy import special
from gpuad.tracing import distributions
from source_tree import ROOT

FEWEST = {
    "numpy": 300, "numpy.linalg": 30, "numpy.fft": 15, "scipy.linalg": 80, "scipy.fft": 28,
    "scipy.signal": 120, "scipy.special": 250, "scipy.ndimage": 65, "scipy.spatial.distance": 24,
    "scipy.interpolate": 15, "gpuad.numpy": 300, "gpuad.numpy.linalg": 30, "gpuad.numpy.fft": 15,
    "gpuad.scipy.linalg": 28, "gpuad.scipy.fft": 28, "gpuad.scipy.signal": 12,
    "gpuad.scipy.special": 85, "gpuad.scipy.ndimage": 30, "gpuad.scipy.spatial.distance": 13,
    "gpuad.scipy.interpolate": 5,
}  # fmt: skip
"""How many functions are called, at least."""


@pytest.mark.parametrize("module", FEWEST)
def test_every_function_works_or_says_what_to_write(module):
    count, found = public_calls.findings(module)
    assert not found, "\n".join(found)
    assert count >= FEWEST[module]


def run_in_array_api_mode(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True,
        env={**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return done.stdout


def test_every_function_of_scipys_in_its_array_api_mode():
    modules = [m for m in FEWEST if m.startswith("scipy.")]
    found = run_in_array_api_mode("-m", "executors.public_calls", *modules).split("\n")
    assert not [line for line in found if line and not line.isdecimal()]


DISPATCHED = """
import numpy as np
import scipy.linalg, scipy.optimize, scipy.special as s, scipy.stats
import gpuad as ad
import gpuad.testing
from gpuad.scipy import special

a, b = np.array([[0.5, 2.0], [1.0, 3.0]]), np.array([[1.0, 4.0], [2.0, 2.0]])
x = np.array([0.3, 0.8, 1.7])
block = lambda m: (scipy.linalg.block_diag(m, m @ m) ** 2).sum()
fiedler = lambda v: (scipy.linalg.fiedler(v) ** 2).sum()
rotation = lambda m: scipy.linalg.orthogonal_procrustes(m, m * 0 + b, check_finite=False)[0]
nearest = lambda m: (rotation(m) * b).sum()
entropy = lambda v: scipy.stats.entropy(v) + scipy.stats.gmean(v)
mixed = lambda v: (s.xlogy(x, v) + s.gammainc(v, x)).sum()
for f, at in ((block, a), (fiedler, x), (nearest, a), (mixed, x)):
    for g in (f, ad.jit(f)):
        np.testing.assert_allclose(g(at), f(at), rtol=1e-12)
        np.testing.assert_allclose(ad.vmap(g)(np.stack([at, at]))[1], f(at), rtol=1e-12)
    ad.testing.check_grads(f, (at,), order=2)
ad.testing.check_grads(entropy, (x,), order=2)  # under jit SciPy asks if there are NaNs
x = np.array([0.3, 0.8, 1.7])
for name in ("gammaln", "ndtr", "digamma", "logsumexp", "softmax", "log_softmax", "i0", "erf"):
    loss = lambda f: ad.grad(lambda x: np.sum(f(x) * np.arange(1.0, 4.0)))(x)
    np.testing.assert_allclose(loss(getattr(s, name)), loss(getattr(special, name)), rtol=1e-12)
two = lambda f: ad.grad(lambda x: f(x, x + 1).sum())(x)
for name in ("betaln", "rel_entr", "gammainc", "xlogy"):
    np.testing.assert_allclose(two(getattr(s, name)), two(getattr(special, name)), rtol=1e-12)
np.testing.assert_allclose(ad.grad(lambda x: s.polygamma(1, x).sum())(x), s.polygamma(2, x))
logs = ad.grad(lambda x: s.logsumexp(np.stack([x, 2 * x]), axis=0, keepdims=True).sum())(x)
np.testing.assert_allclose(logs, 1 + s.expit(x))
slope = ad.grad(scipy.optimize.rosen)(x)
np.testing.assert_allclose(slope, scipy.optimize.rosen_der(x))
hessian = ad.hessian(scipy.optimize.rosen)(x)
np.testing.assert_allclose(hessian, scipy.optimize.rosen_hess(x))
try:
    ad.jit(lambda m: scipy.linalg.solve(m, b))(a)
except ad.errors.ConversionError as error:
    print(error)
try:
    ad.jit(lambda m: scipy.linalg.orthogonal_procrustes(m, m))(a)
except ad.errors.UnknownValueError as error:
    print(error)
"""


def test_what_dispatches_in_scipys_array_api_mode_is_right():
    said = run_in_array_api_mode("-c", DISPATCHED)
    assert "Write gpuad.scipy.linalg.solve. " in said
    assert "in scipy.linalg.orthogonal_procrustes under 'jit'" in said
    assert "Give check_finite=False" in said


# What is said

V = np.array([0.3, 0.7, 0.5])


@pytest.mark.parametrize("transform", [ad.jit, ad.vmap, lambda f: ad.grad(lambda x: f(x).sum())])
@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: scipy.linalg.toeplitz(x), r"Write gpuad\.scipy\.linalg\.toeplitz\. "),
        (lambda x: scipy.linalg.cosm(x), r"gpuad has no scipy\.linalg\.cosm: .*gpuad\.external"),
        (lambda x: scipy.stats.zscore(x), r"gpuad has no scipy\.stats\.zscore"),
        (lambda x: np.asarray(x), r"Write gpuad\.numpy\.asarray, .*or the array itself"),
        (lambda x: scipy.ndimage.rotate(np.eye(3), x[0]), r"Write gpuad\.scipy\.ndimage\.rotate\."),
        (
            lambda x: scipy.interpolate.CubicSpline(np.arange(3.0), V)(x),
            r"scipy\.interpolate\.CubicSpline\. ",
        ),
    ],
)
def test_what_asks_for_a_plain_array_is_named(transform, f, words):
    x = np.ones((2, 3)) if transform is ad.vmap else V
    with pytest.raises(GpuadError) as info:
        transform(f)(x)
    said = "\n".join([str(info.value), *getattr(info.value, "__notes__", ())])
    assert re.search(words, said), said


def test_values_that_a_library_asks_for_under_jit():
    with pytest.raises(UnknownValueError, match=r"in scipy\.linalg\.companion under 'jit'"):
        ad.jit(scipy.linalg.companion)(V)


# The distributions of scipy.stats

SHAPES = {
    "a": 2.5,
    "b": 1.5,
    "c": 1.7,
    "df": 4.0,
    "s": 0.7,
    "kappa": 1.2,
    "n": 6,
    "p": 0.4,
    "mu": 2.0,
}
OF = {
    "beta": "a b", "chi2": "df", "gamma": "a", "invgamma": "a", "lognorm": "s", "pareto": "b",
    "skewnorm": "a", "t": "df", "vonmises": "kappa", "weibull_min": "c", "bernoulli": "p",
    "binom": "n p", "geom": "p", "nbinom": "n p", "poisson": "mu",
}  # fmt: skip
"""The parameters of shape of a distribution, in SciPy's order."""


def value_of(formula: str, **names):
    return eval(formula, {"np": np, "special": special, **names})


@pytest.mark.parametrize(
    "name",
    [f"{d}.logpdf" for d in distributions._LOG_DENSITIES]
    + [f"{d}.pmf" for d in distributions._LOG_MASSES]
    + [name for name in distributions._OTHERS if not re.match("dirichlet|multi", name)],
)
def test_formulas_are_those_of_scipy(name):
    distribution, method = name.split(".")
    shapes = [SHAPES[s] for s in OF.get(distribution, "").split()]
    x = np.array([2.3, 2.9])
    if distribution in distributions._LOG_MASSES:
        x = np.array([1.0, 1.0 if distribution == "bernoulli" else 3.0])
        known = {"k": x, "z": x, "loc": 0.0, "scale": 1.0}
    elif method == "ppf":
        known = {"q": np.array([0.2, 0.7]), "loc": 0.4, "scale": 2.0}
        x = known["q"]
    else:
        loc, scale = (0.0, 1.0) if distribution == "pareto" else (0.4, 3.0)
        known = {"z": (x - loc) / scale, "loc": loc, "scale": scale}
    theirs = getattr(getattr(scipy.stats, distribution), method)
    where = {k: known[k] for k in ("loc", "scale") if "k" not in known}
    found = value_of(distributions.formula(name), **SHAPES, **known)
    np.testing.assert_allclose(found, theirs(x, *shapes, **where), rtol=1e-12)


def test_formulas_of_vectors():
    x, m, c = V, V[::-1], np.eye(3) + 0.2
    found = value_of(distributions.formula("multivariate_normal.logpdf"), x=x, mean=m, cov=c)
    np.testing.assert_allclose(found, scipy.stats.multivariate_normal.logpdf(x, m, c), rtol=1e-12)
    x = V / V.sum()
    found = value_of(distributions.formula("dirichlet.logpdf"), x=x, alpha=1 + V)
    np.testing.assert_allclose(found, scipy.stats.dirichlet.logpdf(x, 1 + V), rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: scipy.stats.norm.logpdf(1.0, loc=x), "scipy.stats.norm.logpdf"),
        (lambda x: scipy.stats.norm(0, 1).logpdf(x), "where z = (x - loc) / scale"),
        (lambda x: scipy.stats.norm.logcdf(x), "Write gpuad.scipy.special.log_ndtr(z), where z = "),
        (lambda x: scipy.stats.poisson.pmf(3, x), "Write np.exp(gpuad.scipy.special.xlogy(k, mu)"),
        (lambda x: scipy.stats.gengamma.pdf(x, 1, 2), "gpuad has no scipy.stats.gengamma.pdf"),
        (lambda x: scipy.stats.dirichlet(x).logpdf(x), "gpuad has no scipy.stats.dirichlet"),
    ],
)
def test_distributions_of_traced_arrays_say_their_formula(f, words):
    for transform in (ad.jit, lambda f: ad.grad(lambda x: f(x).sum())):
        with pytest.raises(ConversionError) as info:
            transform(f)(V)
        assert words in str(info.value)


def test_scipys_classes_of_distributions_say_their_formula():
    normal = scipy.stats.Normal
    with pytest.raises(ConversionError, match=r"z\*\*2.*where z = .*, loc = mu, scale = sigma"):
        ad.jit(lambda x: normal(mu=0.0, sigma=1.0).logpdf(x))(V)
    with pytest.raises(ConversionError, match=r"where this is its logpdf"):
        ad.jit(lambda x: normal(mu=x, sigma=1.0).logpdf(V))(V)
