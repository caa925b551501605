"""How long Numba takes to compile a sweep, estimated from its equations."""

import ast
import functools

from gpuad.ir.primitive import Role
from gpuad.ir.scalar_text import FUNCTIONS
from gpuad.plan.plan import SweepEquation

UNIT = 0.0013
"""Seconds that an arithmetic operation in a loop takes to compile on an idle core, what it reads
and writes included. Each sweep takes a tenth of a second more, the first of a process a quarter."""
LIMIT = round(1.2 / UNIT)
"""Units that one sweep may cost, unless cutting it costs more (`plan.divide`): 1.2 seconds by this
estimate. More gains little: the training
gradient of a network runs 1.14 times as long with half of it, 0.97 times with one and a half."""
STRAIGHT = 1.1
"""Straight-line code may cost so many times `LIMIT`; an operation takes only 0.5 ms there."""
CROSSING = 16
"""Units of a value that one sweep stores and another reads: two arguments of compiled functions.
Four sweeps with 50 to 70 values between them took 5 seconds, and as one 1.2."""
LOOP, COPY, PRODUCT, TOTAL, VIEW = 60, 12, 30, 8, 1
"""Units of operations. A reduction over lanes (`LOOP`) ends a loop and begins another; one over
rows (`TOTAL`) stands in a loop."""
SIZES = {"selection": 2, "function": 8, "long function": 20}
"""Units of a function in a scalar text, by its size."""
FUNCTION = SIZES["function"]

_STRUCTURE = {Role.COPY: COPY, Role.GATHER: COPY, Role.SCATTER: LOOP, Role.VIEW: VIEW}


def compile_cost(s: SweepEquation) -> int:
    """Units for one equation, elementwise, a reduction, a structure operation or one with indices:
    what every target has."""
    primitive = s.equation.primitive
    if primitive.role is Role.REDUCTION:
        return TOTAL if s.axis is None else LOOP
    if primitive.role is Role.ELEMENTWISE:
        return text_cost(primitive.scalar_text(s.equation.params))
    return _STRUCTURE[primitive.role]


@functools.cache
def text_cost(text: str) -> int:
    """Units for a scalar text."""
    nodes = list(ast.walk(ast.parse(text, mode="eval")))
    units = sum(isinstance(n, ast.BinOp | ast.Compare | ast.UnaryOp) for n in nodes)
    calls = [ast.unparse(n.func) for n in nodes if isinstance(n, ast.Call)]
    return units + sum(SIZES[FUNCTIONS[name].size] for name in calls)
