"""Views apart: each use of a rearranged value gets a rearrangement of its own.

A view moves no data, so it need not be shared. Apart, the views of one value can have different
roles: in x[:, None] - x[None, :] the one is read along the rows and the other along the lanes.
"""

from gpuad.ir.graph import Atom, Equation, Graph, Var
from gpuad.plan.roles import is_view


def views_apart(graph: Graph) -> Graph:
    """The graph with the chain of views before each operand made for that operand alone."""
    views: dict[Atom, Equation] = {}
    equations: list[Equation] = []

    def own(x: Atom) -> Atom:
        e = views.get(x)
        if e is None:
            return x
        v, operand = Var(x.aval), own(e.operands[0])
        equations.append(Equation(e.primitive, (operand,), e.params, (v,), e.where))
        return v

    for e in graph.equations:
        if is_view(e):
            views[e.outputs[0]] = e
        else:
            operands = tuple([own(x) for x in e.operands])
            equations.append(Equation(e.primitive, operands, e.params, e.outputs, e.where))
    outputs = tuple([own(x) for x in graph.outputs])
    return Graph(graph.inputs, tuple(equations), outputs, graph.captured, graph.name)
