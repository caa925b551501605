"""Views that are not shared: each operand that is a view gets a view of its own.

A view moves no data, so nothing is saved by sharing it. Separate views of one value can be read in
different ways: in x[:, None] - x[None, :] one is read along the rows, the other along the lanes.
"""

from gpuad.ir.graph import Atom, Equation, Graph, Var
from gpuad.plan.roles import is_view


def views_apart(graph: Graph) -> Graph:
    """The graph in which each operand has its own copy of the chain of views that it comes from."""
    views: dict[Atom, Equation] = {}
    equations: list[Equation] = []

    def own(x: Atom) -> Atom:
        chain = []
        while x in views:
            chain.append(views[x])
            (x,) = chain[-1].operands
        for e in reversed(chain):
            v = Var(e.outputs[0].aval)
            equations.append(Equation(e.primitive, (x,), e.params, (v,), e.where))
            x = v
        return x

    for e in graph.equations:
        if is_view(e):
            views[e.outputs[0]] = e
        else:
            operands = tuple([own(x) for x in e.operands])
            equations.append(Equation(e.primitive, operands, e.params, e.outputs, e.where))
    outputs = tuple([own(x) for x in graph.outputs])
    return Graph(graph.inputs, tuple(equations), outputs, graph.captured, graph.name)
