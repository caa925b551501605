"""Products of arrays summed over axes: matmul and its kin, tensordot, einsum, convolution."""

import operator
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import alias, check_layout, existing, into, promote, shape_of
from gpuad.numpy._dispatch import (
    implements,
    normalize_axis,
)
from gpuad.numpy._einsum import Labels, contract, contraction_path, letters_of, parse
from gpuad.numpy.manipulation import atleast_1d, moveaxis
from gpuad.primitives import elementwise as ew
from gpuad.primitives import structure
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.convolution import convolve_full
from gpuad.tracing.record import apply

# Batched products


def matmul_of(x: Atom, y: Atom) -> Atom:
    """The matrix product of two values of one dtype, with NumPy's rules for their axes."""
    x_core = (1, 0) if x.aval.ndim > 1 else (0,)
    y_core = (0, 2) if y.aval.ndim > 1 else (0,)
    return _batched("matmul", x, y, x_core, y_core)


def _batched(name: str, x: Atom, y: Atom, x_core: Labels, y_core: Labels) -> Atom:
    """The sum of products over label 0; axes in front of the named ones are broadcast together."""
    x_shape, y_shape = x.aval.shape, y.aval.shape
    x_lead, y_lead = len(x_shape) - len(x_core), len(y_shape) - len(y_core)
    if x_lead < 0 or y_lead < 0 or not x_shape or not y_shape:
        raise ArgumentError(
            f"{name}: arrays of shapes {x_shape} and {y_shape} have too few axes; "
            f"give at least {len(x_core)} and {len(y_core)}, or multiply with *."
        )
    i, j = x_lead + x_core.index(0), y_lead + y_core.index(0)
    if x_shape[i] != y_shape[j]:
        raise ArgumentError(
            f"{name}: shapes {x_shape} and {y_shape} do not match: axis {i} of the first has size "
            f"{x_shape[i]} and axis {j} of the second {y_shape[j]}; transpose or reshape one."
        )
    if not y_lead:
        return dot_general(x, y, contract=((i,), (j,)), batch=((), ()))
    _check_broadcast(name, x_shape, y_shape, x_shape[:x_lead], y_shape[:y_lead])
    x_labels, y_labels = (*range(-x_lead, 0), *x_core), (*range(-y_lead, 0), *y_core)
    free = [label for label in (*x_core, *y_core) if label]
    output = (*range(-max(x_lead, y_lead), 0), *free)
    return contract([x, y], [x_labels, y_labels], output, ((0, 1),))


def _check_broadcast(name: str, x: Any, y: Any, x_lead: Any, y_lead: Any) -> None:
    try:
        np.broadcast_shapes(x_lead, y_lead)
    except ValueError:
        raise ArgumentError(
            f"{name}: the leading axes of shapes {x} and {y} do not broadcast together; "
            "insert axes with x[:, None] or reshape."
        ) from None


def _generalized(name: str, rule: Any, x1: Any, x2: Any, out: Any, axes: Any, order: Any,
                 dtype: Any, casting: str) -> Any:  # fmt: skip
    """A function of the last axes, which ``axes=`` may name in operands and result instead."""
    check_layout(order, name)
    places = [i if isinstance(i, tuple) else (i,) for i in axes or ()]
    if axes is not None and len(places) not in (2, 3):
        raise ArgumentError(f"{name}: axes={axes}; give those of both operands and of the result.")
    for k, place in enumerate(places[:2]):
        last = tuple(range(-len(place), 0))
        x1, x2 = (moveaxis(x1, place, last), x2) if not k else (x1, moveaxis(x2, place, last))
    result = apply(lambda x, y: rule(*promote([x, y], dtype, casting)), x1, x2)
    for place in places[2:]:
        result = moveaxis(result, tuple(range(-len(place), 0)), place)
    return into(result, out)


@implements(np.matmul, np.linalg.matmul)
def matmul(x1: Any, x2: Any, /, out: Any = None, *, axes: Any = None, casting: str = "same_kind",
           order: str = "K", dtype: Any = None) -> Any:  # fmt: skip
    """The matrix product ``x1 @ x2``, batch by batch along the axes before the last two.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> A = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> ad.grad(lambda x: x @ A @ x)(np.array([1.0, 1.0]))
    array([ 7., 13.])
    """
    return _generalized("matmul", matmul_of, x1, x2, out, axes, order, dtype, casting)


alias("linalg.matmul", matmul)


def _conjugate(x: Atom) -> Atom:
    return ew.conj(x) if x.aval.dtype.kind == "c" else x


def last_axis(x: Atom, axis: int, name: str) -> Atom:
    """`x` with an axis moved to the end."""
    return structure.move_axis(x, normalize_axis(axis, x.aval.ndim, name), x.aval.ndim - 1)


@implements(*existing("vecdot"), np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, out: Any = None, *, axes: Any = None, axis: int = -1,
           keepdims: bool = False, casting: str = "same_kind", order: str = "K",
           dtype: Any = None) -> Any:  # fmt: skip
    """The dot products of vectors along an axis; the first is conjugated."""

    def rule(x: Atom, y: Atom) -> Atom:
        x, y = [last_axis(v, axis, "vecdot") for v in (x, y)]
        result = _batched("vecdot", _conjugate(x), y, (0,), (0,))
        place = normalize_axis(axis, result.aval.ndim + 1, "vecdot")
        return structure.expand(result, (place,)) if keepdims else result

    return _generalized("vecdot", rule, x1, x2, out, axes, order, dtype, casting)


alias("linalg.vecdot", vecdot)


@implements(*existing("matvec"))
def matvec(x1: Any, x2: Any, /, out: Any = None, *, axes: Any = None, casting: str = "same_kind",
           order: str = "K", dtype: Any = None) -> Any:  # fmt: skip
    """Matrices times vectors, along the last two axes and the last."""

    def rule(x: Atom, y: Atom) -> Atom:
        return _batched("matvec", x, y, (1, 0), (0,))

    return _generalized("matvec", rule, x1, x2, out, axes, order, dtype, casting)


@implements(*existing("vecmat"))
def vecmat(x1: Any, x2: Any, /, out: Any = None, *, axes: Any = None, casting: str = "same_kind",
           order: str = "K", dtype: Any = None) -> Any:  # fmt: skip
    """Vectors, conjugated, times matrices, along the last axis and the last two."""

    def rule(x: Atom, y: Atom) -> Atom:
        return _batched("vecmat", _conjugate(x), y, (0,), (0, 2))

    return _generalized("vecmat", rule, x1, x2, out, axes, order, dtype, casting)


# Products of all axes with all axes


def _dotted(name: str, x: Atom, y: Atom, x_axes: Any, y_axes: Any) -> Atom:
    """Products summed over pairs of axes."""
    x, y = promote([x, y])
    for i, j in zip(x_axes, y_axes, strict=True):
        if x.aval.shape[i] != y.aval.shape[j]:
            raise ArgumentError(
                f"{name}: shapes {x.aval.shape} and {y.aval.shape} do not match: axis {i} of the "
                f"first has size {x.aval.shape[i]} and axis {j} of the second "
                f"{y.aval.shape[j]}; transpose or reshape one."
            )
    return dot_general(x, y, contract=(tuple(x_axes), tuple(y_axes)), batch=((), ()))


@implements(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """Products summed over the last axis of `a` and the last but one (or only one) of `b`."""

    def record(x: Atom, y: Atom) -> Atom:
        if not x.aval.ndim or not y.aval.ndim:
            return _dotted("dot", x, y, (), ())
        return _dotted("dot", x, y, (x.aval.ndim - 1,), (max(y.aval.ndim - 2, 0),))

    return into(apply(record, a, b), out)


@implements(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    """Products summed over the last axes of both."""

    def record(x: Atom, y: Atom) -> Atom:
        if not x.aval.ndim or not y.aval.ndim:
            return _dotted("inner", x, y, (), ())
        return _dotted("inner", x, y, (x.aval.ndim - 1,), (y.aval.ndim - 1,))

    return apply(record, a, b)


def _flat(v: Atom) -> Atom:
    return structure.reshape(v, (v.aval.size,))


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """The product of every element of `a` with every element of `b`."""
    return into(apply(lambda x, y: _dotted("outer", _flat(x), _flat(y), (), ()), a, b), out)


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """The dot product of all elements; the first are conjugated."""
    return apply(lambda x, y: _dotted("vdot", _conjugate(_flat(x)), _flat(y), (0,), (0,)), a, b)


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Products summed over the last `axes` axes of `a` and first of `b`, or over pairs of axes."""
    a_ndim, b_ndim = len(shape_of(a)), len(shape_of(b))
    if isinstance(axes, tuple | list):
        a_axes, b_axes = [x if isinstance(x, tuple | list) else (x,) for x in axes]
    else:
        n = operator.index(axes)
        a_axes, b_axes = tuple(range(a_ndim - n, a_ndim)), tuple(range(n))
    a_axes = [normalize_axis(i, a_ndim, "tensordot") for i in a_axes]
    b_axes = [normalize_axis(i, b_ndim, "tensordot") for i in b_axes]
    if len(a_axes) != len(b_axes):
        raise ArgumentError(
            f"tensordot: axes {axes} name {len(a_axes)} axes of the first array and {len(b_axes)} "
            "of the second; give as many."
        )
    return apply(lambda x, y: _dotted("tensordot", x, y, a_axes, b_axes), a, b)


alias("linalg.tensordot", tensordot)


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Every element of `a` times the array `b`, side by side."""

    def record(x: Atom, y: Atom) -> Atom:
        ndim = max(x.aval.ndim, y.aval.ndim)
        x, y = [structure.expand(v, tuple(range(ndim - v.aval.ndim))) for v in (x, y)]
        product = _dotted("kron", x, y, (), ())
        shape = tuple([n * m for n, m in zip(x.aval.shape, y.aval.shape, strict=True)])
        perm = tuple([axis for i in range(ndim) for axis in (i, ndim + i)])
        return structure.reshape(structure.transpose(product, perm), shape)

    return apply(record, a, b)


# einsum


@implements(np.einsum, view="inner")
def einsum(
    *operands: Any, out: Any = None, optimize: Any = None, dtype: Any = None,
    casting: str = "safe", order: Any = "K",
) -> Any:  # fmt: skip
    """Sums of products by labels: ``einsum("ij,jk->ik", A, B)``, ``einsum(A, [0, 1], B, [1, 2])``.

    The order of contraction is the best one for up to five operands and a greedy one for more;
    `optimize` may be "optimal", "greedy" or a path from `numpy.einsum_path`. Of one array without a
    sum (``"ii->i"``, ``"ij->ji"``) it is a view, as NumPy's, whose `dtype` it is of.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, A = np.array([1.0, 2.0]), np.array([[2.0, 0.0], [1.0, 3.0]])
    >>> ad.grad(lambda x: np.einsum("i,ij,j->", x, A, x))(x)
    array([ 6., 13.])
    """
    subscripts, arrays = _subscripts(operands)
    terms, output = parse(subscripts, [shape_of(x) for x in arrays])
    if len(arrays) == 1 and out is None and set(terms[0]) == set(output):
        return einsum_of_one(arrays[0], subscripts)
    return _sum_of_products(subscripts, *arrays, out=out, optimize=optimize, dtype=dtype,
                            casting=casting)  # fmt: skip


@implements(name="_sum_of_products")
def _sum_of_products(
    subscripts: str, *arrays: Any, out: Any, optimize: Any, dtype: Any, casting: str
) -> Any:
    terms, output = parse(subscripts, [shape_of(x) for x in arrays])
    path = _path(subscripts, arrays, optimize)
    result = apply(lambda *vs: contract(promote(vs, dtype, casting), terms, output, path), *arrays)
    return into(result, out)


@implements(name="_einsum_of_one", view=True)
def einsum_of_one(x: Any, subscripts: str) -> Any:
    """The view that einsum gives of one array: diagonals and another order of axes."""
    (labels,), output = parse(subscripts, [shape_of(x)])
    return apply(lambda v: contract([v], [labels], output, ((0,),)), x)


def _subscripts(operands: Any) -> tuple[str, list[Any]]:
    """Both notations of einsum as the one in letters."""
    if not operands:
        raise ArgumentError("einsum: nothing is given; give subscripts and arrays.")
    if isinstance(operands[0], str):
        return operands[0], list(operands[1:])
    arrays = list(operands[: len(operands) // 2 * 2 : 2])
    text = ",".join([letters_of(sublist) for sublist in operands[1::2]])
    if len(operands) % 2:
        text += "->" + letters_of(operands[-1])
    return text, arrays


def _path(subscripts: str, arrays: Any, optimize: Any) -> Any:
    if isinstance(optimize, list | tuple) and optimize and optimize[0] == "einsum_path":
        return tuple([tuple(step) for step in optimize[1:]])
    optimize = tuple(optimize) if isinstance(optimize, list) else optimize
    return contraction_path(subscripts, tuple([shape_of(x) for x in arrays]), optimize)


@implements(np.einsum_path)
def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """NumPy's, which needs only the shapes of the arrays."""
    subscripts, arrays = _subscripts(operands)
    stand_ins = [np.broadcast_to(np.empty(()), shape_of(x)) for x in arrays]
    return np.einsum_path(subscripts, *stand_ins, optimize=optimize)


# Convolution


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The discrete convolution of two vectors, in mode "full", "same" or "valid"."""
    a, v = _vectors("convolve", a, v, mode)

    def record(x: Atom, y: Atom) -> Atom:
        x, y = promote([x, y])
        return _part(x, y, mode, False)

    return apply(record, a, v)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The correlation of two vectors: the convolution of `a` with `v` conjugated and reversed."""
    a, v = _vectors("correlate", a, v, mode)

    def record(x: Atom, y: Atom) -> Atom:
        x, y = promote([x, y])
        return _part(x, structure.flip(_conjugate(y), axes=(0,)), mode, True)

    return apply(record, a, v)


def _vectors(name: str, a: Any, v: Any, mode: str) -> tuple[Any, Any]:
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"{name}: mode {mode!r}; give 'full', 'same' or 'valid'.")
    a, v = [atleast_1d(x) for x in (a, v)]
    shapes = [shape_of(x) for x in (a, v)]
    if any(len(s) != 1 or not s[0] for s in shapes):
        raise ArgumentError(
            f"{name}: shapes {shapes[0]} and {shapes[1]}; give two vectors, neither empty."
        )
    return a, v


def _part(x: Atom, y: Atom, mode: str, of_correlation: bool) -> Atom:
    """The middle part of a full convolution."""
    full = convolve_full(x, y, batch=0)
    longer, shorter = max(x.aval.size, y.aval.size), min(x.aval.size, y.aval.size)
    if mode == "full":
        return full
    if mode == "valid":
        return structure.slice_axis(full, 0, shorter - 1, longer)
    # NumPy counts from the other end where the second of two correlated vectors is the longer.
    swapped = of_correlation and x.aval.size < y.aval.size
    start = shorter // 2 if swapped else (shorter - 1) - shorter // 2
    return structure.slice_axis(full, 0, start, start + longer)


__all__ = [
    "convolve", "correlate", "dot", "einsum", "einsum_path", "inner", "kron", "matmul", "matvec",
    "outer", "tensordot", "vdot", "vecdot", "vecmat",
]  # fmt: skip
