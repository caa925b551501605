"""Contraction: products summed over shared axes."""

from collections.abc import Sequence
from typing import Any

from gpuad.ir.aval import Aval
from gpuad.ir.primitive import Axes
from gpuad.primitives.declare import bilinear
from gpuad.primitives.structure import inverse_permutation, move_axis, transpose

Pair = tuple[tuple[int, ...], tuple[int, ...]]


def _free(ndim: int, contract: Sequence[int], batch: Sequence[int]) -> list[int]:
    return [i for i in range(ndim) if i not in contract and i not in batch]


def _infer(x: Aval, y: Aval, contract: Pair, batch: Pair) -> Aval:
    shape = [x.shape[i] for i in batch[0]]
    shape += [x.shape[i] for i in _free(x.ndim, contract[0], batch[0])]
    shape += [y.shape[i] for i in _free(y.ndim, contract[1], batch[1])]
    return Aval(tuple(shape), x.dtype)


def _dot_array(xp: Any, x: Any, y: Any, contract: Pair, batch: Pair) -> Any:
    if not batch[0]:
        if len(contract[0]) == 1 and x.ndim <= 2 and y.ndim <= 2:
            return xp.dot(x if contract[0][0] == x.ndim - 1 else x.T, y if not contract[1][0] else y.T)
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


def _batch(size: int, operands: Any, mapped: Any, params: dict) -> Any:
    (x, y), contract, batch = operands, params["contract"], params["batch"]
    shift = [int(m) for m in mapped]
    contract = tuple([tuple([i + s for i in c]) for c, s in zip(contract, shift, strict=True)])
    batch = tuple([tuple([i + s for i in b]) for b, s in zip(batch, shift, strict=True)])
    if all(mapped):
        batch = ((0, *batch[0]), (0, *batch[1]))
        return dot_general(x, y, contract=contract, batch=batch), True
    out = dot_general(x, y, contract=contract, batch=batch)
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
    return Axes((tuple(x_labels), tuple(y_labels)), (tuple(out),), dict.fromkeys(contract[0], "sum"))


# Sum of products over the `contract` axes, separately along the `batch` axes. The result has axes
# (batch, free axes of x, free axes of y).
dot_general = bilinear(
    "dot_general",
    infer=_infer,
    run=_dot_array,
    axes=_axes,
    transpose_x=_transpose_x,
    transpose_y=_transpose_y,
    batch=_batch,
)
