"""Matrix factorisations: Cholesky, LU and QR."""

import math
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.primitive import Axes
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import constant, differentiable
from gpuad.primitives.indexing import gather
from gpuad.primitives.linalg import arrays, gpu_workspaces, workspaces
from gpuad.primitives.linalg.matrices import (
    adjoint,
    batched_axes,
    hermitian_part,
    lower_triangle,
    mirrored,
    on_diagonal,
    product,
    real_inside,
    upper_triangle,
)
from gpuad.primitives.linalg.solving import solve_from_right, solve_lower, triangular_solve
from gpuad.primitives.sources import iota
from gpuad.primitives.structure import concatenate, slice_axis

# hermitian: the Hermitian matrix whose lower triangle is that of `a` (of the diagonal the real
# part). Its derivative is that of the Hermitian part: a tangent that is not Hermitian has no
# meaning for what is defined for Hermitian matrices only, and a gradient is Hermitian.


def _mirrored(xp: Any, a: Any) -> Any:
    if xp is np:
        out = a.copy(order="C")
        arrays.mirror_in_place(out)
        return out
    below = xp.tril(a, -1)
    across = below.swapaxes(-1, -2)
    out = xp.tril(a) + (across.conj() if a.dtype.kind == "c" else across)
    arrays.make_diagonal_real(xp, out)
    return out


hermitian = differentiable(
    "hermitian",
    infer=lambda a: a,
    run=_mirrored,
    axes=batched_axes,
    jvp=lambda primals, tangents, out: hermitian_part(tangents[0]),
    workspace=workspaces.mirrored,
    gpu_workspace=gpu_workspaces.copies(3),
)

# cholesky: the lower triangular L with L Lᴴ = a, from the lower triangle of `a`. Its derivative is
# L Φ(L⁻¹ a' L⁻ᴴ), where Φ takes the lower triangle and half of the diagonal (Smith, 1995).


def _cholesky_array(xp: Any, a: Any) -> Any:
    if not a.size:
        return xp.zeros(a.shape, a.dtype)
    factor = xp.linalg.cholesky(a)
    return factor if xp is np else _nan_unless_definite(xp, a, factor)


def _nan_unless_definite(xp: Any, a: Any, factor: Any) -> Any:
    """cuSOLVER leaves a part of the factor where `a` is not positive definite, and asking it would
    wait for the GPU: a row of a true factor has the squares of its elements sum to the diagonal."""
    pivots = xp.einsum("...ii->...i", factor).real
    diagonal = xp.einsum("...ii->...i", a).real
    squares = (abs(factor) ** 2).sum(-1)
    tolerance = 16 * a.shape[-1] * np.finfo(a.dtype).eps
    right = (pivots > 0) & (abs(squares - diagonal) <= tolerance * diagonal)
    return xp.where(right.all(-1)[..., None, None], factor, xp.tril(xp.full_like(factor, np.nan)))


def _cholesky_jvp(primals: Any, tangents: Any, out: Any) -> Any:
    inner = solve_lower(out, adjoint(solve_lower(out, mirrored(tangents[0]))))
    half = on_diagonal(inner, ew.mul(real_inside(inner), 0.5), lower_triangle(inner))
    return product(out, half)


cholesky = differentiable(
    "cholesky",
    infer=lambda a: a,
    run=_cholesky_array,
    axes=batched_axes,
    jvp=_cholesky_jvp,
    workspace=workspaces.in_numpy(workspaces.square(1.0)),
    gpu_workspace=gpu_workspaces.copies(3),
)

# lu: L (with ones on its diagonal) and U packed in one array, the pivots and the permutation p with
# a[p] = L U. With L⁻¹ a'[p] U⁻¹ = G, L' = L tril(G, -1) and U' = triu(G) U.


def _lu_infer(a: Aval) -> tuple[Aval, ...]:
    *lead, m, n = a.shape
    return a, Aval((*lead, min(m, n)), np.int32), Aval((*lead, m), np.int64)


def permuted(x: Any, perm: Any) -> Any:
    """The rows of matrices in another order, x[..., perm, :]."""
    lead = x.aval.ndim - 2
    return gather(x, perm, batch=lead)


def _square(x: Any, n: int, rows: bool) -> Any:
    """Matrices with rows (columns) of the identity appended, up to n; or without those after n."""
    axis = x.aval.ndim - (1 if rows else 2)
    have = x.aval.shape[axis]
    if have >= n:
        return slice_axis(x, axis, 0, n)
    shape = list(x.aval.shape)
    shape[axis] = n - have
    extra = Aval(tuple(shape), x.aval.dtype)
    i, j = [iota(extra.shape, k) for k in (extra.ndim - 2, extra.ndim - 1)]
    moved = (i, ew.add(j, have)) if rows else (ew.add(i, have), j)
    return concatenate(x, ew.cast(ew.eq(*moved), dtype=x.aval.dtype), axis=axis)


def _lu_jvp(primals: Any, tangents: Any, out: Any) -> Any:
    packed, _, perm = out
    m, n = packed.aval.shape[-2:]
    below = _square(lower_triangle(packed, strict=True), m, rows=True)
    above = _square(upper_triangle(packed), n, rows=False)
    g = triangular_solve(
        below, permuted(tangents[0], perm), lower=True, transposed=False, unit=True
    )
    g = solve_from_right(above, g, lower=False)
    unit = on_diagonal(below, 1.0, below)
    moved = product(unit, lower_triangle(g, strict=True))
    return ew.add(moved, product(upper_triangle(g), above)), None, None


lu = differentiable(
    "lu",
    infer=_lu_infer,
    run=arrays.lu,
    axes=batched_axes,
    jvp=_lu_jvp,
    multiple=True,
    workspace=workspaces.lu,
    gpu_workspace=gpu_workspaces.copies(1),
)


def _but_last(avals: Any) -> Any:
    return tuple([(*range(a.ndim - 1), None) for a in avals])


# permutation: of the pivots of an LU factorisation, see `lu`.
permutation = constant(
    "permutation",
    infer=lambda pivots, rows: Aval((*pivots.shape[:-1], rows), np.int64),
    run=lambda xp, pivots, rows: arrays.permutation(xp, pivots, rows),
    axes=lambda operands, outputs, rows: Axes(*[_but_last(avals) for avals in (operands, outputs)]),
    workspace=lambda e, operands: 48 * math.prod(e.outputs[0].aval.shape[:-1]),
)

# qr: Q with orthonormal columns and R upper triangular, Q R = a (m × k and k × n, k = min(m, n)).


def _qr_infer(a: Aval) -> tuple[Aval, Aval]:
    *lead, m, n = a.shape
    k = min(m, n)
    return Aval((*lead, m, k), a.dtype), Aval((*lead, k, n), a.dtype)


def _qr_array(xp: Any, a: Any) -> tuple[Any, Any]:
    if xp is np:
        return tuple(np.linalg.qr(a))  # type: ignore[return-value]
    q, r = [xp.empty(x.shape, x.dtype) for x in _qr_infer(Aval(a.shape, a.dtype))]

    def one(a: Any, q: Any, r: Any) -> None:
        q[...], r[...] = xp.linalg.qr(a)

    arrays.each(one, a.shape[:-2], a, q, r)
    return q, r


def _qr_jvp(primals: Any, tangents: Any, out: Any) -> tuple[Any, Any]:
    """With Q' = Q Ω + (1 - Q Qᴴ) a' R⁻¹ and Ω antihermitian (Walter and others, 2012). Columns of
    `a` after the m-th follow: R there is Qᴴ a."""
    (a,), (a_dot,), (q, r) = primals, tangents, out
    m, n = a.aval.shape[-2:]
    last = a.aval.ndim - 1
    if m >= n:
        return _tall_qr_jvp(q, r, a_dot)
    first = [slice_axis(x, last, 0, m) for x in (r, a_dot)]
    rest, rest_dot = [slice_axis(x, last, m, n) for x in (a, a_dot)]
    q_dot, r_dot = _tall_qr_jvp(q, *first)
    following = ew.add(product(adjoint(q_dot), rest), product(adjoint(q), rest_dot))
    return q_dot, concatenate(r_dot, following, axis=last)


def _tall_qr_jvp(q: Any, r: Any, a_dot: Any) -> tuple[Any, Any]:
    moved = solve_from_right(r, a_dot, lower=False)
    inner = product(adjoint(q), moved)
    below = lower_triangle(inner, strict=True)
    turn = ew.sub(below, adjoint(below))
    if turn.aval.dtype.kind == "c":  # LAPACK keeps the diagonal of R real
        turn = on_diagonal(turn, ew.sub(inner, real_inside(inner)), turn)
    rest = ew.sub(turn, inner)
    return ew.add(product(q, rest), moved), ew.neg(product(rest, r))


qr = differentiable(
    "qr",
    infer=_qr_infer,
    run=_qr_array,
    axes=batched_axes,
    jvp=_qr_jvp,
    multiple=True,
    workspace=workspaces.qr,
    gpu_workspace=gpu_workspaces.matrices(3),
)
