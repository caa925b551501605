"""How long Numba takes to compile a sweep, estimated from its equations."""

import ast
import functools

from gpuad.executors.ordering import COPIES, GEMM, REDUCTIONS, RUNNING
from gpuad.plan.plan import AT_PLACES, SweepEquation
from gpuad.plan.views import VIEWS

UNIT = 0.0013
"""Seconds that an arithmetic operation in a loop takes to compile on an idle core, what it reads
and writes included; a function takes a tenth of a second more, the first of a process a quarter."""
LIMIT = round(1.2 / UNIT)
"""What one function may take, in units: 1.2 seconds by this estimate. With more, sweeps gain
little: the training gradient of W7 takes 12.9 ms with half of it, 11.3 with this, 11.0 with half as
much again."""
STRAIGHT = 1.1
"""How many times as much straight-line code may be; an operation takes 0.5 ms there."""
LOOP, COPY, PRODUCT, TOTAL = 60, 12, 30, 8
"""A reduction over lanes ends a loop and begins another; one over rows stands in a loop."""
ERROR_FUNCTION, FUNCTION, SELECTION = 20, 8, 2
SELECTIONS = frozenset(
    "where maximum minimum fmax fmin absolute copysign sqrt sign floor ceil trunc rint isnan isinf "
    "isfinite signbit cast".split()
)


def effort(s: SweepEquation) -> int:
    """Units for one equation."""
    e = s.equation
    name = e.primitive.name
    if name in REDUCTIONS:
        return TOTAL if s.axis is None else LOOP
    if name in AT_PLACES or name in RUNNING:
        return COPY
    if name in COPIES or name == GEMM:
        return COPY if name in COPIES else PRODUCT
    return 1 if name in VIEWS else text_effort(e.primitive.scalar_text(e.params))


@functools.cache
def text_effort(text: str) -> int:
    """Units for a scalar text."""
    nodes = list(ast.walk(ast.parse(text, mode="eval")))
    units = sum(isinstance(n, ast.BinOp | ast.Compare | ast.UnaryOp) for n in nodes)
    for n in nodes:
        if isinstance(n, ast.Call):
            function = ast.unparse(n.func)
            heavy = ERROR_FUNCTION if function in ("erf", "erfc") else FUNCTION
            units += SELECTION if function in SELECTIONS else heavy
    return units
