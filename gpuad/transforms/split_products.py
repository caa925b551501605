"""Reshapes around products of matrices: an axis that is several axes elsewhere is several axes in
the product as well.

einsum("nj,kij->nki") is often written as a product with a matrix of k·i rows and a reshape of the
result, or with reshapes around a transposed product. In a kernel the one long axis and the two
shorter ones would be different lanes; a library multiplies the same matrices either way.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gpuad.ir.aval import Aval
from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.primitive import CATALOGUE
from gpuad.ir.unread import without_unread
from gpuad.transforms.fold_transposes import fold_transposes
from gpuad.transforms.join_axes import join_axes
from gpuad.transforms.lower import lower


def lower_for_gpu(graph: Graph) -> Graph:
    """The graph, simplified, in the operations of kernels and of the libraries beside them."""
    return join_axes(split_products(fold_transposes(lower(graph))))


def split_products(graph: Graph) -> Graph:
    """The graph in which a product has the axes that its last free axis is split into after it, or
    that its first operand's last axis was joined from before it."""
    reads = Counter(x for e in graph.equations for x in e.operands if type(x) is Var)
    reads.update([x for x in graph.outputs if type(x) is Var])
    made = {v: e for e in graph.equations for v in e.outputs}
    found: list[Equation] = []
    for e in graph.equations:
        if e.primitive.name == "reshape":
            found += _split_after(e, made, reads) or [e]
        elif e.primitive.name == "dot_general":
            found += _joined_before(e, made) or [e]
        else:
            found.append(e)
    moved = ("reshape", "dot_general")
    kept = without_unread(found, graph.outputs, lambda e: e.primitive.name in moved)
    return Graph(graph.inputs, kept, graph.outputs, graph.captured, graph.name)


def _split_after(e: Equation, made: dict[Any, Equation], reads: Counter) -> list[Equation] | None:
    """reshape(x · y) as x · reshape(y), if that only splits the last free axis of y."""
    (v,) = e.operands
    product = made.get(v)
    if product is None or product.primitive.name != "dot_general" or reads[v] > 1:
        return None
    x, y = product.operands
    free = contraction_of(product).free[1]
    kept = v.aval.ndim - 1
    shape = e.outputs[0].aval.shape
    if len(free) != 1 or shape[:kept] != v.aval.shape[:kept] or len(shape) <= kept + 1:
        return None
    parts = shape[kept:]
    (axis,) = free
    contract, batch = [
        (pair[0], _after_split(pair[1], axis, len(parts) - 1))
        for pair in (product.params["contract"], product.params["batch"])
    ]
    split = _reshape(y, (*y.aval.shape[:axis], *parts, *y.aval.shape[axis + 1 :]), e)
    params = {"contract": contract, "batch": batch}
    return [
        split,
        Equation(product.primitive, (x, split.outputs[0]), params, e.outputs, product.where),
    ]


def _joined_before(e: Equation, made: dict[Any, Equation]) -> list[Equation] | None:
    """reshape(x) · y as reshape(x · y), if that only joins the last axes of x, which are free."""
    x, y = e.operands
    view = made.get(x)
    if view is None or view.primitive.name != "reshape":
        return None
    (inner,) = view.operands
    last = x.aval.ndim - 1
    joins = inner.aval.ndim > x.aval.ndim and inner.aval.shape[:last] == x.aval.shape[:last]
    if not joins or contraction_of(e).free[0] != (last,):
        return None
    (out,) = e.outputs
    place = len(e.params["batch"][0])
    shape = (*out.aval.shape[:place], *inner.aval.shape[last:], *out.aval.shape[place + 1 :])
    product = Var(Aval(shape, out.aval.dtype))
    return [
        Equation(e.primitive, (inner, y), e.params, (product,), e.where),
        Equation(CATALOGUE["reshape"], (product,), {"shape": out.aval.shape}, e.outputs, e.where),
    ]


def _reshape(x: Any, shape: Sequence[int], e: Equation) -> Equation:
    v = Var(Aval(tuple(shape), x.aval.dtype))
    return Equation(CATALOGUE["reshape"], (x,), {"shape": tuple(shape)}, (v,), e.where)


def _after_split(axes: Sequence[int], axis: int, more: int) -> tuple[int, ...]:
    """The numbers of axes after this one became `more` more axes."""
    return tuple([a + more if a > axis else a for a in axes])
