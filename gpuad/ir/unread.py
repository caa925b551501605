"""Equations of which nothing reads the results."""

from collections.abc import Callable, Sequence
from typing import Any

from gpuad.ir.graph import Equation, Var


def without_unread(
    equations: Sequence[Equation], outputs: Sequence[Any], may_go: Callable[[Equation], bool]
) -> tuple[Equation, ...]:
    """The equations of a graph with these outputs, without those for which may_go() is true and
    whose result nothing reads. A rewrite knows which ones it can have left behind."""
    read = {x for x in outputs if type(x) is Var}
    found = []
    for e in reversed(equations):
        if not may_go(e) or e.outputs[0] in read:
            found.append(e)
            read.update([x for x in e.operands if type(x) is Var])
    return tuple(found[::-1])
