"""Which large values of a program lie in the same memory, one after the other.

Blocks are kept by size (`result_pool`), so that values of different sizes would each have one of
their own, all kept after a call. Here each value that lasts for a part of the program takes a block
that is as large as the largest of those that use it in turn: what is kept is little more than what
was in use at the fullest moment.
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
    """The bytes of the block in which each large value lies that is no result."""
    graph = program.graph
    dry_run = _Lifetimes(program, [None] * len(graph.inputs), strategy)
    dry_run.peak(program.steps)
    places = roots(graph, program.steps)
    kept = {places[x] for x in graph.outputs if type(x) is Var}
    blocks = divided({v: life for v, life in dry_run.lives.items() if v not in kept})
    return {v: block.size for block in blocks for v in block.values}


Life = tuple[int, int]
"""When a value is made and when it is forgotten."""


class _Lifetimes(NativeDryRun):
    """Notes when memory of the pool is taken and given back."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.lives: dict[Var, Life] = {}
        self._born: dict[Var, int] = {}
        self._now = 0

    def _made(self, v: Var, made: Any, size: int, pooled: bool = False) -> None:
        super()._made(v, made, size, pooled)
        self._now += 1
        if pooled and size >= result_pool.SMALLEST:
            self._born[v] = self._now

    def _freed(self, v: Var) -> None:
        super()._freed(v)
        self._now += 1
        if v in self._born:
            self.lives[v] = self._born[v], self._now


@dataclass
class Block:
    """Memory for some values, and when they live."""

    size: int
    values: list[Var]
    lives: list[Life]

    def is_free(self, life: Life) -> bool:
        start, end = life
        return all(last < start or first > end for first, last in self.lives)


def divided(lives: Mapping[Var, Life]) -> list[Block]:
    """The largest first, each in the smallest block that is free as long as it lives."""
    blocks: list[Block] = []
    for v in sorted(lives, key=lambda v: -v.aval.nbytes):
        block = next((b for b in reversed(blocks) if b.is_free(lives[v])), None)
        if block is None:
            block = Block(v.aval.nbytes, [], [])
            blocks.append(block)
        block.values.append(v)
        block.lives.append(lives[v])
    return blocks
