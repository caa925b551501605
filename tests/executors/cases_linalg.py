"""Cases of the primitives of linear algebra."""

import numpy as np
import scipy.linalg

from executors.case import Case
from gpuad.primitives.linalg import arrays, determinant, factorization, functions, solving, spectral

_draw = np.random.default_rng(5)


def _real(*shape):
    return _draw.normal(size=shape)


def _complex(*shape):
    return _draw.normal(size=shape) + 1j * _draw.normal(size=shape)


def _regular(*shape, make=_real):
    """Matrices with condition numbers of a few."""
    return make(*shape) + 3 * np.eye(shape[-2], shape[-1])


def _definite(*shape, make=_real):
    x = make(*shape)
    return x @ x.conj().swapaxes(-1, -2) + 2 * np.eye(shape[-1])


def _singular(n, rank):
    return _real(n, rank) @ _real(rank, n)


def _triangular(id, a, b, lower=True, transposed=False, unit=False):
    def expected(a, b):
        t = np.tril(a) if lower else np.triu(a)
        if unit:
            t = t * (1 - np.eye(t.shape[-1])) + np.eye(t.shape[-1])
        return np.linalg.solve(t.swapaxes(-1, -2) if transposed else t, b)

    params = {"lower": lower, "transposed": transposed, "unit": unit}
    return Case(solving.triangular_solve, (a, b), params, expected, f"triangular_solve-{id}")


def _factored(id, a, b, kind="lu", transposed=False):
    if kind == "lu":
        factor, _, perm = arrays.lu(np, a)
    else:
        factor = np.linalg.cholesky(a)
        perm = np.zeros(a.shape[:-1], np.int64)

    def expected(a, factor, perm, b):
        return np.linalg.solve(a.swapaxes(-1, -2) if transposed else a, b)

    params = {"kind": kind, "transposed": transposed, "refusing": True}
    return Case(solving.factored_solve, (a, factor, perm, b), params, expected, f"solve-{id}")


def _lu(id, a):
    def expected(a):
        found = [scipy.linalg.lu_factor(x) for x in a.reshape((-1, *a.shape[-2:]))]
        packed, pivots = [np.array(x) for x in zip(*found, strict=True)]
        perm = arrays.permutation(np, pivots, a.shape[-2])
        lead = a.shape[:-2]
        return [x.reshape((*lead, *x.shape[1:])) for x in (packed, pivots, perm)]

    return Case(factorization.lu, (a,), {}, expected, f"lu-{id}")


def _determinants(id, a):
    packed, pivots, perm = arrays.lu(np, a)
    return [
        Case(determinant.determinant, (a, packed, pivots), {},
             lambda a, *factors: np.linalg.det(a), f"determinant-{id}"),
        Case(determinant.log_determinant, (a, packed, pivots, perm), {},
             lambda a, *factors: np.linalg.slogdet(a), f"log_determinant-{id}"),
    ]  # fmt: skip


def _hermitian(a):
    below = np.tril(a, -1)
    return below + below.conj().T + np.diag(np.diag(a).real)


def _of_one(primitive, function, id, *operands, **params):
    return Case(primitive, operands, params, function, f"{primitive.name}-{id}")


def _cofactors(a):
    return np.linalg.det(a)[..., None, None] * np.linalg.inv(a).swapaxes(-1, -2)


CASES = [
    _triangular("lower", _regular(3, 3), _real(3, 2)),
    _triangular("upper", _regular(3, 3), _real(3, 2), lower=False),
    _triangular("transposed", _regular(3, 3), _real(3, 1), transposed=True),
    _triangular("upper_transposed", _regular(2, 3, 3), _real(2, 3, 1), False, True),
    _triangular("unit", _real(3, 3), _real(3, 2), unit=True),
    _triangular("unit_upper", _real(3, 3), _real(3, 2), False, True, True),
    _triangular("by_columns", np.asfortranarray(_regular(4, 4)), _real(4, 3)),
    _triangular("strided", _regular(8, 8)[::2, ::-2], _real(4, 6)[:, ::2]),
    _triangular("many", _regular(10, 3, 3), _real(10, 3, 2)),
    _triangular("many_upper", _regular(10, 3, 3), _real(10, 3, 2), False, True),
    _triangular("complex", _regular(3, 3, make=_complex), _complex(3, 2), transposed=True),
    _triangular("empty", _regular(0, 0), _real(0, 2)),
    _triangular("no_columns", _regular(2, 2), _real(2, 0)),
    _factored("one", _regular(3, 3), _real(3, 2)),
    _factored("transposed", _regular(3, 3), _real(3, 2), transposed=True),
    _factored("batch", _regular(2, 3, 3), _real(2, 3, 1)),
    _factored("many", _regular(10, 3, 3), _real(10, 3, 1), transposed=True),
    _factored("complex", _regular(3, 3, make=_complex), _complex(3, 2), transposed=True),
    _factored("definite", _definite(3, 3), _real(3, 2), "cholesky"),
    _factored("definite_complex", _definite(3, 3, make=_complex), _complex(3, 2), "cholesky", True),
    _of_one(solving.inverse, np.linalg.inv, "one", _regular(3, 3)),
    _of_one(solving.inverse, np.linalg.inv, "complex", _regular(2, 2, 2, make=_complex)),
    _of_one(solving.pseudo_inverse, lambda a: np.linalg.pinv(a), "tall", _real(4, 2),
            rcond=1e-15, hermitian=False),
    _of_one(solving.pseudo_inverse, lambda a: np.linalg.pinv(a), "wide", _complex(2, 2, 3),
            rcond=1e-15, hermitian=False),
    _of_one(solving.sylvester, scipy.linalg.solve_sylvester, "one", _regular(3, 3), _regular(2, 2),
            _real(3, 2)),
    _of_one(factorization.hermitian, lambda a: np.tril(a) + np.tril(a, -1).T, "real", _real(3, 3)),
    _of_one(factorization.hermitian, _hermitian, "complex",
            _complex(3, 3)),
    _of_one(factorization.cholesky, np.linalg.cholesky, "one", _definite(3, 3)),
    _of_one(factorization.cholesky, np.linalg.cholesky, "batch", _definite(2, 3, 3)),
    _of_one(factorization.cholesky, np.linalg.cholesky, "complex", _definite(3, 3, make=_complex)),
    _of_one(factorization.cholesky, np.linalg.cholesky, "empty", _definite(0, 0)),
    _lu("one", _real(3, 3)),
    _lu("tall", _real(4, 2)),
    _lu("wide", _real(2, 4)),
    _lu("complex", _complex(2, 3, 3)),
    _lu("many", _real(10, 3, 3)),
    _lu("many_tall", _real(10, 4, 2)),
    _lu("many_wide", _complex(10, 2, 3)),
    Case(factorization.permutation, (np.array([[2, 2, 2], [0, 2, 2]], np.int32),), {"rows": 4},
         lambda p: np.array([[2, 0, 1, 3], [0, 2, 1, 3]]), "permutation"),
    _of_one(factorization.qr, np.linalg.qr, "square", _real(3, 3)),
    _of_one(factorization.qr, np.linalg.qr, "tall", _real(2, 4, 2)),
    _of_one(factorization.qr, np.linalg.qr, "wide", _real(2, 4)),
    _of_one(factorization.qr, np.linalg.qr, "complex", _complex(3, 2)),
    _of_one(factorization.qr, np.linalg.qr, "complex_wide", _complex(2, 3)),
    _of_one(spectral.eigh, np.linalg.eigh, "one", _definite(3, 3), mask=False, any_sign=False),
    _of_one(spectral.eigh, np.linalg.eigh, "batch", _definite(2, 3, 3), mask=True, any_sign=False),
    _of_one(spectral.eigvalsh, np.linalg.eigvalsh, "one", _definite(3, 3)),
    _of_one(spectral.eigvalsh, np.linalg.eigvalsh, "complex", _definite(2, 3, 3, make=_complex)),
    _of_one(spectral.eig, np.linalg.eig, "complex", _complex(3, 3), mask=False),
    _of_one(spectral.eig, None, "real", _real(2, 3, 3), mask=True),
    _of_one(spectral.eigvals, np.linalg.eigvals, "complex", _complex(2, 3, 3)),
    _of_one(spectral.eigvals, None, "real", _real(3, 3)),
    _of_one(spectral.svd, lambda a: np.linalg.svd(a, full_matrices=False), "square", _real(3, 3),
            mask=False),
    _of_one(spectral.svd, lambda a: np.linalg.svd(a, full_matrices=False), "tall", _real(2, 4, 2),
            mask=True),
    _of_one(spectral.svd, lambda a: np.linalg.svd(a, full_matrices=False), "wide", _real(2, 4),
            mask=False),
    _of_one(spectral.singular_values, lambda a: np.linalg.svd(a, compute_uv=False), "tall",
            _real(4, 2)),
    _of_one(spectral.singular_values, lambda a: np.linalg.svd(a, compute_uv=False), "complex",
            _complex(2, 2, 3)),
    *_determinants("one", _real(3, 3)),
    *_determinants("complex", _complex(2, 2, 2)),
    *_determinants("empty", _real(0, 0)),
    _of_one(determinant.cofactors, _cofactors, "regular", _real(2, 3, 3)),
    _of_one(determinant.cofactors, None, "singular", _singular(3, 2)),
    _of_one(determinant.cofactors, None, "rank_1", _singular(3, 1)),
    _of_one(determinant.cofactors, _cofactors, "complex", _complex(3, 3)),
    _of_one(determinant.cofactors_moved, None, "regular", _regular(3, 3), _real(3, 3)),
    _of_one(determinant.cofactors_moved, None, "complex", _regular(2, 2, 2, make=_complex),
            _complex(2, 2, 2)),
    _of_one(determinant.cofactors_moved, None, "two_directions", _singular(3, 1),
            *_real(2, 3, 3)),
    _of_one(functions.expm, scipy.linalg.expm, "one", _real(3, 3)),
    _of_one(functions.expm, scipy.linalg.expm, "complex", _complex(2, 2, 2)),
    _of_one(functions.expm, lambda a, e: scipy.linalg.expm_frechet(a, e)[1], "direction",
            _real(3, 3), _real(3, 3)),
    _of_one(functions.expm, None, "two_directions", *_real(3, 2, 2)),
    _of_one(functions.sqrtm, scipy.linalg.sqrtm, "one", _definite(3, 3)),
    _of_one(functions.sqrtm, scipy.linalg.sqrtm, "complex", _definite(2, 2, make=_complex)),
]  # fmt: skip
