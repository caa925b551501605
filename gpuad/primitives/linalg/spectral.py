"""Eigenvalues and singular values, with their vectors.

Vectors of eigenvalues (singular values) that coincide are not unique, and have no derivative: it is
NaN there. With `mask`, what turns such vectors into each other is left out of it, as is right for
functions of the spaces that they span. Values coincide if they differ by less than `gap_of`
times the largest.
"""

from typing import Any

import numpy as np

from gpuad.ir.aval import Aval, real_dtype
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import differentiable
from gpuad.primitives.linalg import gpu_workspaces, workspaces
from gpuad.primitives.linalg.matrices import (
    adjoint,
    along_columns,
    along_rows,
    as_dtype_of,
    batched_axes,
    conjugate,
    diagonal,
    mirrored,
    on_diagonal,
    product,
    real_part,
    scaled,
)
from gpuad.primitives.linalg.solving import inverse
from gpuad.primitives.reduction import argmax, reduce_max, reduce_sum, spread
from gpuad.primitives.sources import iota


def _vector(a: Aval, n: int, dtype: Any = None) -> Aval:
    return Aval((*a.shape[:-2], n), dtype or real_dtype(a.dtype))


def gap_of(dtype: Any, n: int) -> float:
    """Below which relative difference two values coincide."""
    return float(4 * n * np.finfo(dtype).eps)


def _scale(w: Any) -> Any:
    """The largest magnitude among values, for each of them."""
    last = w.aval.ndim - 1
    if not w.aval.size:
        return ew.abs_(w)
    return spread(reduce_max(ew.abs_(w), axes=(last,)), w.aval, (last,))


def _reciprocal(x: Any, scale: Any, mask: bool, n: int) -> Any:
    """1 / x; 0 where x is below the gap, with `mask`."""
    if not mask:
        return ew.div(1.0, x)
    small = ew.le(ew.abs_(x), ew.mul(scale, gap_of(x.aval.dtype, n)))
    return ew.select(small, 0.0, ew.div(1.0, ew.select(small, 1.0, x)))


def _differences(w: Any, like: Any, mask: bool) -> Any:
    """1 / (w_j - w_i), and 0 on the diagonal."""
    difference = ew.sub(along_rows(w, like), along_columns(w, like))
    difference = on_diagonal(difference, 1.0, difference)
    scale = along_rows(_scale(w), like)
    factor = _reciprocal(difference, scale, mask, w.aval.shape[-1])
    return as_dtype_of(on_diagonal(factor, 0.0, factor), like)


# eigh: the eigenvalues w, ascending, and vectors, the columns of v, of the Hermitian matrix with
# the lower triangle of `a`. With M = vᴴ a' v: w' = diag(M) and v' = v (M_ij / (w_j - w_i), i ≠ j).
# With `any_sign`, nothing depends on the signs of the vectors.


def _eigh_jvp(primals: Any, tangents: Any, out: Any, mask: bool, any_sign: bool) -> Any:
    w, v = out
    moved = product(adjoint(v), product(mirrored(tangents[0]), v))
    turn = ew.mul(_differences(w, moved, mask), moved)
    return real_part(diagonal(moved)), product(v, turn)


eigh = differentiable(
    "eigh",
    infer=lambda a, mask, any_sign: (_vector(a, a.shape[-1]), a),
    run=lambda xp, a, mask, any_sign: tuple(xp.linalg.eigh(a)),
    axes=batched_axes,
    jvp=_eigh_jvp,
    multiple=True,
    workspace=workspaces.in_numpy(workspaces.square(3.0)),
    gpu_workspace=gpu_workspaces.copies(1),
)

eigvalsh = differentiable(
    "eigvalsh",
    infer=lambda a: _vector(a, a.shape[-1]),
    run=lambda xp, a: xp.linalg.eigvalsh(a),
    axes=batched_axes,
    jvp=lambda primals, tangents, out: _eigvalsh_jvp(*primals, *tangents),
    workspace=workspaces.in_numpy(workspaces.square(1.0, 40)),
    gpu_workspace=gpu_workspaces.copies(1),
)


def _eigvalsh_jvp(a: Any, a_dot: Any) -> Any:
    _, v = eigh(a, mask=False, any_sign=True)
    return real_part(diagonal(product(adjoint(v), product(mirrored(a_dot), v))))


# eig: the eigenvalues and vectors of any square matrix, complex. LAPACK makes each vector a unit
# vector whose largest component is real, and its derivative keeps that.


def _complex(a: Aval) -> Any:
    return np.result_type(a.dtype, np.complex64)


def _eig_array(xp: Any, a: Any, mask: bool) -> Any:
    w, v = xp.linalg.eig(a)
    dtype = np.result_type(a.dtype, np.complex64)
    return w.astype(dtype, copy=False), v.astype(dtype, copy=False)


def _eig_jvp(primals: Any, tangents: Any, out: Any, mask: bool) -> Any:
    w, v = out
    moved = product(inverse(v), product(as_dtype_of(tangents[0], v), v))
    turned = product(v, ew.mul(_differences(w, moved, mask), moved))
    return diagonal(moved), _kept_normal(v, turned)


def _kept_normal(v: Any, v_dot: Any) -> Any:
    """`v_dot` with a multiple of each vector added, so that its length stays 1 and its largest
    component real."""
    axis = v.aval.ndim - 2
    along = reduce_sum(ew.mul(conjugate(v), v_dot), axes=(axis,))
    size = ew.abs_(v)
    at_top = ew.eq(iota(size.aval.shape, axis), spread(argmax(size, axis=axis), size.aval, (axis,)))
    top, top_dot = [reduce_sum(ew.select(at_top, x, 0.0), axes=(axis,)) for x in (v, v_dot)]
    turn = as_dtype_of(ew.div(ew.imag(top_dot), ew.real(top)), v)
    length = as_dtype_of(ew.real(along), v)
    return ew.sub(v_dot, scaled(v, ew.add(length, ew.mul(turn, 1j))))


eig = differentiable(
    "eig",
    infer=lambda a, mask: (_vector(a, a.shape[-1], _complex(a)), a.with_dtype(_complex(a))),
    run=_eig_array,
    axes=batched_axes,
    jvp=_eig_jvp,
    multiple=True,
    workspace=workspaces.in_numpy(workspaces.eig_elements),
    gpu_workspace=gpu_workspaces.eig,
)


def _eigvals_array(xp: Any, a: Any) -> Any:
    return xp.linalg.eigvals(a).astype(np.result_type(a.dtype, np.complex64), copy=False)


eigvals = differentiable(
    "eigvals",
    infer=lambda a: _vector(a, a.shape[-1], _complex(a)),
    run=lambda xp, a: _eigvals_array(xp, a),
    axes=batched_axes,
    jvp=lambda primals, tangents, out: _eigvals_jvp(*primals, *tangents),
    workspace=workspaces.in_numpy(workspaces.eigvals_elements),
    gpu_workspace=gpu_workspaces.copies(4),
)


def _eigvals_jvp(a: Any, a_dot: Any) -> Any:
    _, v = eig(a, mask=False)
    return diagonal(product(inverse(v), product(as_dtype_of(a_dot, v), v)))


# svd: a = u diag(s) vh, with k = min(m, n) columns of u and rows of vh. The derivative is that of
# Townsend (2016); for complex matrices u and v turn by equal phases, half each.


def _svd_infer(a: Aval, mask: bool) -> tuple[Aval, Aval, Aval]:
    *lead, m, n = a.shape
    k = min(m, n)
    return Aval((*lead, m, k), a.dtype), _vector(a, k), Aval((*lead, k, n), a.dtype)


def _svd_jvp(primals: Any, tangents: Any, out: Any, mask: bool) -> Any:
    (a_dot,), (u, s, vh) = tangents, out
    v = adjoint(vh)
    m, n = a_dot.aval.shape[-2:]
    moved = product(adjoint(u), product(a_dot, v))
    scale = _scale(s)
    wide, tall = along_rows(s, moved), along_columns(s, moved)
    square = ew.mul(ew.sub(wide, tall), ew.add(wide, tall))
    square = on_diagonal(wide, 1.0, square)
    largest = ew.mul(along_rows(scale, moved), ew.add(wide, tall))
    factor = _reciprocal(square, largest, mask, min(m, n))
    factor = as_dtype_of(on_diagonal(wide, 0.0, factor), moved)
    columns, rows = [ew.mul(as_dtype_of(x, moved), moved) for x in (wide, tall)]
    u_dot = ew.mul(factor, ew.add(columns, adjoint(columns)))
    v_dot = ew.mul(factor, ew.add(rows, adjoint(rows)))
    inverse = _reciprocal(s, scale, mask, max(m, n))
    if moved.aval.dtype.kind == "c":
        phase = ew.mul(ew.sub(moved, adjoint(moved)), 0.5)
        phase = ew.mul(phase, along_rows(as_dtype_of(inverse, moved), moved))
        u_dot = on_diagonal(moved, phase, u_dot)
    u_dot, v_dot = product(u, u_dot), product(v, v_dot)
    if m > n:
        u_dot = ew.add(u_dot, scaled(_across(u, product(a_dot, v)), inverse))
    if n > m:
        v_dot = ew.add(v_dot, scaled(_across(v, product(adjoint(a_dot), u)), inverse))
    return u_dot, real_part(diagonal(moved)), adjoint(v_dot)


def _across(u: Any, x: Any) -> Any:
    """The part of `x` that is orthogonal to the columns of `u`."""
    return ew.sub(x, product(u, product(adjoint(u), x)))


svd = differentiable(
    "svd",
    infer=_svd_infer,
    run=lambda xp, a, mask: tuple(xp.linalg.svd(a, full_matrices=False)),
    axes=batched_axes,
    jvp=_svd_jvp,
    multiple=True,
    workspace=workspaces.in_numpy(workspaces.svd_elements),
    gpu_workspace=gpu_workspaces.svd,
)

singular_values = differentiable(
    "singular_values",
    infer=lambda a: _vector(a, min(a.shape[-2:])),
    run=lambda xp, a: xp.linalg.svd(a, compute_uv=False),
    axes=batched_axes,
    jvp=lambda primals, tangents, out: _singular_values_jvp(*primals, *tangents),
    workspace=workspaces.in_numpy(workspaces.square(1.0, 40)),
    gpu_workspace=gpu_workspaces.copies(1),
)


def _singular_values_jvp(a: Any, a_dot: Any) -> Any:
    u, _, vh = svd(a, mask=False)
    return real_part(diagonal(product(adjoint(u), product(a_dot, adjoint(vh)))))


def rank(s: Any, limit: float) -> Any:
    """How many singular values are larger than `limit` times the largest: a number without a
    derivative."""
    last = s.aval.ndim - 1
    if not s.aval.shape[last]:
        return ew.cast(reduce_sum(s, axes=(last,)), dtype=np.dtype(np.intp))
    counted = ew.gt(s, ew.mul(_scale(s), limit))
    return reduce_sum(ew.cast(counted, dtype=np.dtype(np.intp)), axes=(last,))
