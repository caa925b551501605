"""Donated inputs: their memory is used for results and intermediate values.

A donated input that no later step reads is free memory. If a pass reads a value row by row for the
last time, a result of that pass with rows of the same size can overwrite it: the rows of a piece
are copied first. Where memory is limited, intermediate values are overwritten in this way too, at
the cost of the copies.
"""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpuad.codegen.argument import Argument
from gpuad.executors.steps import Key, Pass, Step, roots
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.primitive import Role
from gpuad.plan.plan import FusedCall

Memory = dict[Var, Var]
"""For values those in whose memory they lie."""


@dataclass(frozen=True)
class Place:
    """The memory of `block`, an input or a value that is overwritten, and its row axis."""

    block: Var
    axis: int


@dataclass(frozen=True)
class Donation:
    """`placed`: the values that are made in memory of other values. `staged`: what each pass copies
    piece by piece before overwriting it."""

    placed: dict[Var, Place] = field(default_factory=dict)
    staged: dict[Pass, list[Key]] = field(default_factory=dict)


NOTHING = Donation()


REFERENCES = 3
"""References to the base of an array that is its only user: of the array, of a variable, and of the
argument of `sys.getrefcount`."""


def holds_alone(x: Any) -> bool:
    """Whether an array has no base, or is the only object that refers to its base."""
    base = x.base
    return base is None or sys.getrefcount(base) <= REFERENCES


@dataclass
class _Block:
    """Memory that can be used again, and the value that is in it now."""

    place: Place
    holds: Var
    axis: int
    """The row axis of this value."""
    last_use: int
    """The last step that uses this value."""
    donated: bool


def donation(
    graph: Graph, steps: Sequence[Step], donated: Collection[Var], reuse: bool = False
) -> Donation:
    """Which results are made in the memory of which donated inputs; with `reuse`, also in that of
    intermediate values."""
    root, views = roots(graph, steps), _in_c_order(graph, steps)
    last = _last_uses(graph, steps, root)
    blocks = [_Block(Place(v, 0), v, 0, last[v], True) for v in graph.inputs if v in donated]
    placed: dict[Var, Place] = {}
    staged: dict[Pass, list[Key]] = {}
    for i, step in enumerate(steps):
        work = step.work
        if isinstance(work, Equation | FusedCall):
            continue
        for a in work.writes:
            block, key = _idle(blocks, i, a), None
            if block is None:
                block, key = _overwritten(blocks, i, a, work, (root, views))
            if block is None:
                if reuse:
                    place = Place(a.var, a.axis or 0)
                    blocks.append(_Block(place, a.var, a.axis or 0, last[a.var], False))
                continue
            if key is not None:
                staged.setdefault(work, []).append(key)
            at = block.place if block.donated else Place(block.holds, block.axis)
            placed[a.var] = at
            block.holds, block.axis, block.last_use = a.var, a.axis or 0, last[a.var]
    return Donation(placed, staged)


def _idle(blocks: Sequence[_Block], i: int, a: Argument) -> _Block | None:
    """The smallest donated memory that is free at step `i` and large enough."""
    found = [
        b for b in blocks if b.donated and b.last_use < i and _size(b.place.block) >= _size(a.var)
    ]
    return min(found, key=lambda b: _size(b.place.block), default=None)


def _overwritten(
    blocks: Sequence[_Block], i: int, a: Argument, work: Pass, memory: tuple[Memory, Memory]
) -> tuple[_Block | None, Key | None]:
    """Memory of a value that nothing uses after this pass, which reads each of its rows once, and
    how. `memory` has the root of each value, and what it has all elements of, in their order."""
    root, whole = memory
    for b in blocks:
        uses = [k for k in (*work.reads, *work.free) if root[k[0]] is root[b.holds]]
        if b.last_use != i or len(uses) != 1 or _size(b.holds) != _size(a.var):
            continue
        (key,) = uses
        x, kind, axis, _ = key
        itself = x is b.holds and axis == b.axis
        view = whole.get(x) is b.holds and axis == b.axis == a.axis == 0
        if kind == "rows" and key[3] is None and (itself or view):
            return b, key
    return None, None


def _in_c_order(graph: Graph, steps: Sequence[Step]) -> Memory:
    """The inputs that reshapes of them have all elements of: if these are in C order, as donated
    ones are, so are the views."""
    found: Memory = {}
    inputs = set(graph.inputs)
    for e in [s.work for s in steps if isinstance(s.work, Equation)]:
        if e.primitive.role is Role.VIEW and e.primitive.view is not None:
            x: Any = e.operands[0]
            if x in inputs or x in found:
                found[e.outputs[0]] = found.get(x, x)
    return found


def _size(v: Var) -> int:
    return v.aval.nbytes


def _last_uses(graph: Graph, steps: Sequence[Step], root: dict[Var, Var]) -> dict[Var, int]:
    """The last step that reads or makes each value or a view of it; after all for the results."""
    last = dict.fromkeys(graph.inputs, -1)
    for i, step in enumerate(steps):
        last.update({root[v]: i for v in step.values})
    # What a call that holds a graph makes may be a view of any of its operands.
    held = [s.work for s in steps if isinstance(s.work, Equation) and s.work.primitive.holds_graph]
    kept = [*graph.outputs, *[x for e in held for x in e.operands]]
    last.update({root[x]: len(steps) for x in kept if type(x) is Var})
    return last
