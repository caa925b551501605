"""The one text form of a graph, used by `make_graph`, errors and docs."""

from collections.abc import Iterator
from typing import Any

from gpuad.ir.aval import short_dtype
from gpuad.ir.graph import Graph, Literal
from gpuad.ir.primitive import graphs_of


def show(graph: Graph, indent: str = "") -> str:
    """`graph` as text: one line per equation, results on the left.

    ::

        graph(a: f64[3]) {
          b: f64[3] = sin a
          c: f64[] = reduce_sum[axes=(0,)] b
          return c
        }
    """
    return "\n".join(_lines(graph, indent))


def _lines(graph: Graph, indent: str) -> Iterator[str]:
    names: dict[Any, str] = {}

    def name(x: Any) -> str:
        if type(x) is Literal:
            return f"{x.value!s}"
        if x not in names:
            names[x] = letters(len(names))
        return names[x]

    inputs = ", ".join([f"{name(v)}: {v.aval}" for v in graph.inputs])
    yield f"{indent}{graph.name}({inputs}) {{"
    for e in graph.equations:
        outputs = ", ".join([f"{name(v)}: {v.aval}" for v in e.outputs])
        operands = " ".join([name(x) for x in e.operands])
        held = e.primitive.held
        plain = ", ".join([f"{k}={_text(v)}" for k, v in e.params.items() if k not in held])
        line = f"{indent}  {outputs} = {e.primitive}{f'[{plain}]' if plain else ''} {operands}"
        yield line.rstrip()
        for key in held:
            yield f"{indent}    {key} ="
            for inner in graphs_of(e.params[key]):
                yield show(inner, indent + "    ")
    yield f"{indent}  return {', '.join([name(x) for x in graph.outputs])}"
    yield f"{indent}}}"


def _text(value: Any) -> str:
    if hasattr(value, "itemsize") and hasattr(value, "kind"):
        return short_dtype(value)
    return str(value).replace(" ", "")


def letters(n: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    text = ""
    n += 1
    while n:
        n, r = divmod(n - 1, 26)
        text = chr(ord("a") + r) + text
    return text
