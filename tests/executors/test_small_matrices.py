"""Small matrices in batches, written out inside sweeps, against NumPy's functions."""

import numpy as np
import pytest

import gpuad as ad
from gpuad.executors.native.program import NativeProgram
from gpuad.transforms.lower import lower
from gpuad.transforms.small_matrices import FEWEST, LARGEST, written_out

pytest.importorskip("numba")

BATCH = 40
_draw = np.random.default_rng(3)


def regular(n, *batch, dtype=float):
    """Matrices of every pivoting order, with condition numbers up to some tens."""
    q, _ = np.linalg.qr(_draw.normal(size=(*batch, n, n)))
    p, _ = np.linalg.qr(_draw.normal(size=(*batch, n, n)))
    return ((q * np.geomspace(1, 20, n)) @ p).astype(dtype)


def definite(a):
    return (a + a.swapaxes(-1, -2)) / 2


def sides(a):
    n = a.shape[-1]
    return np.cos(np.arange(2.0 * n).reshape(n, 2)).astype(a.dtype)


def _positive(a):
    return definite(a) + 25 * np.eye(a.shape[-1], dtype=a.dtype)


FUNCTIONS = {
    "solve": lambda a: np.linalg.solve(a, sides(a)),
    "solve of a vector for each": lambda a: np.linalg.solve(a, a[..., :1] ** 2)[..., 0],
    "solve, positive definite": lambda a: ad.scipy.linalg.solve(_positive(a), a, assume_a="pos"),
    "inv": np.linalg.inv,
    "det": np.linalg.det,
    "slogdet": lambda a: np.linalg.slogdet(a)[0] * np.linalg.slogdet(a)[1],
    "cholesky": lambda a: np.linalg.cholesky(_positive(a)),
    "solve_triangular": lambda a: ad.scipy.linalg.solve_triangular(a, sides(a), lower=True),
    "lu_solve, transposed": lambda a: ad.scipy.linalg.lu_solve(
        ad.scipy.linalg.lu_factor(a), np.broadcast_to(sides(a), (*a.shape[:-1], 2)), 1
    ),
    "lu": lambda a: ad.scipy.linalg.lu(a)[1] + ad.scipy.linalg.lu(a)[2],
    "eigvalsh": lambda a: np.linalg.eigvalsh(definite(a)),
    "a normal density": lambda a: (
        np.linalg.slogdet(_positive(a))[1]
        + (a[..., 0] * np.linalg.solve(_positive(a), a[..., :1])[..., 0]).sum(-1)
    ),
    "numbers among them": lambda a: (
        np.linalg.solve(a, np.eye(a.shape[-1])) * np.tri(a.shape[-1], k=-1)
        + np.linalg.slogdet(a)[1][..., None, None] * a[..., :1]
    ),
    "around": lambda a: np.tril(np.linalg.inv(a) @ a.swapaxes(-1, -2)).sum((-1, -2)) * a[..., 0, 0],
}
# solve_triangular would be ill-conditioned without this
CONDITION = {"solve_triangular": lambda a: np.tril(a) + 9 * np.eye(a.shape[-1])}

each_function = pytest.mark.parametrize("name", FUNCTIONS)


def total(f):
    return lambda a: np.sin(f(a)).sum()


def agree(f, *arguments, tolerance=1e-9):
    expected = ad.jit(f, executor="reference")(*arguments)
    found = ad.jit(f)(*arguments)
    assert found.shape == expected.shape
    np.testing.assert_allclose(
        found, expected, rtol=tolerance, atol=tolerance * abs(expected).max()
    )


@each_function
def test_values_and_gradients(name):
    f = FUNCTIONS[name]
    condition = CONDITION.get(name, lambda a: a)
    agree(f, condition(regular(2, BATCH)))
    agree(ad.grad(total(f)), condition(regular(3, BATCH)))


@pytest.mark.parametrize("name", ["solve", "det", "eigvalsh"])
def test_second_derivatives(name):
    f = FUNCTIONS[name]
    a, v = regular(3, BATCH), _draw.normal(size=(BATCH, 3, 3))
    agree(lambda a, v: ad.jvp(ad.grad(total(f)), (a,), (v,))[1], a, v)


def test_other_sizes_and_single_precision():
    agree(FUNCTIONS["cholesky"], regular(LARGEST, BATCH))
    agree(ad.grad(total(FUNCTIONS["a normal density"])), regular(1, BATCH))
    agree(FUNCTIONS["solve"], regular(4, 4, BATCH, dtype=np.float32), tolerance=1e-4)
    agree(ad.grad(total(FUNCTIONS["slogdet"])), regular(4, BATCH, 2))


def launches(f, *arguments):
    return ad.jit(f).explain(*arguments).launches


def test_a_solve_and_its_hvp_are_one_launch():
    a, v = regular(4, 1000), _draw.normal(size=(1000, 4, 4))
    f = total(lambda a: np.linalg.solve(a, sides(a)[:, :1]))
    assert launches(f, a) == 1
    assert launches(ad.grad(f), a) == 1
    assert launches(lambda a, v: ad.jvp(ad.grad(f), (a,), (v,)), a, v) == 1
    assert launches(ad.grad(total(lambda a: np.linalg.cholesky(_positive(a)))), a) == 1


def test_vmap_of_one_matrix_is_a_batch():
    a = regular(3, 100)
    f = ad.vmap(lambda a: np.linalg.solve(a, np.ones(3)))
    assert launches(f, a) == 1
    np.testing.assert_allclose(ad.jit(f)(a), f(a), rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_eigenvalues_that_are_close(scale):
    """Against NumPy: nearly equal ones, equal ones, and a diagonal matrix."""
    q, _ = np.linalg.qr(_draw.normal(size=(FEWEST, 3, 3)))
    w = np.where(np.arange(FEWEST)[:, None] % 2 == 0, [1.0, 1.0 + 1e-13, 2.0], [1.0, 1.0, -3.0])
    a = scale * (q * w[:, None]) @ q.swapaxes(-1, -2)
    a[0] = scale * np.diag([3.0, -1.0, 2.0])
    found = ad.jit(np.linalg.eigvalsh)(a)
    np.testing.assert_allclose(found, np.linalg.eigvalsh(a), atol=4e-15 * scale)


def test_what_numpy_refuses_is_refused():
    a = regular(3, BATCH)
    a[7] = 0
    for f in (np.linalg.inv, lambda a: np.linalg.solve(a, sides(a)), ad.grad(total(np.linalg.inv))):
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            ad.jit(f)(a)
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        ad.jit(lambda a: np.linalg.cholesky(a).sum())(-definite(a))
    with pytest.raises(np.linalg.LinAlgError, match="diagonal"):
        ad.jit(lambda a: ad.scipy.linalg.solve_triangular(a, sides(a)).sum())(a)
    assert ad.jit(np.linalg.det)(a)[7] == 0
    sign, value = ad.jit(lambda a: tuple(np.linalg.slogdet(a)))(a)
    assert (sign[7], value[7]) == (0, -np.inf)


def test_it_is_refused_even_where_no_result_shows_it():
    a = regular(2, BATCH)
    a[3] = 0
    f = ad.jit(lambda a: (np.linalg.inv(a) > 0).sum())
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        f(a)
    a[3] = np.eye(2)
    for _ in range(3):  # on the fast path, too
        assert f(a) == (np.linalg.inv(a) > 0).sum()
    a[3] = 0
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        f(a)


def test_donated_matrices_are_refused_too():
    a = regular(3, BATCH)
    f = ad.jit(np.linalg.inv, donate_argnums=0)
    np.testing.assert_allclose(f(a.copy()), np.linalg.inv(a))
    a[7] = 0
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        f(a)


def _by_a_rule(a):
    @ad.custom_jvp
    def inverse(a):
        return np.linalg.inv(a)

    inverse.defjvp(lambda primals, tangents: (np.linalg.inv(primals[0]), tangents[0]))
    return inverse(a)


HELD = {
    "checkpoint": ad.checkpoint(np.linalg.inv),
    "in another": ad.checkpoint(lambda a: 2 * ad.checkpoint(np.linalg.inv)(a)),
    "custom rule": _by_a_rule,
}


@pytest.mark.parametrize("name", HELD)
def test_it_is_refused_in_a_graph_that_is_held(name):
    a = regular(2, BATCH)
    for f in (HELD[name], ad.grad(total(HELD[name]))):
        agree(f, a)
        a[3] = 0
        for limit in (None, 100_000):
            with pytest.raises(np.linalg.LinAlgError, match="Singular"):
                ad.jit(f, max_bytes=limit)(a)
        a[3] = np.eye(2)


def test_a_program_with_guards_is_written_out_too():
    """The NaN of a lane that is dropped makes the program run again with guards."""

    def f(a):
        x = np.linalg.inv(a)[:, 0, 0]
        return np.where(x > 0, np.sqrt(x), x).sum()

    a = regular(3, BATCH)
    with np.errstate(invalid="ignore"):
        agree(ad.grad(f), a)
    a[3] = 0
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        ad.jit(ad.grad(f))(a)


def test_nan_in_a_matrix_is_a_result_as_in_numpy():
    a = regular(3, BATCH)
    a[5, 1, 1] = np.nan
    for f in (np.linalg.inv, np.linalg.det, lambda a: np.linalg.solve(a, sides(a))):
        with np.errstate(invalid="ignore"):
            found, expected = ad.jit(f)(a), f(a)
        nan = [np.isnan(x.reshape(BATCH, -1)).any(1) for x in (found, expected)]
        np.testing.assert_array_equal(*nan)
        assert nan[0].sum() == 1


def test_pivots_are_those_of_lapack():
    """Ties go to the first row; a matrix with zeros where pivots are looked for."""
    a = _draw.integers(-1, 2, (200, 4, 4)).astype(float)
    a = a[abs(np.linalg.det(a)) > 0.5]
    for k in (0, 1):
        found = ad.jit(lambda a, k=k: ad.scipy.linalg.lu_factor(a)[k])(a)
        expected = ad.jit(lambda a, k=k: ad.scipy.linalg.lu_factor(a)[k], executor="reference")(a)
        np.testing.assert_allclose(found, expected, atol=1e-14)


def test_systems_of_eight_rows_are_one_sweep():
    """Cut in several, it would leave dozens of values to store; cells are stored where they stand
    in the result."""
    a, b = regular(8, BATCH), _draw.normal(size=(BATCH, 8, 1))
    made = NativeProgram(lower(ad.make_graph(np.linalg.solve)(a, b).graph))
    (sweep,) = [s for s in made.sweeps if s is not None]
    assert len(sweep.source.scratch) <= 3
    assert len(sweep.source.writes) == 1


def test_few_or_large_matrices_stay_library_calls():
    for a in (regular(3, FEWEST - 1), regular(LARGEST + 1, BATCH), regular(3, BATCH) + 0j):
        f = ad.jit(np.linalg.inv)
        np.testing.assert_allclose(f(a), np.linalg.inv(a))
        (entry,) = f._entries.values()
        assert written_out(entry.recorded.graph, True) is entry.recorded.graph


def _complex(a):
    """Hermitian, positive definite, from what has been written out."""
    x = np.linalg.inv(a)
    return _positive(a) + 1j * (x - x.swapaxes(-1, -2))


AROUND = {
    "complex eigenvalues": lambda a: np.linalg.eigvalsh(_complex(a)),
    "complex Cholesky": lambda a: np.linalg.cholesky(_complex(a)),
    "complex slogdet": lambda a: np.linalg.slogdet(_complex(a))[1],
    "a factorisation of columns": lambda a: ad.scipy.linalg.lu_factor(np.linalg.inv(a)[..., :2])[0],
    "no right-hand sides": lambda a: np.linalg.solve(a, a[..., :0]).sum(-1),
    "a product of none": lambda a: np.linalg.inv(a)[..., :0] @ a[..., :0, :],
    "nothing": lambda a: np.linalg.inv(a)[..., :0].sum(),
}


@pytest.mark.parametrize("name", AROUND)
def test_what_is_not_written_out_is_done_by_the_library(name):
    agree(AROUND[name], regular(3, BATCH))


def test_batches_in_batches():
    """Of n matrices and of n × m ones: values of both have n × m × ... elements."""

    def f(a, b, c):
        x = np.linalg.solve(a, b)
        y = np.linalg.solve(c, x.reshape(BATCH, 4, 2, 1))
        return y * x.reshape(BATCH, 4, 2, 1) + (np.linalg.det(c) * x[:, 0, :4])[..., None, None]

    agree(f, regular(2, BATCH), _draw.normal(size=(BATCH, 2, 4)), regular(2, BATCH, 4))


def test_within_a_limit_of_memory():
    a = regular(3, 20_000)
    f = ad.grad(total(np.linalg.inv))
    limit = int(1.3 * a.nbytes)
    limited = ad.jit(f, max_bytes=limit)
    np.testing.assert_allclose(limited(a), ad.jit(f)(a))
    assert limited.explain(a).peak_bytes <= limit
