"""Transposes in front of matrix products: cuBLAS reads a matrix either way, so the product takes
the operand of the transpose. Rows are its first axis then, as in the kernels around it."""

from typing import Any

from gpuad.ir.graph import Equation, Graph
from gpuad.ir.unread import without_unread


def fold_transposes(graph: Graph) -> Graph:
    """The graph in which products read through transposes, where their free axes keep their
    order."""
    views: dict[Any, Equation] = {}
    equations: list[Equation] = []
    for e in graph.equations:
        if e.primitive.name == "transpose":
            views[e.outputs[0]] = e
        elif e.primitive.name == "dot_general":
            e = _folded(e, views)
        equations.append(e)
    kept = without_unread(equations, graph.outputs, lambda e: e.primitive.name == "transpose")
    return Graph(graph.inputs, kept, graph.outputs, graph.captured, graph.name)


def _folded(e: Equation, views: dict[Any, Equation]) -> Equation:
    operands = list(e.operands)
    axes = [list(pair) for pair in zip(e.params["contract"], e.params["batch"], strict=True)]
    for k in range(2):
        while operands[k] in views:
            view = views[operands[k]]
            perm = view.params["perm"]
            used = {i for group in axes[k] for i in group}
            free = [perm[i] for i in range(len(perm)) if i not in used]
            if free != sorted(free):
                break
            operands[k] = view.operands[0]
            axes[k] = [tuple([perm[i] for i in group]) for group in axes[k]]
    if operands == list(e.operands):
        return e
    contract, batch = zip(*axes, strict=True)
    return Equation(
        e.primitive, tuple(operands), {"contract": contract, "batch": batch}, e.outputs, e.where
    )
