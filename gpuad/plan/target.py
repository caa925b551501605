"""What the planner asks of a target: what its sweeps can compute, and what compiling costs."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gpuad.ir.graph import Equation, Var
from gpuad.plan.axes import RowChoice
from gpuad.plan.plan import SweepEquation


class Target(Protocol):
    """A machine that sweeps are written for."""

    row_choice: RowChoice
    """What the choice of rows depends on."""

    def joins(self, e: Equation) -> bool:
        """Whether a sweep can compute this equation."""
        ...

    def cost(self, s: SweepEquation) -> float:
        """What an equation adds to the time that a sweep takes to compile."""
        ...

    def limit(self, sweep: Sequence[SweepEquation]) -> float:
        """The cost up to which a sweep like this one is compiled as one function, unless cutting it
        costs more."""
        ...


class FusingTarget(Target, Protocol):
    """A target whose sweeps are divided by their cost, and which also runs small operations on
    whole arrays as one call."""

    crossing_cost: float
    """The cost of a value that one sweep stores for others."""
    straight_limit: float
    """The cost up to which straight-line code is compiled as one function."""

    def has_dtype(self, dtype: np.dtype) -> bool:
        """Whether compiled functions can have values of this dtype."""
        ...

    def interprets(self, e: Equation) -> bool:
        """Whether the interpreter of packed arrays can do this equation."""
        ...


class FittingTarget(Target, Protocol):
    """A target whose sweeps have to fit into a kernel."""

    row_values: int
    """Values of one row of an array that a thread holds, at most."""

    def fits(self, sweep: Sequence[SweepEquation], kept: set[Var], rows: int) -> bool:
        """Whether one kernel can compute this sweep over so many rows and leave `kept`."""
        ...
