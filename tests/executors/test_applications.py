"""Functions that people differentiate (`benchmarks.applications`): values and derivatives beside
those of others and those written by hand, and the same in JAX."""

import dataclasses
import importlib
from functools import partial

import jax
import numpy as np
import pytest
import scipy.special

import gpuad as ad
import gpuad.numpy as gnp
from benchmarks import applications, derivatives, namespaces, oracle
from benchmarks.applications import (
    acoustic_waves,
    gaussian_process,
    kalman_filter,
    line_shapes,
    mixed_logit,
    propagation,
    ptychography,
    structural_similarity,
)
from gpuad.testing import check_grads

jax.config.update("jax_enable_x64", True)

_draw = np.random.default_rng(31)


def real(*shape):
    return _draw.normal(size=shape)


def complex_(*shape):
    return real(*shape) + 1j * real(*shape)


def assert_gradient_and_product(loss, point, move, gradient, tolerance=1e-5):
    """By a gradient written by hand: gpuad's with and without jit, and the HVP by differences."""
    found = ad.grad(loss)(point), ad.jit(ad.grad(loss))(point)
    expected = gradient(point)
    scale, step = np.abs(expected).max(), 1e-6
    for one in found:
        np.testing.assert_allclose(one, expected, rtol=0, atol=1e-10 * scale)
    slope = (gradient(point + step * move) - gradient(point - step * move)) / (2 * step)
    (product,) = ad.hvp(loss, (point,), (move,))
    np.testing.assert_allclose(product, slope, rtol=0, atol=tolerance * np.abs(slope).max())


SMALL = {
    "gaussian process": partial(gaussian_process.make, n=6, d=2),
    "Kalman filter": partial(kalman_filter.make, series=2, steps=3),
    "ptychography": partial(ptychography.make, size=4, across=2, spacing=2),
    "angular spectrum": partial(propagation.make_holography, n=6),
    "matrix Fourier transform": partial(propagation.make_focus, pupil=8, points=6),
    "Voigt lines": partial(line_shapes.make, lines=line_shapes.VOIGT, spectra=2, channels=9),
    "Doniach-Šunjić lines": partial(
        line_shapes.make, lines=line_shapes.DONIACH_SUNJIC, spectra=2, channels=9
    ),
    "mixed logit": partial(mixed_logit.make, markets=2, products=3, consumers=5),
    "structural similarity": partial(structural_similarity.make, height=12, width=14),
    "acoustic waves": partial(acoustic_waves.make, n=36, steps=6),
}


@pytest.mark.parametrize("name", applications.ALL)
def test_it_is_the_same_in_jax(name):
    small = dataclasses.replace(applications.ALL[name], make=SMALL[name], dtype="float64")
    value, gradient, product = small.cases()
    args, tangents = product.data
    assert value.data[1] == gradient.data[1] == ()
    ours = derivatives.gradient(ad, partial(small.objective, GPUAD), gradient, args)
    f = partial(small.objective, JAX)
    theirs = jax.jit(lambda *a: (f(*a), derivatives.gradient(jax, f, gradient, a)))(*args)
    assert oracle.relative_error([small.objective(GPUAD, *args)], [np.asarray(theirs[0])]) < 1e-11
    assert oracle.relative_error(ours, [np.asarray(g) for g in theirs[1]]) < 1e-8
    assert [t.shape for t in tangents] == [args[i].shape for i in small.active]


GPUAD, JAX = namespaces.gpuad_namespace(), namespaces.jax_namespace()


def test_the_marginal_likelihood_of_a_gaussian_process():
    gp = pytest.importorskip("sklearn.gaussian_process")
    kernels = importlib.import_module("sklearn.gaussian_process.kernels")
    x, y = real(12, 2), real(12)
    kernel = kernels.ConstantKernel(1.3) * kernels.RBF(0.8) + kernels.WhiteKernel(0.2)
    model = gp.GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-15).fit(x, y)
    theta = model.kernel_.theta
    expected = model.log_marginal_likelihood(theta, eval_gradient=True)

    def likelihood(theta):
        return gaussian_process.log_likelihood(np, ad.scipy, theta, x, y)

    value, gradient = ad.value_and_grad(likelihood)(theta)
    np.testing.assert_allclose(value, expected[0], rtol=1e-10)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-8)
    check_grads(likelihood, (theta,), order=2)


def test_the_likelihood_of_a_kalman_filter():
    """By the filter it is that of one large normal distribution."""
    steps = 5
    y, p = real(steps), np.array([0.4, -1.0, -0.5])

    def at_once(p):
        F, W, v = kalman_filter.matrices(np, p)
        seen, covariances, P = kalman_filter.SEEN, [], np.eye(2)
        for _ in range(steps):
            covariances.append(P)
            P = F @ P @ F.T + W
        rows = []
        for s in range(steps):
            row = []
            for t in range(steps):
                low, high = min(s, t), max(s, t)
                moved = np.linalg.matrix_power(F, high - low) @ covariances[low]
                row.append(seen @ moved @ seen)
            rows.append(np.stack(row))
        K = np.stack(rows) + v * np.eye(steps)
        _, logdet = np.linalg.slogdet(K)
        return -0.5 * (y @ np.linalg.solve(K, y) + logdet + steps * np.log(2 * np.pi))

    def by_filter(p):
        return kalman_filter.log_likelihood(np, p, y)

    for f in (lambda f: f(p), lambda f: ad.grad(f)(p), lambda f: ad.hessian(f)(p)):
        np.testing.assert_allclose(f(by_filter), f(at_once), rtol=1e-8)


def test_ptychography():
    (probe, thing, corners, counts), _ = ptychography.make(_draw, size=6, across=2, spacing=3)
    background = ptychography.BACKGROUND

    def loss(probe, thing):
        return ptychography.loss(np, probe, thing, corners, counts)

    def adjoint(probe, thing):
        """The gradient by hand; gpuad's is its conjugate."""
        patches = ptychography.patches(thing, corners, 6)
        waves = np.fft.fft2(probe * patches)
        intensity = np.abs(waves) ** 2 + background
        back = 6**2 * np.fft.ifft2(2 * (1 - counts / intensity) * waves)
        of_thing = np.zeros_like(thing)
        for k, (i, j) in enumerate(corners.T):
            of_thing[i : i + 6, j : j + 6] += probe.conj() * back[k]
        return np.sum(patches.conj() * back, axis=0), of_thing

    point, move = (probe, thing), (complex_(*probe.shape), complex_(*thing.shape))
    for found, expected in zip(ad.grad(loss, (0, 1))(*point), adjoint(*point), strict=True):
        np.testing.assert_allclose(found, expected.conj(), rtol=1e-9, atol=1e-9)
    step = 1e-6
    high, low = [
        adjoint(*[x + sign * step * t for x, t in zip(point, move, strict=True)])
        for sign in (1, -1)
    ]
    for found, a, b in zip(ad.hvp(loss, point, move), high, low, strict=True):
        np.testing.assert_allclose(found, ((a - b) / (2 * step)).conj(), rtol=1e-5, atol=1e-5)
    compiled = ad.jit(ad.grad(loss, (0, 1)))(*point)
    for found, expected in zip(compiled, adjoint(*point), strict=True):
        np.testing.assert_allclose(found, expected.conj(), rtol=1e-9, atol=1e-9)


def test_propagation_by_angular_spectrum():
    n = 16
    factor = propagation.spectral_factor(n, 0.25, 0.6, 3.0)
    intensity = np.abs(complex_(n, n)) ** 2

    def gradient(u):
        v = np.fft.ifft2(factor * np.fft.fft2(u))
        residual = 2 * (np.abs(v) ** 2 - intensity) * v
        return np.fft.ifft2(factor.conj() * np.fft.fft2(residual)).conj()

    loss = partial(propagation.holography_loss, np, factor=factor, intensity=intensity)
    assert_gradient_and_product(loss, complex_(n, n), complex_(n, n), gradient)


def test_distance_of_propagation():
    """The factor itself is traced."""
    field = complex_(8, 8)

    def loss(distance):
        u = np.fft.ifft2(propagation.spectral_factor(8, 0.5, 0.6, distance) * np.fft.fft2(field))
        return np.sum(np.abs(u) ** 4)

    check_grads(loss, (np.float64(1.3),), order=2)


def test_propagation_to_a_focus_by_matrices():
    whole = propagation.focal_factor(8, 8, 8.0)
    np.testing.assert_allclose(whole @ whole.conj().T, np.eye(8), atol=1e-14)  # loses no light
    (phase, aperture, factor, intensity), (move,) = propagation.make_focus(_draw, 12, 10)
    assert factor.shape == (10, 12)

    def gradient(phase):
        field = aperture * np.exp(1j * phase)
        there = factor @ field @ factor.T
        back = factor.T @ ((np.abs(there) ** 2 - intensity) * there.conj()) @ factor
        return 2 * (1j * field * back).real

    def loss(phase):
        return propagation.focus_loss(np, phase, aperture, factor, intensity)

    assert_gradient_and_product(loss, phase, move, gradient)
    flat = aperture.astype(complex)
    places = (np.arange(12) - 5.5) / 12
    corner = np.exp(-2j * np.pi * (0.5 * 16 / 10 - 8) * (places[:, None] + places))
    direct = 16 / (12 * 10) * np.sum(corner * flat)
    np.testing.assert_allclose((factor @ flat @ factor.T)[0, 0], direct, rtol=1e-12)


def voigt_slopes(p, x):
    """The derivatives of one line by area, centre, σ and γ, by w' = 2i/√π - 2 z w."""
    area, centre, sigma, gamma = p
    z = (x - centre + 1j * gamma) / (sigma * np.sqrt(2))
    w = scipy.special.wofz(z)
    slope = 2j / np.sqrt(np.pi) - 2 * z * w
    unit, by_x = w / (sigma * np.sqrt(2 * np.pi)), slope / (2 * np.sqrt(np.pi) * sigma**2)
    by_sigma = -unit / sigma - z * slope / (sigma**2 * np.sqrt(2 * np.pi))
    return np.stack([unit, -area * by_x, area * by_sigma, 1j * area * by_x]).real


def doniach_sunjic_slopes(p, x):
    height, centre, gamma, alpha = p
    e, power = (x - centre) / gamma, 1 - alpha
    phase = np.pi / 2 * alpha + power * np.arctan(e)
    falling = (1 + e**2) ** (-power / 2)
    unit = np.cos(phase) * falling
    by_e = -height * power * falling / (1 + e**2) * (np.sin(phase) + e * np.cos(phase))
    by_alpha = unit * np.log1p(e**2) / 2 - np.sin(phase) * falling * (np.pi / 2 - np.arctan(e))
    return np.stack([unit, -by_e / gamma, -by_e * e / gamma, height * by_alpha])


LINES = {
    "Voigt": (partial(line_shapes.voigt_lines, np, ad.scipy), line_shapes.VOIGT, voigt_slopes),
    "Doniach-Šunjić": (
        partial(line_shapes.doniach_sunjic_lines, np),
        line_shapes.DONIACH_SUNJIC,
        doniach_sunjic_slopes,
    ),
}


@pytest.mark.parametrize("shape", LINES)
def test_a_fit_of_a_spectrum(shape):
    """The Jacobian by hand, and Gauss-Newton steps; JᵀJ is the Hessian of a perfect fit."""
    lines, truth, slopes = LINES[shape]
    x = np.linspace(-5, 5, 41)
    seen = lines(truth, x)
    by_hand = np.concatenate([slopes(p, x) for p in truth])
    jacobian = ad.jacfwd(lambda p: lines(p.reshape(2, 4), x))
    np.testing.assert_allclose(jacobian(truth.ravel()).T, by_hand, rtol=1e-9, atol=1e-12)

    def loss(p):
        return 0.5 * np.sum((lines(p.reshape(2, 4), x) - seen) ** 2)

    hessian = ad.hessian(loss)(truth.ravel())
    np.testing.assert_allclose(hessian, by_hand @ by_hand.T, rtol=1e-9, atol=1e-10)
    p = 1.05 * truth.ravel()
    check_grads(loss, (p,), order=2)
    for _ in range(6):
        p = p + np.linalg.lstsq(jacobian(p), seen - lines(p.reshape(2, 4), x))[0]
    np.testing.assert_allclose(p, truth.ravel(), rtol=1e-10)


def test_lines_without_their_extras_are_simple():
    x = np.linspace(-3, 3, 13)
    lorentz = line_shapes.doniach_sunjic_lines(np, np.array([[2.0, 0.5, 0.7, 0.0]]), x)
    np.testing.assert_allclose(lorentz, 2 / (1 + ((x - 0.5) / 0.7) ** 2), rtol=1e-13)
    p = np.array([[2.0, 0.5, 0.7, 0.2]])
    e = x - 0.5
    above = np.cos(np.pi * 0.1 + 0.8 * np.arctan(e / 0.7)) / (e**2 + 0.7**2) ** 0.4
    np.testing.assert_allclose(
        line_shapes.doniach_sunjic_lines(np, p, x), 2 * 0.7**0.8 * above, rtol=1e-13
    )


def test_the_shares_of_a_mixed_logit():
    (sigma, beta, delta, seen, x, draws, z), moves = mixed_logit.make(_draw, 3, 4, 30)
    np.testing.assert_allclose(mixed_logit.shares(np, delta, sigma, x, draws), seen, rtol=1e-9)

    def by_contraction(sigma):
        return mixed_logit.contraction(np, sigma, seen, x, draws, 40)

    def by_newton(sigma, delta=delta):
        for _ in range(2):
            delta = mixed_logit.newton_step(np, ad.scipy, delta, sigma, seen, x, draws)
        return delta

    by_sigma = ad.jacfwd(lambda s: mixed_logit.shares(np, delta, s, x, draws))(sigma)
    by_delta = ad.jacfwd(lambda d: mixed_logit.shares(np, d, sigma, x, draws))(delta)
    blocks = np.stack([by_delta[t, :, t] for t in range(3)])  # a market is of its own
    implicit = -np.linalg.solve(blocks, by_sigma)
    step = 1e-5 * np.eye(2)
    apart = [by_contraction(sigma + s) - by_contraction(sigma - s) for s in step]
    np.testing.assert_allclose(np.stack(apart, axis=-1) / 2e-5, implicit, rtol=1e-6, atol=1e-8)
    for f in (by_contraction, by_newton):
        np.testing.assert_allclose(ad.jacfwd(f)(sigma), implicit, rtol=1e-8, atol=1e-10)

    def moments(sigma, beta):
        found = by_contraction(sigma) - x @ beta
        return 0.5 * np.sum((found.reshape(-1) @ z) ** 2)

    def objective(sigma, beta):
        return mixed_logit.objective(np, ad.scipy, sigma, beta, delta, seen, x, draws, z)

    np.testing.assert_allclose(objective(sigma, beta), moments(sigma, beta), rtol=1e-10)
    ours, through = (ad.hvp(f, (sigma, beta), tuple(moves)) for f in (objective, moments))
    for a, b in zip(ours, through, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-12)


def test_structural_similarity():
    x, y = _draw.uniform(size=(2, 12, 14))
    similarity = partial(structural_similarity.similarity, ad.scipy)
    check_grads(lambda x: similarity(x, y), (x,), order=2)
    assert abs(similarity(x, x) - 1) < 1e-14
    gradient = ad.grad(similarity)(x, x)
    assert np.abs(gradient).max() < 1e-13, "identical images are as similar as can be"
    np.testing.assert_allclose(
        ad.jit(ad.grad(similarity))(x, y), ad.grad(similarity)(x, y), rtol=1e-10, atol=1e-14
    )


def test_acoustic_waves():
    (velocity, *others, seen), (direction,) = acoustic_waves.make(_draw, n=40, steps=100)

    def seismogram(v):
        return acoustic_waves.seismogram(gnp, ad.scipy, v, *others)

    def misfit(v):
        return acoustic_waves.misfit(gnp, ad.scipy, v, *others, seen)

    found, moved = ad.jvp(seismogram, (velocity,), (direction,))
    weights = found - seen
    gradient = ad.vjp(seismogram, velocity)[1](weights)[0]
    slope = (gradient * direction).sum()
    assert np.isclose((moved * weights).sum(), slope, rtol=1e-10)
    after, later = ad.value_and_grad(misfit)(velocity + 1e-7 * direction)
    assert np.isclose(slope, (after - misfit(velocity)) / 1e-7, rtol=1e-4)
    curved = ad.hvp(misfit, (velocity,), (direction,))[0]
    scale = np.abs(curved).max()
    np.testing.assert_allclose(curved, (later - gradient) / 1e-7, rtol=0, atol=1e-4 * scale)
