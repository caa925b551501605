"""Functions of matrices: the exponential and the square root."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.primitives.declare import differentiable
from gpuad.primitives.linalg import arrays, gpu_workspaces, workspaces
from gpuad.primitives.linalg.matrices import (
    batched_axes,
    moved_by_each,
    swapped,
    symmetric_transpose,
)
from gpuad.primitives.linalg.solving import sylvester

# expm: the exponential of `a`; with directions e₁, …, e_k behind it, its k-th derivative in these,
# the upper right block of the exponential of a matrix of 2ᵏ × 2ᵏ blocks (Higham and Relton, 2014).
# It is linear in each direction, and symmetric: tr(c · expm(a, e)) = tr(e · expm(a, c)).


def _expm_array(xp: Any, a: Any, *directions: Any) -> Any:
    n = a.shape[-1]
    if not a.size:
        return xp.zeros(a.shape, a.dtype)
    for e in directions:
        repeated = a.shape[-1] // n
        wide = xp.zeros((*a.shape[:-2], 2 * a.shape[-1], 2 * a.shape[-1]), a.dtype)
        half = a.shape[-1]
        wide[..., :half, :half] = wide[..., half:, half:] = a
        for k in range(repeated):
            place = slice(k * n, (k + 1) * n)
            wide[..., place, half + k * n : half + (k + 1) * n] = e
        a = wide
    found = arrays.scipy_linalg(xp).expm(a) if xp is np else _each_expm(xp, a)
    return found[..., :n, -n:].copy() if directions else found


def _each_expm(xp: Any, a: Any) -> Any:
    out = xp.empty(a.shape, a.dtype)

    def one(a: Any, x: Any) -> None:
        x[...] = arrays.scipy_linalg(xp).expm(a)

    arrays.each(one, a.shape[:-2], a, out)
    return out


def _expm_transpose(ct: Any, *operands: Any) -> Any:
    found = symmetric_transpose(expm, swapped(ct), operands)
    return tuple([None if x is None else swapped(x) for x in found])


expm = differentiable(
    "expm",
    infer=lambda a, *directions: a,
    run=_expm_array,
    axes=batched_axes,
    jvp=lambda primals, tangents, out: moved_by_each(expm, primals, tangents),
    transpose=_expm_transpose,
    workspace=workspaces.expm,
    gpu_workspace=gpu_workspaces.expm,
)

# sqrtm: the principal square root, whose derivative solves x' x + x x' = a'.


def _sqrtm_array(xp: Any, a: Any) -> Any:
    out = xp.empty(a.shape, a.dtype)
    root = arrays.of_scipy(xp, "sqrtm")

    def one(a: Any, x: Any) -> None:
        found = root(a)
        if found.dtype.kind == "c" and x.dtype.kind != "c":
            raise ArgumentError("sqrtm: the matrix has no real square root; write sqrtm(a + 0j).")
        x[...] = found

    arrays.each(one, a.shape[:-2], a, out)
    return out


sqrtm = differentiable(
    "sqrtm",
    infer=lambda a: a,
    run=_sqrtm_array,
    axes=batched_axes,
    jvp=lambda primals, tangents, out: sylvester(out, out, tangents[0]),
    workspace=workspaces.sqrtm,
)
