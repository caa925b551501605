"""Functions of matrices, and matrices of a form, as in `scipy.linalg`."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import promote, shape_of
from gpuad.numpy._dispatch import cast_to, implements
from gpuad.numpy._matrices import in_one_batch, square, together
from gpuad.primitives import elementwise as ew
from gpuad.primitives.indexing import gather
from gpuad.primitives.linalg import functions
from gpuad.primitives.linalg.matrices import adjoint
from gpuad.primitives.linalg.solving import sylvester
from gpuad.primitives.sources import iota
from gpuad.primitives.structure import concatenate, flip, pad, reshape, slice_axis
from gpuad.tracing.record import apply


@implements(name="scipy.linalg.expm")
def expm(A: Any) -> Any:
    """The exponentials of square matrices; derivatives of every order from exponentials of block
    matrices (Higham and Relton, 2014).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda a: ad.scipy.linalg.expm(a)[0, 1])(np.zeros((2, 2)))
    array([[0., 1.],
           [0., 0.]])
    """
    return apply(lambda v: functions.expm(square(v, "expm")), A)


@implements(name="scipy.linalg.expm_frechet")
def expm_frechet(
    A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: bool = True
) -> Any:
    """The exponential of `A` and its derivative in the direction `E`; in double precision, as
    SciPy's."""

    def record(a: Atom, e: Atom) -> Any:
        a, e = [square(v, "expm_frechet") for v in together([a, e], "expm_frechet")]
        a, e = [cast_to(v, np.result_type(v.aval.dtype, np.float64)) for v in (a, e)]
        a, e = in_one_batch([a, _of_shape(e, a, a, "expm_frechet", "E")], "expm_frechet")
        moved = functions.expm(a, e)
        return (functions.expm(a), moved) if compute_expm else moved

    return apply(record, A, E)


@implements(name="scipy.linalg.sqrtm")
def sqrtm(A: Any) -> Any:
    """The principal square roots of square matrices; x' solves x' x + x x' = a'.

    A real traced matrix must have a real root; for others write ``sqrtm(A + 0j)``.
    """
    return apply(lambda v: functions.sqrtm(square(v, "sqrtm")), A)


@implements(name="scipy.linalg.solve_sylvester")
def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """x with ``a @ x + x @ b = q``."""

    def record(*values: Atom) -> Atom:
        a, b, q = together(values, "solve_sylvester")
        a, b = square(a, "solve_sylvester"), square(b, "solve_sylvester")
        q = _of_shape(q, a, b, "solve_sylvester")
        return sylvester(*in_one_batch([a, b, q], "solve_sylvester"))

    return apply(record, a, b, q)


def _of_shape(q: Atom, a: Atom, b: Atom, name: str, argument: str = "q") -> Atom:
    """The argument, which has the rows of `a` and the columns of `b`."""
    shape = a.aval.shape[-2], b.aval.shape[-1]
    if q.aval.shape[-2:] != shape:
        raise ArgumentError(
            f"{name}: {argument} has the shape {q.aval.shape}; give one of shape {shape}."
        )
    return q


@implements(name="scipy.linalg.solve_continuous_lyapunov")
def solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    """x with ``a @ x + x @ a.conj().T = q``."""

    def record(*values: Atom) -> Atom:
        a, q = together(values, "solve_continuous_lyapunov")
        a = square(a, "solve_continuous_lyapunov")
        q = _of_shape(q, a, a, "solve_continuous_lyapunov")
        return sylvester(*in_one_batch([a, adjoint(a), q], "solve_continuous_lyapunov"))

    return apply(record, a, q)


# Matrices of a form


@implements(name="scipy.linalg.block_diag")
def block_diag(*arrs: Any) -> Any:
    """The matrix with these matrices along its diagonal, and zeros beside them.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.vjp(lambda x: ad.scipy.linalg.block_diag(x, [[5.0]]), np.array([[1.0, 2.0]]))[0]
    array([[1., 2., 0.],
           [0., 0., 5.]])
    """
    if any(len(shape_of(a)) > 2 for a in arrs):
        raise ArgumentError("block_diag: arrays of more than two axes; map over them with ad.vmap.")

    def record(*values: Atom) -> Atom:
        blocks = [_at_least_matrix(v) for v in promote(values)]
        columns = sum(b.aval.shape[1] for b in blocks)
        rows, before = [], 0
        for b in blocks:
            n = b.aval.shape[1]
            rows.append(pad(b, low=(0, before), high=(0, columns - before - n), step=(1, 1)))
            before += n
        return concatenate(*rows, axis=0)

    return apply(record, *arrs)


def _at_least_matrix(v: Atom) -> Atom:
    return v if v.aval.ndim == 2 else reshape(v, shape=(1, v.aval.size))


def _vector(name: str, x: Any) -> None:
    if len(shape_of(x)) != 1:
        raise ArgumentError(
            f"{name}: an array of shape {shape_of(x)}; give a vector, or map over several with "
            "ad.vmap."
        )


def _by_difference(v: Atom, rows: int, columns: int, first: int, sign: int) -> Atom:
    """The matrix with v[first + i - j], or with sign 1 v[first + i + j], in row i and column j."""
    i, j = iota((rows, columns), 0), iota((rows, columns), 1)
    index = ew.add(ew.add(i, j) if sign > 0 else ew.sub(i, j), first)
    return gather(v, index, batch=0)


@implements(name="scipy.linalg.toeplitz")
def toeplitz(c: Any, r: Any = None) -> Any:
    """The matrix with constant diagonals, from its first column `c` and its first row `r` (by
    default the conjugate of `c`; r[0] is not used).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda c: ad.scipy.linalg.toeplitz(c).sum())(np.zeros(3))
    array([3., 4., 2.])
    """
    _vector("toeplitz", c)
    if r is not None:
        _vector("toeplitz", r)

    def record(*values: Atom) -> Atom:
        column, *others = promote(values)
        row = others[0] if others else _conjugate(column)
        m, n = column.aval.size, row.aval.size
        line = concatenate(flip(slice_axis(row, 0, min(1, n), n), axes=(0,)), column, axis=0)
        return _by_difference(line, m, n, n - 1, -1)

    return apply(record, *([c] if r is None else [c, r]))


def _conjugate(v: Atom) -> Atom:
    return ew.conj(v) if v.aval.dtype.kind == "c" else v


@implements(name="scipy.linalg.hankel")
def hankel(c: Any, r: Any = None) -> Any:
    """The matrix with constant antidiagonals, from its first column and its last row (by default
    zeros; r[0] is not used)."""
    _vector("hankel", c)
    if r is not None:
        _vector("hankel", r)

    def record(*values: Atom) -> Atom:
        column, *others = promote(values)
        m = column.aval.size
        n = others[0].aval.size if others else m
        if others:
            line = concatenate(column, slice_axis(others[0], 0, 1, n), axis=0)
        else:
            line = pad(column, low=(0,), high=(max(m - 1, 0),), step=(1,))
        return _by_difference(line, m, n, 0, 1)

    return apply(record, *([c] if r is None else [c, r]))


@implements(name="scipy.linalg.circulant")
def circulant(c: Any) -> Any:
    """The matrix whose first column is `c`, each column being the one before it turned by one."""
    _vector("circulant", c)

    def record(v: Atom) -> Atom:
        n = v.aval.size
        line = concatenate(slice_axis(v, 0, min(1, n), n), v, axis=0)
        return _by_difference(line, n, n, n - 1, -1)

    return apply(record, c)
