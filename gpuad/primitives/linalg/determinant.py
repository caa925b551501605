"""Determinants."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval, real_dtype
from gpuad.ir.primitive import zeros
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import differentiable
from gpuad.primitives.linalg import gpu_workspaces, workspaces
from gpuad.primitives.linalg.arrays import batches
from gpuad.primitives.linalg.matrices import (
    as_dtype_of,
    batched_axes,
    moved_by_each,
    symmetric_transpose,
    trace,
)
from gpuad.primitives.linalg.solving import factored_solve
from gpuad.primitives.reduction import reduce_sum


def _diagonal(xp: Any, packed: Any) -> Any:
    return xp.einsum("...ii->...i", packed)


def _odd(xp: Any, pivots: Any) -> Any:
    """Whether the interchanges make an odd permutation."""
    return ((pivots != xp.arange(pivots.shape[-1])).sum(-1) % 2).astype(bool)


# log_determinant: the sign (a number of modulus 1) and log|det a|, from the LU factors of `a` that
# are at hand. Their derivative is by `a`: (log det)' = tr(a⁻¹ a').


def _log_infer(a: Aval, packed: Aval, pivots: Aval, perm: Aval) -> tuple[Aval, Aval]:
    lead = a.shape[:-2]
    return Aval(lead, a.dtype), Aval(lead, real_dtype(a.dtype))


def _log_array(xp: Any, a: Any, packed: Any, pivots: Any, perm: Any) -> tuple[Any, Any]:
    d = _diagonal(xp, packed)
    size = abs(d)
    with np.errstate(all="ignore"):
        if d.dtype.kind == "c":
            unit = xp.where(size == 0, d, d / xp.where(size == 0, size.dtype.type(1), size))
        else:
            unit = xp.where(d < 0, d.dtype.type(-1), (d != 0).astype(d.dtype))
        sign = xp.where(_odd(xp, pivots), -1, 1).astype(d.dtype) * unit.prod(-1)
        return xp.asarray(sign, d.dtype), xp.asarray(xp.log(size).sum(-1))


def _log_jvp(primals: Any, tangents: Any, out: Any) -> tuple[Any, Any]:
    (a, packed, _, perm), (sign, _) = primals, out
    moved = factored_solve(
        a, packed, perm, tangents[0], kind="lu", transposed=False, refusing=False
    )
    rate = trace(moved)
    if sign.aval.dtype.kind != "c":
        return zeros(sign.aval), rate
    turn = ew.mul(as_dtype_of(ew.imag(rate), sign), 1j)
    return ew.mul(sign, turn), ew.real(rate)


log_determinant = differentiable(
    "log_determinant",
    infer=_log_infer,
    run=_log_array,
    axes=batched_axes,
    jvp=_log_jvp,
    multiple=True,
    workspace=workspaces.log_determinant,
)

# determinant: from the LU factors of `a`. It is a polynomial of the elements, which has derivatives
# where the matrix is singular, too: its gradient are the cofactors.


def _determinant_array(xp: Any, a: Any, packed: Any, pivots: Any) -> Any:
    sign = xp.where(_odd(xp, pivots), -1, 1).astype(packed.dtype)
    return xp.asarray(sign * _diagonal(xp, packed).prod(-1))


determinant = differentiable(
    "determinant",
    infer=lambda a, packed, pivots: Aval(a.shape[:-2], a.dtype),
    run=_determinant_array,
    axes=batched_axes,
    jvp=lambda primals, tangents, out: _inner(cofactors(primals[0]), tangents[0]),
    workspace=workspaces.columns,
)


def _inner(x: Any, y: Any) -> Any:
    n = x.aval.ndim
    return reduce_sum(ew.mul(x, y), axes=(n - 2, n - 1))


# cofactors: c with c_ij = ∂ det a / ∂ a_ij, (det a) a⁻ᵀ where `a` is regular. Near and where it is
# not they come from its singular values: det u · det v · conj(u) diag(Π s_k without s_i) conj(vh).


def _by_parts(xp: Any, a: Any, regular: Any, singular: Any, *others: Any) -> Any:
    """``regular(det, inv, ...)`` of the matrices of a batch that are far from singular,
    ``singular(a, ...)`` of the others; on a GPU, where choosing would wait for it, of all."""
    if xp is not np:
        return singular(xp, a, *others)
    det = np.linalg.det(a)
    eye = np.eye(a.shape[-1], dtype=a.dtype)
    inv = np.linalg.inv(np.where((abs(det) > 0)[..., None, None], a, eye))
    condition = np.linalg.norm(a, axis=(-2, -1)) * np.linalg.norm(inv, axis=(-2, -1))
    bad = ~((abs(det) > 0) & (condition < np.finfo(a.dtype).eps ** -0.2))
    bad &= np.isfinite(a).all(axis=(-2, -1))
    if bad.all():
        del inv
        return singular(np, a, *others)
    out = np.asarray(regular(det[..., None, None], inv, *others))
    del inv
    if bad.any():
        out[bad] = singular(np, a[bad], *[x[bad] for x in others])
    return out


def _in_batches(values: Callable[..., Any]) -> Callable[..., Any]:
    """On the CPU, the values of a few matrices after another: they need much memory."""

    def run(xp: Any, a: Any, *directions: Any) -> Any:
        if not a.size:
            return xp.zeros(a.shape, a.dtype)
        if xp is not np or a.ndim == 2:
            return values(xp, a, *directions)
        out = np.empty(a.shape, a.dtype)
        for i in batches(a.shape, a.itemsize):
            out[i] = values(xp, a[i], *[x[i] for x in directions])
        return out

    return run


def _without(xp: Any, s: Any, *left_out: Any) -> Any:
    """Products of the singular values, but for those whose indices are left out."""
    k = xp.arange(s.shape[-1])
    kept = xp.ones(1, bool)
    for i in left_out:
        kept = kept & (k != i[..., None])
    wide = s.reshape((*s.shape[:-1], *(1,) * (kept.ndim - 1), s.shape[-1]))
    return xp.where(kept, wide, 1).prod(-1)


def _without_pairs(xp: Any, s: Any) -> Any:
    """Products of the singular values but for the i-th and the j-th. Where there are many, it goes
    from value to value: all factors at once would be as many numbers as n³."""
    n = s.shape[-1]
    k = xp.arange(n)
    if n <= 4:
        return _without(xp, s, k[:, None], k[None, :])
    out = xp.ones((*s.shape[:-1], n, n), s.dtype)
    for i in range(n):
        row, column = out[..., i, :].copy(), out[..., i].copy()
        out *= s[..., i, None, None]
        out[..., i, :], out[..., i] = row, column
    return out


def _phase(xp: Any, u: Any, vh: Any) -> Any:
    return (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None]


def _singular_cofactors(xp: Any, a: Any) -> Any:
    u, s, vh = xp.linalg.svd(a)
    rest = _without(xp, s, xp.arange(s.shape[-1]))
    out = (u.conj() * rest[..., None, :]) @ vh.conj()
    out *= _phase(xp, u, vh)
    return out


@_in_batches
def _cofactors_array(xp: Any, a: Any) -> Any:
    return _by_parts(xp, a, lambda det, inv: det * inv.swapaxes(-1, -2), _singular_cofactors)


def _cofactors_jvp(primals: Any, tangents: Any, out: Any) -> Any:
    """Zero for matrices of one row, whose cofactor is 1: `_by_parts` calls all of them regular."""
    (a,), (t,) = primals, tangents
    return zeros(out.aval) if a.aval.shape[-1] == 1 else cofactors_moved(a, t)


cofactors = differentiable(
    "cofactors",
    infer=lambda a: a,
    run=_cofactors_array,
    axes=batched_axes,
    jvp=_cofactors_jvp,
    workspace=workspaces.cofactors(4),
    gpu_workspace=gpu_workspaces.copies(6),
)

# cofactors_moved: the derivative of the cofactors by `a` in the direction t; with more directions,
# the derivative of that in these. It is linear in each direction, and symmetric in all.


@_in_batches
def _moved_array(xp: Any, a: Any, t: Any, *others: Any) -> Any:
    return _moved_by(xp, a, t, *others)


def _moved_by(xp: Any, a: Any, t: Any, *others: Any) -> Any:
    if others:
        return _coefficient(xp, a, t, *others)
    return _by_parts(xp, a, _moved_regular, _moved_singular, t)


def _moved_regular(det: Any, inv: Any, t: Any) -> Any:
    rate = np.einsum("...ij,...ji->...", inv, t)[..., None, None]
    return det * (rate * inv - inv @ t @ inv).swapaxes(-1, -2)


def _moved_singular(xp: Any, a: Any, t: Any) -> Any:
    u, s, vh = xp.linalg.svd(a)
    i = xp.arange(s.shape[-1])
    moved = u.conj().swapaxes(-1, -2) @ t @ vh.conj().swapaxes(-1, -2)
    pairs = _without_pairs(xp, s)
    pairs[..., i, i] = 0
    on = (pairs @ _diagonal(xp, moved)[..., None])[..., 0]
    moved *= -pairs
    moved[..., i, i] = on
    del pairs
    out = u.conj() @ moved.swapaxes(-1, -2) @ vh.conj()
    out *= _phase(xp, u, vh)
    return out


def _coefficient(xp: Any, a: Any, *directions: Any) -> Any:
    """The derivative in the last direction: what comes before it is a polynomial along it, whose
    linear coefficient is a mean over a circle."""
    *others, last = directions
    lengths = [xp.linalg.norm(x, axis=(-2, -1), keepdims=True) for x in (a, last)]
    radius = xp.where(lengths[1] == 0, 1, xp.where(lengths[0] == 0, 1, lengths[0]) / lengths[1])
    count = max(2, a.shape[-1])
    total: Any = 0
    for k in range(count):
        turn = np.exp(2j * np.pi * k / count)
        here = (a + radius * turn * last).astype(np.result_type(a.dtype, np.complex64))
        total = total + _moved_by(xp, here, *others) / (turn * radius)
    total = total / count
    return (total if a.dtype.kind == "c" else total.real).astype(a.dtype)


cofactors_moved = differentiable(
    "cofactors_moved",
    infer=lambda a, *directions: a,
    run=_moved_array,
    axes=batched_axes,
    jvp=lambda primals, tangents, out: moved_by_each(cofactors_moved, primals, tangents),
    transpose=lambda ct, *operands: symmetric_transpose(cofactors_moved, ct, operands),
    workspace=workspaces.cofactors(5),
    gpu_workspace=gpu_workspaces.copies(12),
)
