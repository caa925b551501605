"""Operations on matrices, the last two axes, in which the rules of linear algebra are written."""

from collections.abc import Sequence
from typing import Any

from gpuad.ir.aval import Aval
from gpuad.ir.primitive import Axes
from gpuad.primitives import elementwise as ew
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.declare import with_leading_axis
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.sources import iota
from gpuad.primitives.structure import broadcast, reshape, transpose
from gpuad.primitives.structure import diagonal as _diagonal


def product(x: Any, y: Any) -> Any:
    """The matrix product, for each index of the batch."""
    n = x.aval.ndim - 2
    lead = tuple(range(n))
    return dot_general(x, y, contract=((n + 1,), (n,)), batch=(lead, lead))


def swapped(x: Any) -> Any:
    """xᵀ."""
    n = x.aval.ndim
    return transpose(x, perm=(*range(n - 2), n - 1, n - 2))


def conjugate(x: Any) -> Any:
    return ew.conj(x) if x.aval.dtype.kind == "c" else x


def adjoint(x: Any) -> Any:
    """xᴴ."""
    return conjugate(swapped(x))


def real_part(x: Any) -> Any:
    return ew.real(x) if x.aval.dtype.kind == "c" else x


def as_dtype_of(x: Any, like: Any) -> Any:
    """A real value as a complex one, if `like` is complex."""
    return x if x.aval.dtype == like.aval.dtype else ew.cast(x, dtype=like.aval.dtype)


def hermitian_part(x: Any) -> Any:
    """(x + xᴴ) / 2."""
    return ew.mul(ew.add(x, adjoint(x)), 0.5)


def where_places(like: Aval, compare: Any) -> Any:
    """Where ``compare(row, column)`` holds, in matrices of this shape."""
    shape, n = like.shape[-2:], like.ndim
    inside = compare(iota(shape, 0), iota(shape, 1))
    return broadcast(inside, shape=like.shape, dims=(n - 2, n - 1))


def lower_triangle(x: Any, strict: bool = False) -> Any:
    """`x` with zeros above its diagonal; on it too, if `strict`."""
    return ew.inside(where_places(x.aval, ew.gt if strict else ew.ge), x)


def upper_triangle(x: Any, strict: bool = False) -> Any:
    return ew.inside(where_places(x.aval, ew.lt if strict else ew.le), x)


def mirrored(x: Any) -> Any:
    """The Hermitian matrices with the lower triangles of `x`."""
    below = lower_triangle(x, strict=True)
    return on_diagonal(x, real_inside(x), ew.add(below, adjoint(below)))


def real_inside(x: Any) -> Any:
    """The real part, in the dtype of `x`."""
    return x if x.aval.dtype.kind != "c" else ew.cast(ew.real(x), dtype=x.aval.dtype)


def on_diagonal(x: Any, on: Any, off: Any) -> Any:
    """`on` on the diagonal of matrices like `x`, and `off` beside it."""
    if isinstance(on, float):
        return ew.select(where_places(x.aval, ew.eq), on, off)
    on, off = [ew.inside(where_places(x.aval, c), y) for c, y in ((ew.eq, on), (ew.ne, off))]
    return ew.add(on, off)


def identity(like: Aval) -> Any:
    """Identity matrices of this shape and dtype."""
    return ew.cast(where_places(like, ew.eq), dtype=like.dtype)


def diagonal(x: Any) -> Any:
    n = x.aval.ndim
    return _diagonal(x, 0, n - 2, n - 1)


def trace(x: Any) -> Any:
    return reduce_sum(diagonal(x), axes=(x.aval.ndim - 2,))


def along_rows(v: Any, like: Any) -> Any:
    """v[..., j] in each row of matrices like `like`: multiplied with it, a scale of each column."""
    shape = like.aval.shape
    return broadcast(v, shape=shape, dims=(*range(len(shape) - 2), len(shape) - 1))


def along_columns(v: Any, like: Any) -> Any:
    """v[..., i] in each column of matrices like `like`."""
    shape = like.aval.shape
    return broadcast(v, shape=shape, dims=tuple(range(len(shape) - 1)))


def scaled(x: Any, v: Any) -> Any:
    """x diag(v)."""
    return ew.mul(x, along_rows(as_dtype_of(v, x), x))


def batched_axes(operands: Sequence[Aval], outputs: Sequence[Aval], **params: Any) -> Axes:
    """The axes before those of the matrices act on each index separately; how many these are, the
    first operand says."""
    lead = operands[0].ndim - 2
    return Axes(_labelled(operands, lead), _labelled(outputs, lead))


def _labelled(avals: Sequence[Aval], lead: int) -> tuple[tuple[int | None, ...], ...]:
    return tuple([tuple([i if i < lead else None for i in range(a.ndim)]) for a in avals])


def columns_of(size: int, b: Any) -> Any:
    """A batch of right-hand sides as more columns: (size, ..., n, k) becomes (..., n, size · k)."""
    n = b.aval.ndim
    *lead, rows, k = b.aval.shape[1:]
    b = transpose(b, perm=(*range(1, n - 1), 0, n - 1))
    return reshape(b, shape=(*lead, rows, size * k))


def apart(size: int, x: Any) -> Any:
    """The inverse of `columns_of`."""
    *lead, rows, columns = x.aval.shape
    x = reshape(x, shape=(*lead, rows, size, columns // size))
    n = x.aval.ndim
    return transpose(x, perm=(n - 2, *range(n - 2), n - 1))


def solve_batch(solve: Any, size: int, operands: Any, mapped: Any, params: dict) -> Any:
    """The batching rule of ``solve(*matrices, b)``: where only `b` is mapped, its batch is more
    right-hand sides for the same matrices."""
    *matrices, b = operands
    if size and not any(mapped[:-1]):
        return apart(size, solve(*matrices, columns_of(size, b), **params)), True
    lifted = [with_leading_axis(size, x, on) for x, on in zip(operands, mapped, strict=True)]
    return solve(*lifted, **params), True


# Derivatives f(a, t₁, …, t_k) of a function of a matrix, linear in each direction t and symmetric.


def moved_by_each(f: Any, primals: Any, tangents: Any) -> Any:
    """Its JVP rule: the tangent of `a` is one more direction."""
    total = None
    for k, t in enumerate(tangents):
        if t is not None:
            term = f(*primals, t) if k == 0 else f(*primals[:k], t, *primals[k + 1 :])
            total = term if total is None else ew.add(total, term)
    return total


def symmetric_transpose(f: Any, ct: Any, operands: Any) -> tuple[Any, ...]:
    """Its transposition, if its sum of products with a matrix is symmetric in this and the t."""
    (k,) = [i for i, x in enumerate(operands) if isinstance(x, Aval)]
    found = f(*operands[:k], ct, *operands[k + 1 :])
    return tuple([found if i == k else None for i in range(len(operands))])
