"""How long Numba takes to compile a sweep, estimated from its equations."""

import ast
import functools

from gpuad.ir.primitive import Role
from gpuad.ir.scalar_text import FUNCTIONS
from gpuad.plan.plan import SweepEquation

UNIT = 0.0013
"""Seconds that an arithmetic operation in a loop takes to compile on an idle core, what it reads
and writes included; a function takes a tenth of a second more, the first of a process a quarter."""
LIMIT = round(1.2 / UNIT)
"""What one function may take, in units: 1.2 seconds by this estimate. With more, sweeps gain
little: with half of it the training gradient of a network takes 1.14 times as long, with half as
much again 0.97."""
STRAIGHT = 1.1
"""How many times as much straight-line code may be; an operation takes 0.5 ms there."""
LOOP, COPY, PRODUCT, TOTAL, VIEW = 60, 12, 30, 8, 1
"""A reduction over lanes ends a loop and begins another; one over rows stands in a loop."""
SIZES = {"selection": 2, "function": 8, "long function": 20}
"""Of a function in a scalar text."""
FUNCTION = SIZES["function"]

_OF_STRUCTURE = {Role.COPY: COPY, Role.VIEW: VIEW}


def compile_cost(s: SweepEquation) -> int:
    """Units for one equation, elementwise, a reduction or a structure operation: what every target
    has."""
    primitive = s.equation.primitive
    if primitive.role is Role.REDUCTION:
        return TOTAL if s.axis is None else LOOP
    if primitive.role is Role.ELEMENTWISE:
        return text_cost(primitive.scalar_text(s.equation.params))
    return _OF_STRUCTURE[primitive.role]


@functools.cache
def text_cost(text: str) -> int:
    """Units for a scalar text."""
    nodes = list(ast.walk(ast.parse(text, mode="eval")))
    units = sum(isinstance(n, ast.BinOp | ast.Compare | ast.UnaryOp) for n in nodes)
    calls = [ast.unparse(n.func) for n in nodes if isinstance(n, ast.Call)]
    return units + sum(SIZES[FUNCTIONS[name].size] for name in calls)
