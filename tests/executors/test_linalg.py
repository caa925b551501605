"""Functions of linear algebra: values, derivatives, batches, singular matrices, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.primitives.linalg import arrays
from gpuad.testing import check_grads

jax.config.update("jax_enable_x64", True)

_draw = np.random.default_rng(7)


def _real(*shape):
    return _draw.normal(size=shape)


def _complex(*shape):
    return _draw.normal(size=shape) + 1j * _draw.normal(size=shape)


A = _real(3, 3) + 3 * np.eye(3)
B, TALL, WIDE, Q = _real(3, 2), _real(4, 3), _real(2, 4), _real(3, 3)
S = A @ A.T
Z = _complex(3, 3) + 3 * np.eye(3)
H = Z @ Z.conj().T
BATCH = _real(2, 1, 3, 3) + 3 * np.eye(3)


def definite(xp, a):
    """A function of a matrix as one of its Hermitian part: for comparison, off these too."""
    return (a + xp.swapaxes(a, -1, -2).conj()) / 2


# name: (function of a namespace and an array, its argument); real results
FUNCTIONS = {
    "solve": (lambda xp, a: xp.linalg.solve(a, B), A),
    "solve of a vector": (lambda xp, a: xp.linalg.solve(a, B[:, 0]), A),
    "solve by right side": (lambda xp, b: xp.linalg.solve(A, b), B),
    "solve, one matrix": (lambda xp, b: xp.linalg.solve(A, b), _real(2, 2, 3, 1)),
    "solve, one side": (lambda xp, a: xp.linalg.solve(a, B), BATCH),
    "solve, broadcast": (lambda xp, a: xp.linalg.solve(a, _RIGHT), BATCH),
    "solve, complex": (lambda xp, a: xp.linalg.solve(a, B), Z),
    "inv": (lambda xp, a: xp.linalg.inv(a), BATCH),
    "inv, complex": (lambda xp, a: xp.linalg.inv(a), Z),
    "det": (lambda xp, a: xp.linalg.det(a), BATCH),
    "det, complex": (lambda xp, a: xp.linalg.det(a), Z),
    "slogdet": (lambda xp, a: xp.linalg.slogdet(a)[1], BATCH),
    "slogdet, complex": (lambda xp, a: xp.linalg.slogdet(a)[0] * xp.linalg.slogdet(a)[1], Z),
    "cholesky": (lambda xp, a: xp.linalg.cholesky(definite(xp, a)), S),
    "cholesky, upper": (lambda xp, a: xp.linalg.cholesky(definite(xp, a), upper=True), S),
    "cholesky, complex": (lambda xp, a: xp.linalg.cholesky(definite(xp, a)), H),
    "qr": (lambda xp, a: xp.linalg.qr(a)[0] @ xp.linalg.qr(a).R ** 2, TALL),
    "qr, wide": (lambda xp, a: xp.linalg.qr(a).Q @ xp.linalg.qr(a)[1] ** 2, WIDE),
    "qr, R": (lambda xp, a: xp.linalg.qr(a, mode="r"), TALL),
    "eigh": (lambda xp, a: xp.linalg.eigh(definite(xp, a))[1] ** 2, S),
    "eigh, U": (lambda xp, a: xp.linalg.eigh(definite(xp, a), "U").eigenvalues, S),
    "eigh, complex": (lambda xp, a: abs(xp.linalg.eigh(definite(xp, a))[1]) ** 2, H),
    "eigvalsh": (lambda xp, a: xp.linalg.eigvalsh(definite(xp, a)), np.stack([S, S + 1])),
    "eigvals": (lambda xp, a: abs(xp.linalg.eigvals(a)) ** 2, A),
    "svd": (lambda xp, a: xp.linalg.svd(a, full_matrices=False)[0] ** 2, TALL),
    "svd, wide": (lambda xp, a: xp.linalg.svd(a, full_matrices=False).Vh ** 2, WIDE),
    "svd, square": (lambda xp, a: xp.linalg.svd(a)[0] ** 2, A),
    "svd, complex": (lambda xp, a: abs(xp.linalg.svd(a)[2]) ** 2, Z),
    "svd, values": (lambda xp, a: xp.linalg.svd(a, compute_uv=False), TALL),
    "svdvals": (lambda xp, a: xp.linalg.svdvals(a), BATCH),
    "pinv": (lambda xp, a: xp.linalg.pinv(a), TALL),
    "lstsq": (lambda xp, a: xp.linalg.lstsq(a, _SIDES)[0], TALL),
    "lstsq, residuals": (lambda xp, a: xp.linalg.lstsq(a, _SIDES)[1], TALL),
    "norm, nuc": (lambda xp, a: xp.linalg.norm(a, "nuc"), TALL),
    "norm, 2": (lambda xp, a: xp.linalg.norm(a, 2, axis=(-2, -1)), BATCH),
    "norm, -2": (lambda xp, a: xp.linalg.matrix_norm(a, ord=-2), TALL),
    "cond": (lambda xp, a: xp.linalg.cond(a), TALL),
    "cond, 1": (lambda xp, a: xp.linalg.cond(a, 1), A),
    "cond, -2": (lambda xp, a: xp.linalg.cond(a, -2), A),
    "matrix_power": (lambda xp, a: xp.linalg.matrix_power(a, -3), A),
    "tensorsolve": (lambda xp, a: xp.linalg.tensorsolve(a.reshape(3, 1, 3), B[:, :1]), A),
    "tensorinv": (lambda xp, a: xp.linalg.tensorinv(a.reshape(3, 1, 3), 1), A),
}  # fmt: skip
_RIGHT, _SIDES = _real(3, 3, 2), _real(4, 2)

each_function = pytest.mark.parametrize("name", FUNCTIONS)


def scalar(function, xp):
    """A weighted sum of the elements of the result, real."""

    def f(a):
        out = function(xp, a)
        weights = np.cos(np.arange(out.size)).reshape(out.shape)
        return ((out * weights).sum() + (out**2).sum()).real

    return f


@each_function
def test_gradients_are_right(name):
    function, x = FUNCTIONS[name]
    traced = ad.jvp(lambda a: function(np, a), (x,), (x,))[0]
    np.testing.assert_allclose(traced, function(np, x), rtol=1e-12, atol=1e-13)
    check_grads(scalar(function, np), (x,), order=2)


@pytest.mark.parametrize(
    "name", ["solve, one side", "cholesky, complex", "eigh, complex", "svd, complex"]
)
def test_gradients_and_hvps_are_those_of_jax(name):
    """All of the functions were compared; JAX takes 3 seconds to compile each."""
    function, x = FUNCTIONS[name]
    v = _complex(*x.shape) if x.dtype.kind == "c" else _real(*x.shape)
    ours, theirs = scalar(function, np), scalar(function, jnp)
    found = ad.jvp(ad.grad(ours), (x,), (v,))
    for f, e in zip(found, jax.jvp(jax.grad(theirs), (x,), (v,)), strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-9, atol=1e-10 * abs(np.asarray(e)).max())


@each_function
def test_jit_and_vmap_agree(name):
    function, x = FUNCTIONS[name]
    gradient = ad.grad(scalar(function, np))
    expected = gradient(x)
    tolerance = 1e-11 * abs(expected).max()
    np.testing.assert_allclose(ad.jit(gradient)(x), expected, rtol=1e-11, atol=tolerance)
    found = ad.vmap(gradient)(np.stack([x, x * 1.01]))
    np.testing.assert_allclose(found[0], expected, rtol=1e-11, atol=tolerance)
    np.testing.assert_allclose(found[1], gradient(x * 1.01), rtol=1e-10, atol=10 * tolerance)


@each_function
def test_values_keep_the_dtype(name):
    function, x = FUNCTIONS[name]
    single = x.astype(np.complex64 if x.dtype.kind == "c" else np.float32)
    traced = ad.jvp(lambda a: function(np, a), (single,), (single,))[0]
    plain = function(np, single)
    assert traced.shape == plain.shape
    assert traced.dtype.itemsize in (plain.dtype.itemsize, 2 * plain.dtype.itemsize)
    scale = abs(plain).max()
    np.testing.assert_allclose(traced, plain, rtol=1e-3, atol=1e-4 * scale)


# SciPy's


SCIPY = {
    "solve": (lambda la, a: la.solve(a, B), A),
    "solve, transposed": (lambda la, a: la.solve(a, B, transposed=True), A),
    "solve, pos": (lambda la, a: la.solve((a + a.T) / 2, B, assume_a="pos"), S),
    "solve, sym": (lambda la, a: la.solve((a + a.T) / 2, B, assume_a="sym", lower=True), S),
    "solve, her": (lambda la, a: la.solve((a + a.T.conj()) / 2, B, assume_a="her"), H),
    "solve, upper": (lambda la, a: la.solve(a, B, assume_a="upper triangular"), A),
    "solve, lower": (lambda la, a: la.solve(a, B, assume_a="lower triangular"), A),
    "solve, diagonal": (lambda la, a: la.solve(a, B, assume_a="diagonal"), A),
    "solve_triangular": (lambda la, a: la.solve_triangular(a, B), A),
    "solve_triangular, lower": (lambda la, a: la.solve_triangular(a, B[:, 0], lower=True), A),
    "solve_triangular, T": (lambda la, a: la.solve_triangular(a, B, "T", unit_diagonal=True), A),
    "solve_triangular, C": (lambda la, a: la.solve_triangular(a, B, 2, lower=True), Z),
    "cholesky": (lambda la, a: la.cholesky((a + a.T) / 2), S),
    "cho_solve": (lambda la, a: la.cho_solve(la.cho_factor((a + a.T) / 2), B), S),
    "cho_solve, lower": (lambda la, a: la.cho_solve(la.cho_factor(_her(a), True), B[:, 0]), H),
    "cho_solve, upper": (lambda la, a: la.cho_solve(la.cho_factor(_her(a)), B), H),
    "lu": (lambda la, a: la.lu(a)[1] + la.lu(a)[2], A),
    "lu, P": (lambda la, a: la.lu(a)[0] @ la.lu(a)[1], TALL),
    "lu, permuted": (lambda la, a: la.lu(a, permute_l=True)[0], TALL),
    "lu, indices": (lambda la, a: la.lu(a, p_indices=True)[1][la.lu(a, p_indices=True)[0]], A),
    "lu_factor": (lambda la, a: la.lu_factor(a)[0], A),
    "lu_solve": (lambda la, a: la.lu_solve(la.lu_factor(a), B), A),
    "lu_solve, T": (lambda la, a: la.lu_solve(la.lu_factor(a), B[:, 0], 1), A),
    "lu_solve, C": (lambda la, a: la.lu_solve(la.lu_factor(a), B, trans=2), Z),
    "inv": (lambda la, a: la.inv(a), A),
    "det": (lambda la, a: la.det(a), A),
    "pinv": (lambda la, a: la.pinv(a), TALL),
    "pinv, rank": (lambda la, a: la.pinv(a, return_rank=True)[0] * 3, TALL),
    "lstsq": (lambda la, a: la.lstsq(a, _SIDES)[0], TALL),
    "qr": (lambda la, a: la.qr(a, mode="economic")[1] ** 2, TALL),
    "qr, r": (lambda la, a: la.qr(a, mode="r")[0], A),
    "eigh": (lambda la, a: la.eigh((a + a.T) / 2)[1] ** 2, S),
    "eigh, b": (lambda la, a: la.eigh((a + a.T) / 2, S / 9 + np.eye(3))[1] ** 2, S / 9),
    "eigh, some": (lambda la, a: la.eigh(_her(a), subset_by_index=[1, 2])[1] ** 2, S),
    "eigvalsh, b": (lambda la, a: la.eigvalsh(_her(a), S + np.eye(3), lower=False), S),
    "eigvals": (lambda la, a: abs(la.eigvals(a)) ** 2, A),
    "eig": (lambda la, a: abs(la.eig(a)[1]) ** 2, A),
    "eig, b": (lambda la, a: abs(la.eig(a, S)[0]) ** 2, A),
    "svd": (lambda la, a: la.svd(a, full_matrices=False)[0] ** 2, TALL),
    "svdvals": (lambda la, a: la.svdvals(a), TALL),
    "norm": (lambda la, a: la.norm(a, "nuc"), TALL),
    "expm": (lambda la, a: la.expm(a), A / 3),
    "expm_frechet": (lambda la, a: la.expm_frechet(a, Q)[1], A / 3),
    "sqrtm": (lambda la, a: la.sqrtm(a), S),
    "solve_sylvester": (lambda la, a: la.solve_sylvester(a, A, Q), S),
    "lyapunov": (lambda la, a: la.solve_continuous_lyapunov(a, Q), A),
    "block_diag": (lambda la, a: la.block_diag(a, [[1.0, 2.0]], a[0]), A),
    "toeplitz": (lambda la, a: la.toeplitz(a[0], a[1, :2]), A),
    "toeplitz, symmetric": (lambda la, a: la.toeplitz(a[0]), A),
    "hankel": (lambda la, a: la.hankel(a[0], a[1, :2]), A),
    "hankel, one": (lambda la, a: la.hankel(a[0]), A),
    "circulant": (lambda la, a: la.circulant(a[0]), A),
}  # fmt: skip


def _her(a):
    return (a + a.T.conj()) / 2


@pytest.mark.parametrize("name", SCIPY)
def test_of_scipy(name):
    function, x = SCIPY[name]
    value = function(scipy.linalg, x)
    found = ad.jvp(lambda a: function(ad.scipy.linalg, a), (x,), (x,))[0]
    np.testing.assert_allclose(found, value, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(function(ad.scipy.linalg, x), value)
    f = scalar(lambda la, a: function(la, a), ad.scipy.linalg)
    check_grads(f, (x,), order=2)
    np.testing.assert_allclose(ad.jit(ad.grad(f))(x), ad.grad(f)(x), rtol=1e-9, atol=1e-10)


def test_every_name_of_scipy_is_tried():
    tried = " ".join(SCIPY)
    names = [n for n in ad.scipy.linalg.__all__ if n != "cho_factor"]
    assert not [n for n in names if n.removeprefix("solve_continuous_") not in tried]


def test_scipys_own_functions_name_ours():
    calls = {
        "cho_factor": lambda a: scipy.linalg.cho_factor(a)[0],
        "cho_solve": lambda a: scipy.linalg.cho_solve((a, True), np.ones(3)),
        "expm": scipy.linalg.expm,
        "solve_triangular": lambda a: scipy.linalg.solve_triangular(a, np.ones(3)),
        "lu_factor": lambda a: scipy.linalg.lu_factor(a)[0],
    }
    for name, f in calls.items():
        with pytest.raises(
            ad.errors.ConversionError, match=rf"Write gpuad\.scipy\.linalg\.{name}\."
        ):
            ad.grad(lambda a, f=f: f(a).sum())(S)


# Singular, indefinite, empty, NaN-bearing and strided matrices


def test_singular_matrices_raise_as_in_numpy():
    for f in (np.linalg.solve, lambda a, b: np.linalg.inv(a) @ b):
        with pytest.raises(np.linalg.LinAlgError, match=r"[Ss]ingular"):
            ad.grad(lambda a, f=f: f(a, np.ones(2)).sum())(np.ones((2, 2)))
    for transform in (ad.grad, lambda f: ad.jit(ad.grad(f))):
        with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
            transform(lambda a: np.linalg.cholesky(a).sum())(-np.eye(2))
    with pytest.raises(np.linalg.LinAlgError, match="diagonal"):
        ad.grad(lambda a: ad.scipy.linalg.solve_triangular(a, np.ones(2)).sum())(np.eye(2)[::-1])


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_determinants_of_singular_matrices_have_derivatives(rank):
    a = _real(3, rank) @ _real(rank, 3)
    check_grads(np.linalg.det, (a,), order=3)
    minors = [[np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) * (-1) ** (i + j)
               for j in range(3)] for i in range(3)]  # fmt: skip
    np.testing.assert_allclose(ad.grad(np.linalg.det)(a), minors, atol=1e-14)


def test_determinants_of_one_row_are_linear():
    """x log|x| at x, twice in the direction x: 1, whatever x is."""

    def second(a):
        f = ad.grad(lambda a: np.sum(np.linalg.det(a) * np.linalg.slogdet(a)[1]))
        return np.sum(ad.jvp(f, (a,), (a,))[1])

    a = np.linspace(-0.05, 0.05, 300)[:, None, None]
    np.testing.assert_allclose(ad.grad(second)(a), 0, atol=1e-9)


@pytest.mark.parametrize("shape", [(5, 9, 9), (3, 2, 2, 9, 9), (0, 9, 9), (2, 0, 9, 9)])
@pytest.mark.parametrize("size", [1, 2 * 9 * 9 * 8, 1 << 20])
def test_determinants_of_a_batch_are_those_of_each_matrix(monkeypatch, shape, size):
    """However many are taken at a time."""
    monkeypatch.setattr(arrays, "BATCH_BYTES", size)
    a, t = _real(*shape), _real(*shape)
    a[..., 0] = np.where(np.arange(shape[-3])[:, None] % 2, a[..., 1], a[..., 0])  # singular ones

    def both(a, t):
        f = ad.grad(lambda a: np.sum(np.linalg.det(a) ** 2 + np.linalg.det(a)))
        return ad.jvp(f, (a,), (t,))

    expected = [np.zeros(shape), np.zeros(shape)]
    for i in np.ndindex(shape[:-2]):
        for whole, one in zip(expected, both(a[i], t[i]), strict=True):
            whole[i] = one
    for found, one in zip(both(a, t), expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-9, atol=1e-9 * abs(one).max(initial=0))


@pytest.mark.parametrize("shape", [(7, 2, 2), (3, 2, 4, 2, 2), (0, 2, 2), (2, 0, 2, 2)])
@pytest.mark.parametrize("size", [1, 64, 100, 200, 400, 1 << 20])
def test_batches_have_each_matrix_once(monkeypatch, shape, size):
    monkeypatch.setattr(arrays, "BATCH_BYTES", size)
    count = np.zeros(shape[:-2], int)
    for i in arrays.batches(shape, 8):
        assert count[i].size * 32 <= max(size, 32)
        count[i] += 1
    assert (count == 1).all()


@pytest.mark.parametrize("name", ["lstsq", "pinv"])
def test_least_squares_is_as_accurate_as_a_solution(name):
    """Of a square matrix: no residual is left, however badly conditioned it is."""
    (u, _), (v, _) = np.linalg.qr(A), np.linalg.qr(Q)
    a, t = u @ np.diag([1.0, 1e-2, 1e-4]) @ v, _real(3, 3)
    functions = {
        "lstsq": lambda a: np.linalg.lstsq(a, B)[0],
        "pinv": lambda a: np.linalg.pinv(a) @ B,
        "solve": lambda a: np.linalg.solve(a, B),
    }

    def products(name):
        return ad.hvp(lambda a: np.sum(functions[name](a) * B), (a,), (t,))[0]

    expected = products("solve")
    atol = 1e-11 * abs(expected).max()
    np.testing.assert_allclose(products(name), expected, rtol=0, atol=atol)


def test_slogdet_of_a_singular_matrix():
    sign, value = ad.jvp(np.linalg.slogdet, (np.zeros((2, 2)),), (np.eye(2),))[0]
    assert sign == 0
    assert value == -np.inf
    assert not np.isfinite(ad.grad(lambda a: np.linalg.slogdet(a)[1])(np.ones((2, 2)))).all()


def test_degenerate_eigenvalues():
    a = np.diag([1.0, 1.0, 2.0])
    values = ad.grad(lambda a: (np.linalg.eigvalsh(a) ** 2).sum())
    np.testing.assert_allclose(values(a), 2 * a, atol=1e-14)
    through_eigh = ad.grad(lambda a: (np.linalg.eigh(a)[0] ** 2).sum())
    np.testing.assert_allclose(through_eigh(a), 2 * a, atol=1e-14)

    def rebuilt(a, **how):
        w, v = gnp.linalg.eigh(a, **how)
        return ((v * np.exp(w)) @ v.T * Q).sum()

    assert np.isnan(ad.grad(rebuilt)(a)).any()

    def projected(a):  # on the eigenspace of both, which does not depend on the choice of vectors
        v = gnp.linalg.eigh(a, degenerate="mask").eigenvectors[:, :2]
        return (v @ v.T * Q).sum()

    t = _real(3, 3)
    t = t + t.T
    moved = [np.linalg.eigh(a + step * t)[1][:, :2] for step in (1e-6, -1e-6)]
    along = np.subtract(*[(v @ v.T * Q).sum() for v in moved]) / 2e-6
    np.testing.assert_allclose((ad.grad(projected)(a) * t).sum(), along, rtol=1e-6)


def test_degenerate_singular_values():
    def f(a, **how):
        u, s, vh = gnp.linalg.svd(a, **how)
        return ((u * s) @ vh * Q).sum()

    assert not np.isfinite(ad.grad(f)(np.eye(3))).all()
    found = ad.grad(lambda a: f(a, degenerate="mask"))(np.eye(3))
    # That of the values alone: what turns equal vectors is left out, as conventions.md says.
    assert np.isfinite(found).all() and not np.allclose(found, Q)

    def projected(a):
        u = gnp.linalg.svd(a, degenerate="mask")[0][:, :2]
        return (u @ u.T * Q).sum()

    a, t = np.diag([2.0, 2.0, 1.0]), _real(3, 3)
    moved = [np.linalg.svd(a + step * t)[0][:, :2] for step in (1e-6, -1e-6)]
    along = np.subtract(*[(u @ u.T * Q).sum() for u in moved]) / 2e-6
    np.testing.assert_allclose((ad.grad(projected)(a) * t).sum(), along, rtol=1e-6)
    low_rank = _real(3, 1) @ _real(1, 3)
    gradient = ad.grad(lambda a: np.linalg.norm(a, "nuc"))(low_rank)
    u, _, vh = np.linalg.svd(low_rank)
    np.testing.assert_allclose(gradient, u[:, :1] @ vh[:1], atol=1e-12)


def test_empty_matrices():
    none = np.zeros((0, 0))
    for f in (np.linalg.inv, np.linalg.cholesky, lambda a: np.linalg.eigh(a)[0], np.linalg.svdvals,
              lambda a: np.linalg.solve(a, np.zeros((0, 2))), np.linalg.pinv):  # fmt: skip
        np.testing.assert_array_equal(ad.jvp(f, (none,), (none,))[0], f(none))
        assert ad.grad(lambda a, f=f: f(a).sum())(none).shape == (0, 0)
    assert ad.jvp(np.linalg.det, (none,), (none,)) == (1.0, 0.0)
    batch = np.zeros((0, 2, 2))
    for f in (np.linalg.inv, np.linalg.det, np.linalg.cholesky, np.linalg.svdvals,
              lambda a: np.linalg.solve(a, np.ones(2)[:, None])):  # fmt: skip
        assert ad.jvp(f, (batch,), (batch,))[0].shape == f(batch).shape
        assert ad.jit(ad.grad(lambda a, f=f: f(a).sum()))(batch).shape == batch.shape


def test_no_right_hand_sides():
    """A batch of none, for one matrix: its columns are what the batch is folded into."""
    none, side = np.zeros((0, 3, 2)), np.zeros((3, 0))
    for b in (none, side, np.zeros((2, 0, 3, 2))):
        for f in (
            lambda b: np.linalg.solve(A, b),
            lambda b: ad.scipy.linalg.cho_solve((S, True), b),
            lambda b: ad.scipy.linalg.solve_triangular(A, b),
        ):
            assert ad.jvp(f, (b,), (b,))[0].shape == b.shape
            assert ad.grad(lambda b, f=f: f(b).sum())(b).shape == b.shape
    assert ad.vmap(lambda b: np.linalg.solve(A, b))(none).shape == none.shape
    assert ad.jit(ad.vmap(lambda b: np.linalg.solve(A, b)))(none[..., 0]).shape == (0, 3)


def test_nan_goes_through():
    a = np.array([[np.nan, 1.0], [0.0, 2.0]])
    for f in (np.linalg.det, lambda a: np.linalg.solve(a, np.ones(2)).sum()):
        assert np.isnan(ad.value_and_grad(f)(a)[0])


def test_strided_and_integer_matrices():
    wide = _real(6, 6) + 6 * np.eye(6)
    view = wide[::2, ::-2]
    np.testing.assert_array_equal(ad.grad(np.linalg.det)(view), ad.grad(np.linalg.det)(view.copy()))
    whole = np.array([[2, 1], [1, 3]])
    found = ad.jvp(lambda b: np.linalg.solve(whole, b), (np.ones(2),), (np.ones(2),))[0]
    np.testing.assert_array_equal(found, np.linalg.solve(whole, np.ones(2)))
    assert ad.jit(np.linalg.inv)(whole).dtype == np.float64
    assert ad.jit(np.linalg.matrix_rank)(whole) == 2


def test_many_right_hand_sides_of_one_matrix_share_its_factors():
    f = ad.vmap(lambda b: np.linalg.solve(A, b))
    graph = str(ad.make_graph(f)(_real(5, 3)))
    assert graph.count("lu ") == 1 or graph.count("lu[") == 1
    np.testing.assert_allclose(f(_RIGHT[..., 0]), np.linalg.solve(A, _RIGHT[..., :1])[..., 0])


def test_compiled_programs_do_not_mirror_what_is_read_by_one_triangle():
    for f in (np.linalg.cholesky, np.linalg.eigvalsh, lambda a: np.linalg.eigh(a)[1],
              lambda a: ad.scipy.linalg.solve(a, Q, assume_a="pos")):  # fmt: skip
        jitted = ad.jit(f)
        np.testing.assert_allclose(jitted(np.asfortranarray(S)), f(S), rtol=1e-12)
        assert "hermitian" not in str(jitted.explain(S))


def test_what_is_refused_says_what_to_write():
    cases = [
        (lambda a: np.linalg.svd(a)[1], TALL, UnsupportedError, "full_matrices=False"),
        (lambda a: np.linalg.qr(a, mode="complete")[1], TALL, UnsupportedError, "mode='reduced'"),
        (np.linalg.inv, TALL, ArgumentError, "square"),
        (lambda a: np.linalg.solve(a, np.ones(4)), A, ArgumentError, r"\(4, 1\) do not match"),
        (lambda a: np.linalg.solve(a[0], a), A, ArgumentError, "two axes"),
        (lambda a: np.linalg.lstsq(a, a[None])[0], A, ArgumentError, "ad.vmap"),
        (lambda a: np.linalg.pinv(a, a[0, 0]), A, UnsupportedError, "rcond"),
        (lambda a: np.linalg.eigvalsh(a, "X"), A, ArgumentError, "'L' or 'U'"),
        (lambda a: gnp.linalg.eigh(a, degenerate="drop")[0], A, ArgumentError, "'mask'"),
        (np.linalg.inv, A.astype(np.float16), UnsupportedError, "float32"),
        (lambda a: ad.scipy.linalg.qr(a)[1], TALL, UnsupportedError, "mode='economic'"),
        (lambda a: ad.scipy.linalg.toeplitz(a), TALL, ArgumentError, "vector"),
        (lambda a: ad.scipy.linalg.solve(a, a, assume_a="x"), A, ArgumentError, "assume_a"),
        (lambda a: ad.scipy.linalg.sqrtm(a), -np.eye(2), ArgumentError, r"sqrtm\(a \+ 0j\)"),
    ]  # fmt: skip
    for f, x, error, words in cases:
        with pytest.raises(error, match=words):
            ad.grad(lambda a, f=f: f(a).sum())(x)


def test_a_matrix_is_factored_once():
    def f(a):
        return np.linalg.solve(a, B).sum() + np.linalg.slogdet(a)[1] + np.linalg.det(a)

    for g in (f, ad.grad(f), lambda a: ad.jvp(ad.grad(f), (a,), (a,))[1]):
        graph = ad.make_graph(g)(A).graph
        assert sum(e.primitive.name == "lu" for e in graph.equations) == 1
