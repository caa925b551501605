"""The CPU as a target of the planner."""

from collections.abc import Sequence

import numpy as np

from gpuad.codegen.argument import TYPES
from gpuad.codegen.compile_cost import CROSSING, LIMIT, STRAIGHT
from gpuad.codegen.cpu.operations import can_interpret, emitter_of, joins
from gpuad.codegen.cpu.unrolled_source import can_unroll
from gpuad.ir.graph import Equation
from gpuad.plan.axes import RowChoice
from gpuad.plan.plan import SweepEquation
from gpuad.plan.target import FusingTarget


class CpuTarget(FusingTarget):
    """Sweeps as functions that Numba compiles."""

    row_choice = RowChoice()
    crossing_cost = CROSSING
    straight_limit = LIMIT * STRAIGHT

    def joins(self, e: Equation) -> bool:
        return joins(e)

    def cost(self, s: SweepEquation) -> float:
        return emitter_of(s).cost(s)

    def limit(self, sweep: Sequence[SweepEquation]) -> float:
        return LIMIT * STRAIGHT if can_unroll(sweep) else LIMIT

    def has_dtype(self, dtype: np.dtype) -> bool:
        return dtype.str[1:] in TYPES

    def interprets(self, e: Equation) -> bool:
        return can_interpret(e, self.joins)


CPU = CpuTarget()
