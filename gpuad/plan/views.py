"""Views that are not shared: each operand that is a view gets a view of its own.

A view moves no data, so nothing is saved by sharing it. Separate views of one value can be read in
different ways: in x[:, None] - x[None, :] one is read along the rows, the other along the lanes.
"""

from collections import Counter

from gpuad.ir.graph import Atom, Equation, Graph, Var
from gpuad.plan.axes import equation_axes
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


class OuterViews:
    """A graph without the views with other axes that all of an input is read through, and those
    that a result is: the graph `inside` has what they make, or are made of, as its inputs and
    outputs."""

    def __init__(self, graph: Graph):
        self._graph = graph
        reads = Counter([x for e in graph.equations for x in e.operands if type(x) is Var])
        reads.update([x for x in graph.outputs if type(x) is Var])
        views = [e for e in graph.equations if _has_other_axes(e)]
        inputs, outputs = set(graph.inputs), set(graph.outputs)
        self._first = {
            e.operands[0]: e for e in views if e.operands[0] in inputs and reads[e.operands[0]] == 1
        }
        self._last = {
            e.outputs[0]: e
            for e in views
            if e.outputs[0] in outputs and reads[e.outputs[0]] == 1 and e.operands[0] not in inputs
        }
        outer = {*self._first.values(), *self._last.values()}
        self.inside = Graph(
            tuple([self._first[v].outputs[0] if v in self._first else v for v in graph.inputs]),
            tuple([e for e in graph.equations if e not in outer]),
            tuple([self._last[x].operands[0] if x in self._last else x for x in graph.outputs]),
            graph.captured,
            graph.name,
        )

    def around(self, inside: Graph) -> tuple[Graph, list[Equation], list[Equation]]:
        """The whole graph, from another form of what is inside; and the views before and after."""
        outputs: list[Atom] = []
        before, after = list(self._first.values()), []
        given = self._graph
        for old, x in zip(given.outputs, inside.outputs, strict=True):
            if old in self._last:
                e = self._last[old]
                after.append(Equation(e.primitive, (x,), e.params, e.outputs, e.where))
            outputs.append(old if old in self._last else x)
        equations = (*before, *inside.equations, *after)
        graph = Graph(given.inputs, equations, tuple(outputs), given.captured, given.name)
        return graph, before, after


def _has_other_axes(e: Equation) -> bool:
    """Whether an equation is a view of every array in C order, with other axes."""
    return is_view(e) and e.primitive.view is not None and None in equation_axes(e).outputs[0]
