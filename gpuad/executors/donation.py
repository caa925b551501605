"""Donated inputs: their memory is taken for results and intermediate values.

An input that nothing reads any more is free memory. One that a pass reads row by row for the last
time can take a result of that pass with rows of the same size: the rows of a piece are copied
before they are overwritten.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpuad.executors.passes import Key, Pass
from gpuad.executors.steps import Step, roots
from gpuad.ir.graph import Graph, Var


@dataclass(frozen=True)
class Donation:
    """`placed`: in which input's memory a value is made. `staged`: what is read by pieces copied
    beforehand."""

    placed: dict[Var, Var] = field(default_factory=dict)
    staged: tuple[Key, ...] = ()


NOTHING = Donation()


def can_take(x: Any, others: Iterable[Any]) -> bool:
    """Whether the memory of an array can be used: all of it is its own, and it can be written."""
    if type(x) is not np.ndarray or not x.ndim:
        return False
    flags = x.flags
    root = x
    while isinstance(root.base, np.ndarray):
        root = root.base
    return (
        bool(flags.writeable and flags.c_contiguous and flags.aligned)
        and root.nbytes == x.nbytes
        and not any(isinstance(y, np.ndarray) and np.may_share_memory(x, y) for y in others)
    )


def in_memory_of(block: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of this shape at the beginning of another's memory."""
    size = int(np.prod(shape)) * dtype.itemsize
    return block.reshape(-1).view(np.uint8)[:size].view(dtype).reshape(shape)


def donation(graph: Graph, steps: Sequence[Step], donated: Collection[Var]) -> Donation:
    """Which results are made in the memory of which donated inputs."""
    root = roots(graph, steps)
    last = _last_uses(graph, steps, root)
    free = [v for v in graph.inputs if v in donated]
    placed: dict[Var, Var] = {}
    staged: list[Key] = []
    for i, step in enumerate(steps):
        work = step.work
        if not isinstance(work, Pass):
            continue
        for a in work.writes:
            idle = [x for x in free if last[x] < i and x.aval.nbytes >= a.var.aval.nbytes]
            busy = [x for x in free if last[x] == i and _can_stage(work, root, x, a)]
            if not idle and not busy:
                continue
            chosen = min(idle, key=lambda x: x.aval.nbytes) if idle else busy[0]
            if not idle:
                staged.append((chosen, "rows", 0, None))
            placed[a.var] = chosen
            free.remove(chosen)
    return Donation(placed, tuple(staged))


def _last_uses(graph: Graph, steps: Sequence[Step], root: dict[Var, Var]) -> dict[Var, int]:
    """The last step that reads each input or a view of it."""
    last = dict.fromkeys(graph.inputs, -1)
    for i, step in enumerate(steps):
        last.update({root[v]: i for v in step.values if root[v] in last})
    last.update({root[x]: len(steps) for x in graph.outputs if type(x) is Var and root[x] in last})
    return last


def _can_stage(work: Pass, root: dict[Var, Var], x: Var, a: Any) -> bool:
    """Whether a result can overwrite the rows of `x` as they are read."""
    uses = [k for k in (*work.reads, *work.free) if root[k[0]] is x]
    return uses == [(x, "rows", 0, None)] and x.aval.nbytes == a.var.aval.nbytes
