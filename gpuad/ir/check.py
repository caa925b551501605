"""Whether a graph is legal. In tests this runs after every transform."""

from collections.abc import Callable
from typing import Any

from gpuad.errors import GraphError
from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.ir.show import show


def check(graph: Graph) -> Graph:
    """Returns `graph`, or raises `GraphError` naming the first equation that is not legal.

    Each operand is defined before it is used and each variable once; the results have the number,
    shapes and dtypes that the primitive infers; the operands of an elementwise primitive have one
    shape, apart from literals; graphs held as parameters are legal. The last `captured` inputs
    exist.
    """
    defined = set(graph.inputs)
    if len(defined) != len(graph.inputs):
        raise GraphError(f"an input stands twice in\n{show(graph)}")
    if not 0 <= graph.captured <= len(graph.inputs):
        raise GraphError(f"{graph.captured} inputs are said to be captured in\n{show(graph)}")
    for i, e in enumerate(graph.equations):
        _check_equation(graph, i, defined)
        defined.update(e.outputs)
    for x in graph.outputs:
        if type(x) is Var and x not in defined:
            raise GraphError(f"an output is never computed in\n{show(graph)}")
    return graph


def _check_equation(graph: Graph, i: int, defined: set[Any]) -> None:
    e = graph.equations[i]

    def fail(what: str) -> GraphError:
        return GraphError(f"equation {i} ({e.primitive}) {what} in\n{show(graph)}")

    for x in e.operands:
        if type(x) is Var and x not in defined:
            raise fail("uses a value before it is computed")
    if not defined.isdisjoint(e.outputs) or len(set(e.outputs)) < len(e.outputs):
        raise fail("computes a value for the second time")
    _check_avals(e, fail)
    for held in e.primitive.held_graphs(e.params):
        check(held)


def _check_avals(e: Equation, fail: Callable[[str], GraphError]) -> None:
    if e.primitive.kind == "elementwise":
        shapes = {x.aval.shape for x in e.operands if type(x) is not Literal}
        if len(shapes) > 1:
            raise fail(f"has operands of shapes {sorted(shapes)}")
    try:
        inferred = e.primitive.infer(*[x.aval for x in e.operands], **e.params)
    except Exception as error:
        raise fail(f"has operands or parameters that it refuses ({error})") from error
    inferred = inferred if e.primitive.multiple else (inferred,)
    if len(inferred) != len(e.outputs):
        raise fail(f"has {len(e.outputs)} results where {len(inferred)} are inferred")
    for v, aval in zip(e.outputs, inferred, strict=True):
        if v.aval != aval:
            raise fail(f"says {v.aval} where {aval} is inferred")
