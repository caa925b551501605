"""The statements of one loop, while they are written."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpuad.codegen.argument import number_text
from gpuad.codegen.cpu.block_sweep import BlockSweep
from gpuad.codegen.cpu.loops import At
from gpuad.codegen.views import View
from gpuad.ir.graph import Literal
from gpuad.plan.plan import SweepEquation, Use

Element = Callable[[At], str]
"""The source text of a value at the loop's present row and lane."""


@dataclass
class LoopBody:
    """A loop of a sweep over lanes of this shape.

    `width` is how far apart the rows of its values are, if the loop is flat and runs over what is
    between their lanes too; else 0. `local` names the values that it has made, and `reads` are
    those that it reads from memory or scratch.
    """

    sweep: BlockSweep
    shape: tuple[int, ...]
    width: int
    local: dict[Any, str] = field(default_factory=dict)
    reads: list[View] = field(default_factory=list)

    def operands(self, s: SweepEquation) -> list[Element]:
        return [self._operand(x, use) for x, use in zip(s.equation.operands, s.uses, strict=True)]

    def _operand(self, x: Any, use: Use) -> Element:
        if type(x) is Literal:
            text = number_text(x.value)
            return lambda at: text
        if x in self.local:
            name = self.local[x]
            return lambda at: name
        view = self.sweep.read(x, use)
        self.reads.append(view)
        return lambda at: at(view)
