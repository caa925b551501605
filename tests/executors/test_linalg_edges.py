"""Linear algebra of singular, indefinite, empty, non-square, NaN-bearing, non-contiguous and mixed
inputs: NumPy's and SciPy's own values, dtypes and errors, or an error that says what to write."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import gpuad as ad
import gpuad.scipy.linalg as sl
from executors.public_calls import leaves
from gpuad.compile import run_once
from gpuad.errors import GpuadError

_draw = np.random.default_rng(3)


def definite(*shape, dtype=float):
    a = _draw.normal(size=shape)
    a = a + 1j * _draw.normal(size=shape) if np.dtype(dtype).kind == "c" else a
    return (a @ np.swapaxes(a, -1, -2).conj() + np.eye(shape[-1])).astype(dtype)


def with_one(matrix, batch):
    """The batch with one matrix, or one element of one matrix, in the place of another."""
    batch = batch.copy()
    batch[5] = matrix
    return batch


S, BATCH = definite(3, 3), definite(40, 3, 3)
SINGULAR = np.array([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])
INDEFINITE = np.diag([1.0, -2, 3]) + 0.1
NAN, INF = S.copy(), S.copy()
NAN[1, 0] = np.nan
INF[1, 1] = np.inf

INPUTS: dict[str, np.ndarray] = {
    "single": definite(3, 3, dtype="f"),
    "complex": definite(3, 3, dtype="D"),
    "complex single": definite(3, 3, dtype="F"),
    "integers": np.array([[2, 1, 0], [1, 3, 1], [0, 1, 4]]),
    "singular": SINGULAR,
    "zero": np.zeros((3, 3)),
    "indefinite": INDEFINITE,
    "nan": NAN,
    "inf": INF,
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((3, 0)),
    "nothing": np.zeros((0, 0)),
    "no matrices": np.zeros((0, 3, 3)),
    "matrices of nothing": np.zeros((2, 0, 0)),
    "tall": _draw.normal(size=(4, 3)),
    "wide": _draw.normal(size=(3, 4)),
    "vector": _draw.normal(size=3),
    "number": np.array(2.0),
    "strided": definite(6, 6)[::2, ::2],
    "reversed": S[::-1, ::-1],
    "batch": BATCH,
    "complex batch": definite(2, 20, 2, 2, dtype="D"),
    "strided batch": definite(40, 6, 6)[:, ::2, ::2],
    "one singular": with_one(SINGULAR, BATCH),
    "one indefinite": with_one(INDEFINITE, BATCH),
    "one nan": with_one(NAN, BATCH),
    "tall batch": _draw.normal(size=(40, 4, 3)),
}

NUMPY: dict[str, Callable[..., Any]] = {
    name: getattr(np.linalg, name)
    for name in "cond det eigvals eigvalsh inv matrix_norm matrix_rank norm pinv slogdet svdvals "
    "diagonal trace".split()
} | {
    "cholesky": np.linalg.cholesky,
    "cholesky upper": lambda a: np.linalg.cholesky(a, upper=True),
    "eigh": lambda a: [abs(x) for x in np.linalg.eigh(a)],
    "svd": lambda a: [abs(x) for x in np.linalg.svd(a, full_matrices=False)],
    "qr": lambda a: [abs(x) for x in np.linalg.qr(a)],
    "power": lambda a: np.linalg.matrix_power(a, -2),
    "cond 1": lambda a: np.linalg.cond(a, 1),
    "cond fro": lambda a: np.linalg.cond(a, "fro"),
    "norm 2": lambda a: np.linalg.norm(a, 2, axis=(-2, -1)),
    "norm nuc": lambda a: np.linalg.norm(a, "nuc", axis=(-2, -1)),
    "norm 1": lambda a: np.linalg.norm(a, 1, axis=(-2, -1)),
    "norm -inf": lambda a: np.linalg.norm(a, -np.inf, axis=(-2, -1)),
    "vector norm": lambda a: np.linalg.vector_norm(a, axis=-1, ord=3),
    "vector norm inf": lambda a: np.linalg.vector_norm(a, axis=-1, ord=np.inf),
    "solve": lambda a: np.linalg.solve(a, a[..., :2]),
    "solve, single": lambda a: np.linalg.solve(a, np.ones((3, 2), np.float32)),
    "solve, complex": lambda a: np.linalg.solve(a, np.ones((3, 1), np.complex64)),
    "solve, integers": lambda a: np.linalg.solve(a, np.arange(3)),
    "lstsq": lambda a: np.linalg.lstsq(a, np.ones(a.shape[-2])),
    "pinv, Hermitian": lambda a: np.linalg.pinv(a, hermitian=True),
}  # fmt: skip
ONES = np.ones(3)
SCIPY: dict[str, Callable[..., Any]] = {
    name: getattr(sl, name) for name in "det eigvalsh expm inv pinv svdvals".split()
} | {
    "cholesky": lambda a: sl.cholesky(a, lower=True),
    "cho_factor": lambda a: sl.cho_solve(sl.cho_factor(a), ONES),
    "lu": lambda a: sl.lu(a),
    "eigh": lambda a: [abs(x) for x in sl.eigh(a)],
    "eigh, two matrices": lambda a: [abs(x) for x in sl.eigh(a, 2 * np.eye(3))],
    "qr": lambda a: [abs(x) for x in sl.qr(a, mode="economic")],
    "solve": lambda a: sl.solve(a, ONES),
    "solve, single": lambda a: sl.solve(a, np.ones((3, 1), np.float32)),
    "solve pos": lambda a: sl.solve(a, ONES, assume_a="pos"),
    "solve sym": lambda a: sl.solve(a, ONES, assume_a="sym"),
    "triangle": lambda a: sl.solve_triangular(a, ONES),
    "unit triangle": lambda a: sl.solve_triangular(a, ONES, lower=True, unit_diagonal=True),
    "lstsq": lambda a: sl.lstsq(a, np.ones(a.shape[-2]))[:3:2],
    "sylvester": lambda a: sl.solve_sylvester(a, a, a),
    "expm_frechet": lambda a: sl.expm_frechet(a, a),
}

OTHERWISE = {
    "cho_factor zero": "SciPy divides by zero",
    "cond nan": "the SVD raises or not, by versions of NumPy",
    "cond inf": "the same",
    "cond one nan": "the same",
    "svdvals no matrices": "SciPy 1.18 forgets the shapes",
    "eigvals": "complex for every traced array",
    "lstsq inf": "NaN where LAPACK gives up",
    "lu no matrices": "SciPy forgets the shapes",
    "lu no columns": "SciPy forgets the permutation",
    "lstsq nothing": "SciPy gives no residuals",
    "sylvester zero": "any matrix is a solution",
    "sylvester singular": "many matrices are solutions",
    "sylvester one singular": "many matrices are solutions",
}
"""What is not as NumPy and SciPy have it, and why."""


def outcome(f, a):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return [np.asarray(x) for x in leaves(f(a))], None
        except Exception as error:
            return None, error


def check(name, kind, dtype, found, expected):
    """Compares two outcomes. Where a matrix has NaNs, more of the result may be NaN."""
    (values, error), (theirs, refusal) = found, expected
    said = str(refusal)
    if "infs or NaNs" in said or "zero-size" in said:
        assert error is None or isinstance(error, GpuadError | ValueError), error
        return  # traced values are not asked if they are finite, and no matrices give no results
    if error is not None:
        assert isinstance(error, (GpuadError, type(refusal))), error
        return
    assert refusal is None, f"no error, and {refusal!r}"
    single = dtype.itemsize < 8 or dtype.char == "F" or "single" in name
    for x, y in zip(values, theirs, strict=True):
        complexes = name.startswith("eigvals") and x.dtype.kind == "c"
        assert x.shape == y.shape and (x.dtype == y.dtype or complexes)
        assert np.isnan(x)[np.isnan(y)].all()
        scale = max([1.0, *abs(y[np.isfinite(y)])])
        tolerance = 1e-4 if single else 1e-9
        close = np.isclose(x, y, rtol=10 * tolerance, atol=tolerance * scale, equal_nan=True)
        if kind == "one nan" and len(BATCH) in x.shape[:1]:
            close[5] = True
        assert (close | (np.isnan(x) & (kind in ("nan", "inf")))).all(), (x, y)


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("library", ["numpy", "scipy"])
def test_values_and_errors_are_the_librarys(kind, library):
    a = INPUTS[kind]
    for name, f in (NUMPY if library == "numpy" else SCIPY).items():
        if name in OTHERWISE and a.dtype.kind != "c":
            continue
        if f"{name} {kind}" in OTHERWISE:
            continue
        with np.errstate(all="ignore"):
            check(
                name, kind, a.dtype, outcome(lambda x, f=f: run_once(f, (x,), {}), a), outcome(f, a)
            )


@pytest.mark.parametrize("name", ["solve", "inv", "det", "slogdet", "cholesky", "eigvalsh", "cond"])
def test_small_matrices_under_jit(name):
    """One program for each: a batch, of which one matrix is singular, indefinite, not finite."""
    f = NUMPY[name]
    compiled = ad.jit(f)
    for kind, a in {
        "batch": BATCH, "strided batch": INPUTS["strided batch"],
        "one singular": INPUTS["one singular"], "one indefinite": INPUTS["one indefinite"],
        "one nan": INPUTS["one nan"], "inf": with_one(INF, BATCH),
    }.items():  # fmt: skip
        if f"{name} {kind}" in OTHERWISE:
            continue
        check(name, kind, a.dtype, outcome(compiled, a), outcome(f, a))


@pytest.mark.parametrize("name", ["solve", "inv", "det", "cholesky", "eigvalsh", "svdvals", "pinv"])
def test_derivatives_of_edges(name):
    """None of no matrices; a NaN stays in its matrix; views have those of copies; single stays."""
    gradient = ad.grad(lambda a: (NUMPY[name](a) ** 2).sum())
    assert gradient(INPUTS["no matrices"]).shape == (0, 3, 3)
    assert gradient(INPUTS["matrices of nothing"]).shape == (2, 0, 0)
    assert gradient(INPUTS["single"]).dtype == np.float32
    view = INPUTS["strided batch"]
    np.testing.assert_allclose(gradient(view), gradient(view.copy()), rtol=1e-12)
    found, expected = gradient(INPUTS["no matrices"]), gradient(BATCH)
    try:
        found = gradient(INPUTS["one nan"])
    except np.linalg.LinAlgError:
        return  # as NumPy's value
    others = np.arange(40) != 5
    np.testing.assert_allclose(found[others], expected[others], rtol=1e-9)


TWO: dict[str, Callable[..., Any]] = {
    "solve_sylvester": lambda a: sl.solve_sylvester(a, S, INDEFINITE),
    "solve_sylvester, sides": lambda q: sl.solve_sylvester(S, S, q),
    "solve_continuous_lyapunov": lambda q: sl.solve_continuous_lyapunov(S, q),
    "eigh": lambda b: abs(sl.eigh(INDEFINITE, b)[1]),
    "eigvalsh": lambda a: sl.eigvalsh(a, S),
    "expm_frechet": lambda e: sl.expm_frechet(S, e)[1],
    "solve": lambda b: sl.solve(S, b),
    "cho_solve": lambda b: sl.cho_solve((np.linalg.cholesky(S), True), b),
    "lu_solve": lambda b: sl.lu_solve(sl.lu_factor(S), b),
    "solve_triangular": lambda a: sl.solve_triangular(a, S),
}


@pytest.mark.parametrize("name", TWO)
def test_a_batch_beside_one_matrix(name):
    f, batch = TWO[name], BATCH[:12]
    expected = np.stack([f(a) for a in batch])
    np.testing.assert_allclose(run_once(f, (batch,), {}), expected, rtol=1e-9, atol=1e-11)


UNREAD = {
    "tridiagonal": lambda l, a, b: l.solve(a, b, assume_a="tridiagonal"),
    "hermitian": lambda l, a, b: l.solve(a, b, assume_a="her"),
    "eigvalsh": lambda l, a, b: l.eigvalsh(a),
    "row order": lambda l, a, b: l.lu(a, p_indices=True)[0],
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_beside_the_structure_is_not_read(name):
    """As LAPACK: elements off the band, and the imaginary part of the diagonal of a Hermitian."""
    for dtype in (float, complex):
        draw = np.random.default_rng(5)
        a, b = [draw.normal(size=s) * (1 + 0.5j * (dtype is complex)) for s in ((4, 4), 4)]
        expected = UNREAD[name](scipy.linalg, a, b)
        found = run_once(lambda a, b: UNREAD[name](sl, a, b), (a, b), {})
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_singular_values_of_a_hermitian_matrix_read_a_real_diagonal():
    a = S + 1j * np.triu(np.ones((3, 3)))
    f = lambda a: np.linalg.svd(a, compute_uv=False, hermitian=True)  # noqa: E731
    np.testing.assert_allclose(ad.jit(f)(a), f(a), rtol=1e-12)


def test_a_subset_of_eigenvalues_that_do_not_exist():
    for subset in ((1, 3), (-2, -1), (2, 1)):
        with pytest.raises(GpuadError, match="0 <= first <= last <= 2"):
            ad.jit(lambda a: sl.eigvalsh(a, subset_by_index=subset))(S)  # noqa: B023
