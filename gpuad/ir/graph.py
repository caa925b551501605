"""The recorded graph: variables, literals, equations, and the immutable `Graph` of them."""

from collections.abc import Hashable, Iterator
from typing import Any

from gpuad.collector import gc_paused
from gpuad.ir.atoms import Atom, Literal, Var
from gpuad.ir.aval import Aval
from gpuad.ir.primitive import Primitive


class Where:
    """Where in the user's code an equation came from."""

    __slots__ = ("file", "function", "line")

    def __init__(self, file: str, line: int, function: str):
        self.file, self.line, self.function = file, line, function

    def __repr__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


class Equation:
    """One application of a primitive. Never changed after it is made.

    `where` does not count when graphs are compared.
    """

    __slots__ = ("operands", "outputs", "params", "primitive", "where")

    def __init__(
        self,
        primitive: Primitive,
        operands: tuple[Atom, ...],
        params: dict[str, Any],
        outputs: tuple[Var, ...],
        where: Where | None = None,
    ):
        self.primitive = primitive
        self.operands = operands
        self.params = params
        self.outputs = outputs
        self.where = where


class Graph:
    """A closed, ordered, immutable list of equations from inputs to outputs, hashed by content.

    Scalars are `Literal` operands. Arrays that the traced code captured are the last
    `captured` inputs, so that two traces over different data share one graph.
    """

    __slots__ = ("_hash", "_key", "captured", "derived", "equations", "inputs", "name", "outputs")

    def __init__(
        self,
        inputs: tuple[Var, ...],
        equations: tuple[Equation, ...],
        outputs: tuple[Atom, ...],
        captured: int = 0,
        name: str = "graph",
    ):
        self.inputs = inputs
        self.equations = equations
        self.outputs = outputs
        self.captured = captured
        self.name = name
        self._key: tuple[Hashable, ...] | None = None
        self._hash = 0
        self.derived: dict[Hashable, Any] = {}
        """Results of pure functions of this graph (its program, its transforms), kept with it."""

    @property
    def in_avals(self) -> tuple[Aval, ...]:
        return tuple(v.aval for v in self.inputs)

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        return tuple(v.aval for v in self.outputs)

    @property
    def key(self) -> tuple[Hashable, ...]:
        """The content of the graph as a nested tuple; equal graphs have equal keys."""
        if self._key is None:
            with gc_paused:
                self._key = tuple(_content(self))
            self._hash = hash(self._key)
        return self._key

    def __hash__(self) -> int:
        _ = self.key
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Graph) and hash(self) == hash(other) and self.key == other.key
        )

    def __len__(self) -> int:
        return len(self.equations)

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {len(self.inputs)} inputs, {len(self)} equations>"


def equations_within(graph: Graph) -> Iterator[Equation]:
    """The equations of a graph and of all graphs held in it."""
    for e in graph.equations:
        yield e
        for held in e.primitive.held_graphs(e.params):
            yield from equations_within(held)


def calls_user(graph: Graph) -> bool:
    """Whether a run of the graph calls a function of the user's (see `Primitive.calls_user`)."""
    found = graph.derived.get("calls user")
    if found is None:
        found = any(e.primitive.calls_user for e in equations_within(graph))
        graph.derived["calls user"] = found
    return found


def _content(graph: Graph) -> Iterator[Hashable]:
    number: dict[Atom, int] = {}
    for v in graph.inputs:
        number[v] = len(number)
        yield v.aval
    yield graph.captured
    for e in graph.equations:
        yield e.primitive
        for x in e.operands:
            yield number[x] if type(x) is Var else x.key
        if e.params:
            yield tuple(e.params.items())
        for v in e.outputs:
            number[v] = len(number)
    yield "->"
    for x in graph.outputs:
        yield number[x] if type(x) is Var else x.key


__all__ = ["Atom", "Equation", "Graph", "Literal", "Var", "Where"]
