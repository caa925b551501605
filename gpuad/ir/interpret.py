"""The interpreter of graphs: read, apply, write, one equation at a time.

A `Program` is prepared once for each graph and array namespace. It holds, for each equation, the
function, the slots that it reads and writes, and the values that nothing reads afterwards.
"""

from collections.abc import Callable, Sequence
from typing import Any

from gpuad.collector import gc_paused
from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.ir.single import implementation

Step = tuple[Callable[..., Any], tuple[int, ...], tuple[int, ...] | int, tuple[int, ...]]
"""A function, the slots that it reads, the slots (or one) that it writes, and those to empty
then."""


class Program:
    """A graph with its functions looked up and the lifetimes of its values known."""

    __slots__ = ("_inputs", "_outputs", "_steps", "_template", "graph")

    def __init__(self, graph: Graph, xp: Any):
        self.graph = graph
        slots: dict[Any, int] = {}
        template: list[Any] = []

        def slot(x: Any) -> int:
            key = x if type(x) is Var else x.key
            if key not in slots:
                slots[key] = len(template)
                template.append(x.value if type(x) is Literal else None)
            return slots[key]

        self._inputs = [slot(v) for v in graph.inputs]
        last = _last_uses(graph)
        self._steps: list[Step] = []
        for i, e in enumerate(graph.equations):
            function = implementation(e, xp)
            reads = tuple([slot(x) for x in e.operands])
            writes: Any = tuple([slot(v) for v in e.outputs])
            frees = tuple([slot(v) for v in last.get(i, ())])
            self._steps.append(
                (function, reads, writes if e.primitive.multiple else writes[0], frees)
            )
        self._outputs = [slot(x) for x in graph.outputs]
        self._template = template

    def __call__(self, *inputs: Any) -> list[Any]:
        env = self._template.copy()
        for i, value in zip(self._inputs, inputs, strict=True):
            env[i] = value
        for function, reads, writes, frees in self._steps:
            result = function(*[env[i] for i in reads])
            if type(writes) is int:
                env[writes] = result
            else:
                for i, value in zip(writes, result, strict=True):  # type: ignore[arg-type]
                    env[i] = value
            for i in frees:
                env[i] = None
        return [env[i] for i in self._outputs]


def _last_uses(graph: Graph) -> dict[int, list[Var]]:
    """For each equation, the values that nothing after it reads."""
    last: dict[Var, int] = {}
    for i, e in enumerate(graph.equations):
        for v in e.outputs:
            last[v] = i
        for x in e.operands:
            if type(x) is Var:
                last[x] = i
    kept = {x for x in graph.outputs if type(x) is Var}
    frees: dict[int, list[Var]] = {}
    for v, i in last.items():
        if v not in kept:
            frees.setdefault(i, []).append(v)
    return frees


def program(graph: Graph, xp: Any) -> Program:
    """The program of `graph` for this namespace, made once."""
    key = ("program", xp.__name__)
    found = graph.derived.get(key)
    if found is None:
        with gc_paused:
            found = graph.derived[key] = Program(graph, xp)
    return found


def evaluate(equation: Equation, xp: Any, operands: Sequence[Any]) -> list[Any]:
    """The results of one equation, from the values of its operands."""
    result = implementation(equation, xp)(*operands)
    return list(result) if equation.primitive.multiple else [result]
