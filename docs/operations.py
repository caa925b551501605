"""The table of operations, from the catalogue of primitives and the tests' cases of them."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from executors import test_primitives
from gpuad.codegen.cpu import operations as cpu
from gpuad.codegen.cuda import planning as cuda
from gpuad.ir.graph import Equation, Graph
from gpuad.ir.primitive import CATALOGUE, Primitive, Role
from gpuad.transforms.lower import lower

ROWS = 64
"""A batch of so many is what is asked about: more than the fewest small matrices written out."""
FREE = (Role.VIEW, Role.IOTA, Role.CONSTANT)
"""What costs nothing beside a sweep."""
HEADER = "| operation | derivatives | `vmap` | CPU | CUDA |\n|---|---|---|---|---|"


def table() -> str:
    """A row for each operation: its derivatives (of both modes, and of those again), and where a
    batch of it is computed, for real numbers."""
    found: dict[str, list[tuple[bool, bool]]] = {name: [] for name in CATALOGUE}
    for case, graph in _batches():
        if any(v.aval.dtype.kind == "c" for e in graph.equations for v in e.outputs):
            continue
        lowered = lower(graph)
        places = tuple([_joins(lowered, joins) for joins in (cpu.joins, cuda.joins)])
        found[case.primitive.name].append(places)  # type: ignore[arg-type]
    rows = [_row(CATALOGUE[name], places) for name, places in sorted(found.items())]
    return "\n".join([HEADER, *rows])


def _batches() -> Iterable[tuple[Any, Graph]]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for case, graph, _ in test_primitives.batches(ROWS):
            yield case, graph


def _joins(graph: Graph, joins: Callable[[Equation], bool]) -> bool:
    return all(joins(e) or e.primitive.role in FREE for e in graph.equations)


def _row(primitive: Primitive, places: list[tuple[bool, bool]]) -> str:
    cells = [_place([on[k] for on in places]) for k in (0, 1)]
    if primitive.holds_graph:
        cells = ["as the graph that it holds"] * 2
    return f"| `{primitive.name}` | {_derivatives(primitive)} | yes | {cells[0]} | {cells[1]} |"


def _derivatives(primitive: Primitive) -> str:
    if primitive.holds_graph:
        return "as the graph that it holds"
    if primitive.calls_user:
        return "by a custom rule, else refused"
    return "0" if primitive.jvp is None else "yes"


def _place(fused: list[bool]) -> str:
    if not fused:
        return "library"
    if all(fused):
        return "sweep"
    return "sweep, in part" if any(fused) else "library"
