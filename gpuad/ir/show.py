"""The one text form of a graph, used by `make_graph`, errors and docs."""

from collections.abc import Iterator
from typing import Any

from gpuad.ir.aval import short_dtype
from gpuad.ir.graph import Equation, Graph, Literal
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


class Names:
    """Names of the values of a graph in the order in which they are met: a, b, c, ..."""

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}

    def __call__(self, x: Any) -> str:
        if type(x) is Literal:
            return f"{x.value!s}"
        if x not in self._names:
            self._names[x] = letters(len(self._names))
        return self._names[x]

    def with_aval(self, x: Any) -> str:
        return f"{self(x)}: {x.aval}"

    def equation(self, e: Equation) -> str:
        """``b: f64[3] = sin a``, without the graphs that it holds."""
        outputs = ", ".join(map(self.with_aval, e.outputs))
        operands = " ".join(map(self, e.operands))
        held = e.primitive.held
        plain = ", ".join([f"{k}={_text(v)}" for k, v in e.params.items() if k not in held])
        return f"{outputs} = {e.primitive}{f'[{plain}]' if plain else ''} {operands}".rstrip()


def _lines(graph: Graph, indent: str) -> Iterator[str]:
    name = Names()
    inputs = ", ".join(map(name.with_aval, graph.inputs))
    yield f"{indent}{graph.name}({inputs}) {{"
    for e in graph.equations:
        yield f"{indent}  {name.equation(e)}"
        for key in e.primitive.held:
            yield f"{indent}    {key} ="
            for inner in graphs_of(e.params[key]):
                yield show(inner, indent + "    ")
    yield f"{indent}  return {', '.join(map(name, graph.outputs))}"
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
