"""What the functions of linear algebra do with their arguments."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import promote
from gpuad.numpy._dispatch import broadcast_to_shape, cast_to
from gpuad.primitives.linalg.factorization import hermitian, lu
from gpuad.primitives.linalg.matrices import adjoint, apart, columns_of, identity
from gpuad.primitives.sources import stop_gradient
from gpuad.primitives.structure import reshape


def inexact(v: Atom, name: str) -> Atom:
    """`v` in the dtype that LAPACK computes in: integers and booleans become float64."""
    if v.aval.dtype.kind in "fc":
        if v.aval.dtype.char not in "fdFD":
            raise UnsupportedError(
                f"{name} is not defined for {v.aval.dtype}; convert with .astype(np.float32) first."
            )
        return v
    return cast_to(v, np.dtype(float))


def together(values: Sequence[Atom], name: str) -> list[Atom]:
    """The values in one dtype that LAPACK computes in."""
    return promote([inexact(v, name) for v in values])


def matrix(v: Atom, name: str) -> Atom:
    """`v` as matrices, checked."""
    if v.aval.ndim < 2:
        raise ArgumentError(
            f"{name}: an array of shape {v.aval.shape} is no matrix; give two axes or more."
        )
    return inexact(v, name)


def square(v: Atom, name: str) -> Atom:
    """`v` as square matrices, checked."""
    v = matrix(v, name)
    if v.aval.shape[-1] != v.aval.shape[-2]:
        raise ArgumentError(f"{name}: shape {v.aval.shape} is no square matrix; give one.")
    return v


def hermitian_of(v: Atom, lower: bool, name: str) -> Atom:
    """The Hermitian matrix with this triangle of `v`."""
    v = square(v, name)
    return hermitian(v if lower else adjoint(v))


def is_lower(uplo: Any, name: str) -> bool:
    """Which triangle is read, from an argument that is "L" or "U"."""
    if str(uplo).upper() not in ("L", "U"):
        raise ArgumentError(f"{name}: UPLO={uplo!r}; give 'L' or 'U'.")
    return str(uplo).upper() == "L"


def masking(degenerate: str, name: str) -> bool:
    if degenerate not in ("nan", "mask"):
        raise ArgumentError(
            f"{name}: degenerate={degenerate!r}; give 'nan', or 'mask' to leave out of the "
            "derivative what turns vectors of equal values into each other."
        )
    return degenerate == "mask"


def factors(a: Atom) -> Any:
    """The LU factors of `a`, for operations whose derivative is by `a` itself."""
    return lu(stop_gradient(a))


def matched(a: Atom, b: Atom, name: str) -> tuple[Atom, Atom, int]:
    """Matrices and right-hand sides (with two axes or more) with one batch.

    If only the right-hand sides have a batch, it is made more columns; its size is returned (else
    0), to be undone by `unmatched`.
    """
    if a.aval.shape[-1] != b.aval.shape[-2]:
        raise ArgumentError(
            f"{name}: a matrix of shape {a.aval.shape} and right-hand sides of shape "
            f"{b.aval.shape} do not match: {b.aval.shape[-2]} rows where {a.aval.shape[-1]} are "
            "needed; transpose or reshape one."
        )
    if a.aval.ndim == 2 and b.aval.ndim > 2 and b.aval.size:
        n, k = b.aval.shape[-2:]
        size = int(np.prod(b.aval.shape[:-2]))
        return a, columns_of(size, reshape(b, shape=(size, n, k))), size
    a, b = in_one_batch([a, b], name)
    return a, b, 0


def in_one_batch(values: Sequence[Atom], name: str) -> list[Atom]:
    """The matrices with leading axes that are broadcast together."""
    try:
        lead = np.broadcast_shapes(*[v.aval.shape[:-2] for v in values])
    except ValueError:
        found = " and ".join([str(v.aval.shape) for v in values])
        raise ArgumentError(
            f"{name}: the leading axes of shapes {found} do not broadcast together; insert axes "
            "with x[:, None] or reshape."
        ) from None
    return [broadcast_to_shape(v, (*lead, *v.aval.shape[-2:])) for v in values]


def unmatched(x: Atom, size: int, shape: tuple[int, ...]) -> Atom:
    """The solutions for the right-hand sides of this shape, see `matched`."""
    if not size:
        return x
    return reshape(apart(size, x), shape=(*shape[:-2], x.aval.shape[-2], shape[-1]))


def identity_like(v: Atom) -> Atom:
    """Identity matrices of the shape and dtype of `v`."""
    return identity(v.aval)


def as_columns(b: Atom) -> Atom:
    """A vector as a matrix of one column; anything else as it is."""
    return reshape(b, shape=(b.aval.size, 1)) if b.aval.ndim == 1 else b


def number(x: Any, name: str, argument: str) -> float:
    """An argument that must be a number, not a traced one."""
    if hasattr(x, "_trace"):
        raise UnsupportedError(
            f"{name}({argument}=...) is traced and has no derivative; give a number, or "
            "float(ad.stop_gradient(x))."
        )
    return float(x)
