"""The CPU as a target of the planner."""

import functools
from collections.abc import Sequence

import numpy as np

from gpuad.codegen.argument import TYPES
from gpuad.codegen.compile_cost import LIMIT, STRAIGHT, effort
from gpuad.codegen.cpu.assembler import can_assemble
from gpuad.codegen.cpu.fusibility import joins
from gpuad.codegen.cpu.unrolled import can_unroll
from gpuad.ir.graph import Equation
from gpuad.plan.plan import SweepEquation
from gpuad.plan.target import FusingTarget


class CpuTarget(FusingTarget):
    """Sweeps as functions that Numba compiles."""

    straight_limit = LIMIT * STRAIGHT

    def joins(self, e: Equation) -> bool:
        return joins(e, _text_functions())

    def cost(self, s: SweepEquation) -> float:
        return effort(s)

    def limit(self, sweep: Sequence[SweepEquation]) -> float:
        return LIMIT * STRAIGHT if can_unroll(sweep) else LIMIT

    def has_dtype(self, dtype: np.dtype) -> bool:
        return dtype.str[1:] in TYPES

    def interprets(self, e: Equation) -> bool:
        return can_assemble(e, self.joins)


CPU = CpuTarget()


@functools.cache
def _text_functions() -> frozenset[str]:
    """What the scalar text of a primitive may use."""
    from gpuad.kernels import vecmath

    return frozenset(vecmath.namespace(np.float32)) | {"x", "y", "z", "cast", "inf", "nan"}
