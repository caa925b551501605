"""Contraction: products summed over shared axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Axes
from gpuad.primitives.declare import Role, bilinear, with_leading_axis
from gpuad.primitives.marked import with_marks
from gpuad.primitives.structure import (
    inverse_permutation,
    move_axis,
    transpose,
)
from gpuad.primitives.summing import MAX_RUN_RESULTS, WIDE, add_runs, cut, product_run

Pair = tuple[tuple[int, ...], tuple[int, ...]]


def _free(ndim: int, contract: Sequence[int], batch: Sequence[int]) -> list[int]:
    return [i for i in range(ndim) if i not in contract and i not in batch]


def _infer(x: Aval, y: Aval, contract: Pair, batch: Pair) -> Aval:
    shape = [x.shape[i] for i in batch[0]]
    shape += [x.shape[i] for i in _free(x.ndim, contract[0], batch[0])]
    shape += [y.shape[i] for i in _free(y.ndim, contract[1], batch[1])]
    return Aval(tuple(shape), x.dtype)


def _dot_array(xp: Any, x: Any, y: Any, contract: Pair, batch: Pair) -> Any:
    if not contract[0]:
        return _products(x, y, batch)
    run = _run_of(x, y, contract, batch)
    if run:
        return _in_runs(x, y, contract, batch, run)
    if not batch[0]:
        if len(contract[0]) == 1 and x.ndim <= 2 and y.ndim <= 2:
            (i,), (j,) = contract
            return xp.dot(x if i == x.ndim - 1 else x.T, y if j == 0 else y.T)
        return xp.tensordot(x, y, contract)
    x_free = _free(x.ndim, contract[0], batch[0])
    y_free = _free(y.ndim, contract[1], batch[1])
    lead = tuple([x.shape[i] for i in batch[0]])
    x_shape = tuple([x.shape[i] for i in x_free])
    y_shape = tuple([y.shape[i] for i in y_free])
    rows, shared, columns = _size(x_shape), _size([x.shape[i] for i in contract[0]]), _size(y_shape)
    x3 = x.transpose((*batch[0], *x_free, *contract[0])).reshape((*lead, rows, shared))
    y3 = y.transpose((*batch[1], *contract[1], *y_free)).reshape((*lead, shared, columns))
    return xp.matmul(x3, y3).reshape((*lead, *x_shape, *y_shape))


def _run_of(x: Any, y: Any, contract: Pair, batch: Pair) -> int:
    """The length of runs, if the product is made in runs (see `primitives.summing`); else 0."""
    if not isinstance(x, np.ndarray) or x.dtype not in WIDE:
        return 0
    length = max([x.shape[i] for i in contract[0]])
    return product_run(length, _size(_infer(x, y, contract, batch).shape))  # type: ignore[arg-type]


def _in_runs(x: Any, y: Any, contract: Pair, batch: Pair, run: int) -> Any:
    """The product as a sum of products of runs of the longest contracted axis, a batch of its
    own."""
    place = max(range(len(contract[0])), key=lambda k: x.shape[contract[0][k]])
    longest = contract[0][place], contract[1][place]
    (x, x_rest), (y, y_rest) = cut(x, longest[0], run), cut(y, longest[1], run)
    rest = _dot_array(np, x_rest, y_rest, contract, batch)
    i, j = longest
    within = _moved(contract[0], i, 1), _moved(contract[1], j, 1)
    apart = (i, *_moved(batch[0], i, 0)), (j, *_moved(batch[1], j, 0))
    return add_runs(_dot_array(np, x, y, within, apart), rest)


def _moved(axes: Sequence[int], cut_axis: int, place: int) -> tuple[int, ...]:
    """The numbers of axes after `cut_axis` became two axes: its own number is that of the first
    (`place` 0) or the second (1) of these."""
    return tuple([a + 1 if a > cut_axis else a + place * (a == cut_axis) for a in axes])


def _products(x: Any, y: Any, batch: Pair) -> Any:
    """The outer product, along the batch axes separately: nothing is contracted."""
    if not x.ndim or not y.ndim:  # a NumPy number must not become an array beside one of CuPy
        return x * y
    x_free, y_free = _free(x.ndim, (), batch[0]), _free(y.ndim, (), batch[1])
    x = x.transpose((*batch[0], *x_free))
    y = y.transpose((*batch[1], *y_free))
    x = x.reshape((*x.shape, *(1,) * len(y_free)))
    lead = len(batch[0])
    return x * y.reshape((*y.shape[:lead], *(1,) * len(x_free), *y.shape[lead:]))


def _size(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _transpose_x(ct: Any, x: Aval, y: Any, contract: Pair, batch: Pair) -> Any:
    """ct has axes (batch, x free, y free): contract it with y over y's free axes."""
    x_free = _free(x.ndim, contract[0], batch[0])
    y_free = _free(y.aval.ndim, contract[1], batch[1])
    lead = tuple(range(len(batch[0])))
    ct_y = tuple(range(len(lead) + len(x_free), ct.aval.ndim))
    # The result has axes (batch, x free, y's contracted axes in ascending order).
    out = dot_general(ct, y, contract=(ct_y, tuple(y_free)), batch=(lead, batch[1]))
    partner = dict(zip(contract[1], contract[0], strict=True))
    order = (*batch[0], *x_free, *[partner[i] for i in sorted(contract[1])])
    return transpose(out, perm=inverse_permutation(order))


def _transpose_y(ct: Any, x: Any, y: Aval, contract: Pair, batch: Pair) -> Any:
    lead = len(batch[0])
    x_free = len(_free(x.aval.ndim, contract[0], batch[0]))
    y_free = ct.aval.ndim - lead - x_free
    swapped = transpose(
        ct,
        perm=(
            *range(lead),
            *range(lead + x_free, lead + x_free + y_free),
            *range(lead, lead + x_free),
        ),
    )
    return _transpose_x(swapped, y, x, contract[::-1], batch[::-1])


def batched(product: Any, size: int, operands: Any, mapped: Any, params: dict) -> Any:
    """The batching rule of a product with the parameters of dot_general."""
    (x, y), contract, batch = operands, params["contract"], params["batch"]
    shift = [int(m) for m in mapped]
    contract = tuple([tuple([i + s for i in c]) for c, s in zip(contract, shift, strict=True)])
    batch = tuple([tuple([i + s for i in b]) for b, s in zip(batch, shift, strict=True)])
    if all(mapped):
        batch = ((0, *batch[0]), (0, *batch[1]))
        return product(x, y, contract=contract, batch=batch), True
    out = product(x, y, contract=contract, batch=batch)
    position = len(batch[0])
    if mapped[1]:
        position += len(_free(x.aval.ndim, contract[0], batch[0]))
    return move_axis(out, position, 0), True


def _axes(operands: Any, outputs: Any, contract: Pair, batch: Pair) -> Axes:
    x, y = operands
    x_labels = list(range(x.ndim))
    y_labels = list(range(x.ndim, x.ndim + y.ndim))
    for i, j in zip(contract[0] + batch[0], contract[1] + batch[1], strict=True):
        y_labels[j] = x_labels[i]
    out = [x_labels[i] for i in (*batch[0], *_free(x.ndim, contract[0], batch[0]))]
    out += [y_labels[j] for j in _free(y.ndim, contract[1], batch[1])]
    reduced = dict.fromkeys(contract[0], "sum")
    return Axes((tuple(x_labels), tuple(y_labels)), (tuple(out),), reduced)


def _product_workspace(e: Equation, operands: Sequence[Any]) -> int:
    """The bytes of operands copied into matrices that BLAS can take, and of the products of runs,
    which take up to a quarter of the operands."""
    if not e.params["contract"][0]:
        return sum([x.aval.nbytes for x in e.operands])
    pairs = zip(operands, contraction_of(e).forms, strict=True)
    copies = sum([x.nbytes for x, form in pairs if not _lies_as(x, *form)])
    result = e.outputs[0].aval
    if result.dtype.char not in "fF" or result.size > MAX_RUN_RESULTS:
        return copies
    return copies + sum([x.aval.nbytes for x in e.operands]) // 4


def _lies_as(x: np.ndarray, order: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether the array, with its axes in this order and then this shape, is a stack of dense
    matrices in memory without a copy."""
    try:
        matrices = np.reshape(x.transpose(order), shape, copy=False)
    except ValueError:
        return False
    either = (matrices, matrices.swapaxes(1, 2))
    return x.flags.aligned and any(m.flags.c_contiguous for m in either)


# Sum of products over the `contract` axes, separately along the `batch` axes. The result has axes
# (batch, free axes of x, free axes of y).
dot_general = bilinear(
    "dot_general",
    infer=_infer,
    run=_dot_array,
    axes=_axes,
    transpose_x=_transpose_x,
    transpose_y=_transpose_y,
    batch=lambda *args: batched(dot_general, *args),
    shows_nan=True,
    role=Role.CONTRACTION,
    workspace=_product_workspace,
)


# dot_general with marks.


def _kept_batch(size: int, operands: Any, mapped: Any, params: dict) -> Any:
    on = (mapped[0] or mapped[2], mapped[1] or mapped[3])
    mx, my, x, y = [
        with_leading_axis(size, z, is_on) if on[k % 2] else z
        for k, (z, is_on) in enumerate(zip(operands, mapped, strict=True))
    ]
    return batched(lambda x, y, **axes: dot_kept(mx, my, x, y, **axes), size, (x, y), on, params)


dot_kept = with_marks("dot_kept", dot_general, batch=_kept_batch)
