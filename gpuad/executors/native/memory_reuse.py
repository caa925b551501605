"""Which large values of a program use the same memory, one after the other.

The pool keeps blocks by size (`result_pool`), so that values of different sizes would each have a
block of their own, all kept after a call. Here intermediate values that do not live at the same
time share a block of the size of the largest of them: what is kept is little more than the peak
memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpuad.executors.memory import MemoryStrategy
from gpuad.executors.native import result_pool
from gpuad.executors.native.memory import DryRunProgram, NativeDryRun
from gpuad.executors.steps import roots
from gpuad.ir.graph import Var


def block_sizes(program: DryRunProgram, strategy: MemoryStrategy) -> dict[Var, int]:
    """The bytes of the block for each large value that is not a result."""
    graph = program.graph
    dry_run = _Lifetimes(program, [None] * len(graph.inputs), strategy)
    dry_run.peak(program.steps)
    places = roots(graph, program.steps)
    kept = {places[x] for x in graph.outputs if type(x) is Var}
    blocks = assigned_blocks({v: life for v, life in dry_run.lives.items() if v not in kept})
    return {v: block.size for block in blocks for v in block.values}


Life = tuple[int, int]
"""When a value is made and when it is freed, on a clock of such events."""


class _Lifetimes(NativeDryRun):
    """A dry run that notes when memory of the pool is taken and given back."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.lives: dict[Var, Life] = {}
        self._born: dict[Var, int] = {}
        self._now = 0

    def _made(self, v: Var, made: Any, size: int, block: int | None = None) -> None:
        super()._made(v, made, size, block)
        self._now += 1
        if block is not None and size >= result_pool.SMALLEST:
            self._born[v] = self._now

    def _freed(self, v: Var) -> None:
        super()._freed(v)
        self._now += 1
        if v in self._born:
            self.lives[v] = self._born[v], self._now


@dataclass
class Block:
    """Memory for some values, and the lives of these."""

    size: int
    values: list[Var]
    lives: list[Life]

    def is_free(self, life: Life) -> bool:
        start, end = life
        return all(last < start or first > end for first, last in self.lives)


def assigned_blocks(lives: Mapping[Var, Life]) -> list[Block]:
    """Blocks for these values: the largest value first, each in the smallest block that is free
    while the value lives."""
    blocks: list[Block] = []
    for v in sorted(lives, key=lambda v: -v.aval.nbytes):
        block = next((b for b in reversed(blocks) if b.is_free(lives[v])), None)
        if block is None:
            block = Block(v.aval.nbytes, [], [])
            blocks.append(block)
        block.values.append(v)
        block.lives.append(lives[v])
    return blocks
