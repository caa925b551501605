"""Solving linear systems: triangular ones, those of factored matrices, the inverse, Sylvester's."""

from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.primitive import Axes
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import differentiable
from gpuad.primitives.linalg import arrays, gpu_workspaces, workspaces
from gpuad.primitives.linalg.matrices import (
    batched_axes,
    conjugate,
    hermitian_part,
    lower_triangle,
    product,
    solve_batch,
    swapped,
    upper_triangle,
)


def _solve_axes(operands: Any, outputs: Any, **params: Any) -> Axes:
    """As `batched_axes`; and each right-hand side is solved for by itself."""
    found = batched_axes(operands, outputs)
    column = operands[-1].ndim
    return Axes(
        (*found.operands[:-1], (*found.operands[-1][:-1], column)),
        ((*found.outputs[0][:-1], column),),
    )


# triangular_solve: x with a x = b, or aᵀ x = b, where `a` is zero on one side of its diagonal: only
# its other side is read; with `unit`, not the diagonal either, which then is 1.


def _triangle(a: Any, lower: bool, unit: bool) -> Any:
    return (lower_triangle if lower else upper_triangle)(a, strict=unit)


def _triangular_jvp(primals: Any, tangents: Any, out: Any, **params: Any) -> Any:
    (a, _), (a_dot, b_dot) = primals, tangents
    if a_dot is not None:
        a_dot = _triangle(a_dot, params["lower"], params["unit"])
        moved = product(swapped(a_dot) if params["transposed"] else a_dot, out)
        b_dot = ew.neg(moved) if b_dot is None else ew.sub(b_dot, moved)
    return triangular_solve(a, b_dot, **params)


triangular_solve = differentiable(
    "triangular_solve",
    infer=lambda a, b, lower, transposed, unit: b,
    run=arrays.solve_triangular,
    axes=_solve_axes,
    jvp=_triangular_jvp,
    transpose=lambda ct, a, b, lower, transposed, unit: (
        None,
        triangular_solve(a, ct, lower=lower, transposed=not transposed, unit=unit),
    ),
    batch=lambda *args: solve_batch(triangular_solve, *args),
    workspace=workspaces.substitution,
    gpu_workspace=gpu_workspaces.substitution,
)


def solve_lower(a: Any, b: Any) -> Any:
    """a⁻¹ b for a lower triangular matrix."""
    return triangular_solve(a, b, lower=True, transposed=False, unit=False)


def solve_from_right(a: Any, b: Any, lower: bool, unit: bool = False) -> Any:
    """b a⁻¹ for a triangular matrix."""
    return swapped(triangular_solve(a, swapped(b), lower=lower, transposed=True, unit=unit))


# factored_solve: x with a x = b, or aᵀ x = b, from factors of `a` that are at hand: those of LU (in
# one array, and the permutation) or Cholesky's. They follow from `a`, so the derivative is by `a`
# and `b` alone. If `refusing`, a zero pivot raises NumPy's error on the CPU.


def _factored_array(xp: Any, a: Any, factor: Any, perm: Any, b: Any, **how: Any) -> Any:
    transposed = how["transposed"]
    if how["kind"] == "lu":
        if how["refusing"] and xp is np:
            arrays.refuse_singular_lu(factor)
        return arrays.solve_lu(xp, factor, perm, b, transposed)
    if not b.size:
        return xp.zeros(b.shape, b.dtype)
    return arrays.solve_cholesky(xp, factor, b, transposed)


def _factored_jvp(primals: Any, tangents: Any, out: Any, **how: Any) -> Any:
    (a, factor, perm, _), (a_dot, _, _, b_dot) = primals, tangents
    if a_dot is not None:
        moved = product(swapped(a_dot) if how["transposed"] else a_dot, out)
        b_dot = ew.neg(moved) if b_dot is None else ew.sub(b_dot, moved)
    return None if b_dot is None else factored_solve(a, factor, perm, b_dot, **how)


def _factored_transpose(ct: Any, a: Any, factor: Any, perm: Any, b: Any, **how: Any) -> Any:
    how["transposed"] = not how["transposed"]
    return None, None, None, factored_solve(a, factor, perm, ct, **how)


factored_solve = differentiable(
    "factored_solve",
    infer=lambda a, factor, perm, b, kind, transposed, refusing: b,
    run=_factored_array,
    axes=_solve_axes,
    jvp=_factored_jvp,
    transpose=_factored_transpose,
    batch=lambda *args: solve_batch(factored_solve, *args),
    workspace=workspaces.factored,
    gpu_workspace=gpu_workspaces.factored,
)

# inverse: a⁻¹.
inverse = differentiable(
    "inverse",
    infer=lambda a: a,
    run=lambda xp, a: xp.linalg.inv(a),
    axes=batched_axes,
    jvp=lambda primals, tangents, out: ew.neg(product(product(out, tangents[0]), out)),
    workspace=workspaces.in_numpy(workspaces.square(2.0)),
    gpu_workspace=gpu_workspaces.copies(1),
)

# pseudo_inverse: a⁺ without the singular values below `rcond` times the largest. The derivative is
# that of Golub and Pereyra (1973), for matrices whose rank does not change nearby. Its projections
# 1 - a a⁺ and 1 - a⁺ a are applied twice: rounding leaves eps times the condition number of what
# they take away, of which a⁺ a⁺ᴴ makes eps times the cube.


def _pseudo_inverse_array(xp: Any, a: Any, rcond: float, hermitian: bool) -> Any:
    extra = {"hermitian": True} if hermitian and xp is np else {}
    return xp.linalg.pinv(a, rcond, **extra)


def _pseudo_inverse_jvp(
    primals: Any, tangents: Any, out: Any, rcond: float, hermitian: bool
) -> Any:
    (a,), (a_dot,), p = primals, tangents, out
    if hermitian:
        a_dot = hermitian_part(a_dot)
    a_star, p_star = conjugate(swapped(a_dot)), conjugate(swapped(p))
    moved = product(product(p, a_dot), p)
    left = product(product(p, p_star), a_star)
    right = product(product(a_star, p_star), p)
    for _ in range(2):
        left = ew.sub(left, product(product(left, a), p))
        right = ew.sub(right, product(p, product(a, right)))
    return ew.add(ew.sub(left, moved), right)


def _swapped_aval(a: Aval) -> Aval:
    return Aval((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)


pseudo_inverse = differentiable(
    "pseudo_inverse",
    infer=lambda a, rcond, hermitian: _swapped_aval(a),
    run=_pseudo_inverse_array,
    axes=batched_axes,
    jvp=_pseudo_inverse_jvp,
    workspace=workspaces.pseudo_inverse,
    gpu_workspace=gpu_workspaces.copies(5),
)

# sylvester: x with a x + x b = q.


def _sylvester_array(xp: Any, a: Any, b: Any, q: Any) -> Any:
    out = xp.empty(q.shape, q.dtype)
    solve = arrays.of_scipy(xp, "solve_sylvester")

    def one(a: Any, b: Any, q: Any, x: Any) -> None:
        x[...] = solve(a, b, q)

    arrays.each(one, q.shape[:-2], a, b, q, out)
    return out


def _sylvester_jvp(primals: Any, tangents: Any, out: Any) -> Any:
    (a, b, _), (a_dot, b_dot, q_dot) = primals, tangents
    moved = [product(a_dot, out)] if a_dot is not None else []
    moved += [product(out, b_dot)] if b_dot is not None else []
    for term in moved:
        q_dot = ew.neg(term) if q_dot is None else ew.sub(q_dot, term)
    return sylvester(a, b, q_dot)


sylvester = differentiable(
    "sylvester",
    infer=lambda a, b, q: q,
    run=_sylvester_array,
    axes=batched_axes,
    jvp=_sylvester_jvp,
    transpose=lambda ct, a, b, q: (None, None, sylvester(swapped(a), swapped(b), ct)),
    workspace=workspaces.sylvester,
)
