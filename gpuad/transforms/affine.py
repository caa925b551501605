"""Whether the rule of a custom function has a constant part, which transposition would lose."""

from collections.abc import Sequence
from typing import Any
from typing import Literal as OneOf

import numpy as np

from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.ir.primitive import is_inexact
from gpuad.primitives import elementwise as ew
from gpuad.primitives.reduction import reduce_sum


def constant_parts(
    graph: Graph, seeds: Sequence[Var], outputs: Sequence[Atom]
) -> set[OneOf["adds", "returns"]]:
    """Whether the graph adds to values that depend on the seeds, or returns, what does not depend
    on them and may not be zero.

    Products of seeds are found when the graph is transposed. Held graphs are not looked into.
    """
    linear, zero = set(seeds), set[Any]()

    def is_zero(x: Atom) -> bool:
        return bool(x.value == 0) if type(x) is Literal else x in zero

    found: set[OneOf["adds", "returns"]] = set()
    for e in graph.equations:
        depend = [x in linear for x in e.operands]
        if any(depend):
            linear.update(e.outputs)
            if e.primitive in (ew.add, ew.sub) and not all(
                d or is_zero(x) for d, x in zip(depend, e.operands, strict=True)
            ):
                found.add("adds")
        elif _gives_zero(e, [is_zero(x) for x in e.operands]):
            zero.update(e.outputs)
    if any(is_inexact(x.aval.dtype) and not is_zero(x) and x not in linear for x in outputs):
        found.add("returns")
    return found


def _gives_zero(e: Equation, zeros: Sequence[bool]) -> bool:
    if e.primitive.holds_graph:
        return True
    if not e.operands:
        return "value" in e.params and not np.any(np.asarray(e.params["value"].array))
    if e.primitive is ew.mul:
        return any(zeros)
    if e.primitive is ew.div:
        return zeros[0]
    if e.primitive is ew.select:
        return all(zeros[1:])
    if e.primitive in (ew.neg, ew.add, ew.sub, ew.cast, ew.narrow, reduce_sum):
        return all(zeros)
    return e.primitive.moves != 0 and all(zeros[: e.primitive.moves])
