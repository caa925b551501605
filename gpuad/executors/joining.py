"""Which equations a CPU sweep can compute."""

import re

from gpuad.executors.ordering import COPIES, GEMM, REDUCTIONS
from gpuad.executors.sweep import TYPES
from gpuad.ir.graph import Equation
from gpuad.plan.views import VIEWS

GEMM_VALUES = 1 << 15
"""A matrix of at most so many values is multiplied block by block; a larger one, by the library."""


def words(text: str) -> list[str]:
    """The names in a text."""
    return re.findall(r"(?<![\w.])[A-Za-z_]\w*", text)


def joins(e: Equation, functions: frozenset[str]) -> bool:
    """Whether a CPU sweep, with these functions at hand, can compute this equation."""
    values = (*e.operands, *e.outputs)
    if any(x.aval.dtype.str[1:] not in TYPES or 0 in x.aval.shape for x in values):
        return False
    name = e.primitive.name
    if e.primitive.kind == "elementwise":
        floats = all(x.aval.dtype.kind in "fb" for x in values)
        known = set(words(e.primitive.scalar_text(e.params))) <= functions
        return known and floats
    if name == GEMM:
        return _joins_product(e)
    if name in REDUCTIONS:
        return e.outputs[0].aval.dtype.kind == "f"
    return name in (*VIEWS, *COPIES)


def _joins_product(e: Equation) -> bool:
    contract = e.params["contract"]
    if e.params["batch"][0] or not contract[0] or any(x.aval.dtype.kind != "f" for x in e.operands):
        return False
    sizes = sorted(x.aval.size for x in (*e.operands, *e.outputs))
    return sizes[0] <= GEMM_VALUES
