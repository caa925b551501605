"""A sweep that is unrolled, while it is written: the names of its values, and its lines so far."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument, number_text
from gpuad.codegen.cpu.lane_major import is_tiled
from gpuad.codegen.cpu.sweep_builder import SweepBuilder
from gpuad.codegen.structure import row_shape
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Literal, Var
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation, Use

Names = np.ndarray
"""An array of source names, in the shape of one row of a value."""


class UnrolledSweep(SweepBuilder):
    """What the emitters of an unrolled sweep share, beside that of every sweep.

    names
        Of each value, or each array in memory by value, kind and axis of its use.
    after
        The text for what follows the rows of a block, by the sum that it adds to; `lines` are those
        for a row.
    totals
        Sums over the rows of a block: name, element of the segment's sum, type.
    in_bounds
        The flags that say whether all indices are in bounds, by the axes of a table.
    """

    def __init__(
        self, equations: Sequence[SweepEquation], stored: set[Var], block: int, speed: str
    ):
        super().__init__(equations, stored, block, speed)
        self.names: dict[Any, Names] = {}
        self.after: dict[str, str] = {}
        self.totals: list[tuple[str, str, str]] = []
        self.in_bounds: dict[tuple[int, ...], str] = {}
        self._count = 0

    def line(self, text: str) -> str:
        """A new name for what the text says, in a line of its own."""
        name = self._new_name()
        self.lines.append(f"{name} = {text}")
        return name

    def _new_name(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def operands(self, s: SweepEquation, first: int = 0) -> list[Names]:
        """The names of the operands, from the one numbered `first`."""
        pairs = zip(s.equation.operands[first:], s.uses[first:], strict=True)
        return [self.operand(x, use) for x, use in pairs]

    def operand(self, x: Any, use: Use) -> Names:
        """The names of a value, one for each lane."""
        if type(x) is Literal:
            return np.array(number_text(x.value), object)
        if use.kind == "block":
            return self.names[x]
        key = (x, use.kind, use.axis)
        argument = self.arguments.read(x, use.kind, use.axis)
        if key not in self.names:
            self.names[key] = self._loaded(argument)
        return self.names[key]

    def _loaded(self, a: Argument) -> Names:
        shape = inner(a.var.aval.shape, a.axis)
        names = np.empty(shape, object)
        for j, i in enumerate(np.ndindex(*shape)):
            if a.kind == "free":
                names[i] = self._new_name()
                self.before.append(f"{names[i]} = {a.name}[{j}]")
            else:
                names[i] = self.line(self._element(a, shape, j))
        return names

    def store(self, s: SweepEquation) -> None:
        """Writes a result to memory, if it is to be there."""
        v = s.equation.outputs[0]
        if v not in self.stored or s.axis is None:
            return
        shape, a = row_shape(s), self.arguments.write(v, s.axis)
        for j, i in enumerate(np.ndindex(*shape)):
            element = self._element(a, shape, j, written=True)
            self.lines.append(f"{element} = {self.names[v][i]}")

    def _element(self, a: Argument, shape: Sequence[int], j: int, written: bool = False) -> str:
        """Where lane `j` of the present row of an array is."""
        lanes = size_of(shape)
        if is_tiled(a.var, lanes):
            return self.tiles.tile(a.name, a.var, lanes, written).element(j)
        index = "r" if lanes == 1 else f"{lanes} * r + {j}" if j else f"{lanes} * r"
        return f"{a.name}b[{index}]"
