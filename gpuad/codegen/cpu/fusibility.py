"""Which equations a CPU sweep can compute."""

import re

from gpuad.codegen.argument import TYPES
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Role
from gpuad.plan.roles import STRUCTURE, is_scatter_add

GEMM_VALUES = 1 << 14
"""A matrix of at most so many values is multiplied block by block; a larger one, by the library."""

TABLE_VALUES = 1 << 12
"""Each segment of rows adds to a table of its own; larger tables are added to by one call."""


def words(text: str) -> list[str]:
    """The names in a text."""
    return re.findall(r"(?<![\w.])[A-Za-z_]\w*", text)


def joins(e: Equation, functions: frozenset[str]) -> bool:
    """Whether a CPU sweep, with these functions at hand, can compute this equation."""
    values = (*e.operands, *e.outputs)
    if any(x.aval.dtype.str[1:] not in TYPES or 0 in x.aval.shape for x in values):
        return False
    role = e.primitive.role
    if role is Role.ELEMENTWISE:
        known = set(words(e.primitive.scalar_text(e.params))) <= functions
        return known and _has_types(e)
    if role is Role.GATHER:
        return e.params["batch"] < 2
    if is_scatter_add(e):
        small = e.params["batch"] == 1 or e.outputs[0].aval.size <= TABLE_VALUES
        return e.params["batch"] < 2 and small and e.outputs[0].aval.dtype.kind == "f"
    if role is Role.CONTRACTION:
        return _joins_product(e)
    if role in (Role.REDUCTION, Role.CUMULATIVE):
        return e.outputs[0].aval.dtype.kind == "f"
    return role in STRUCTURE


def _has_types(e: Equation) -> bool:
    """Whether an elementwise operation is for these types what the same text says."""
    kinds = {x.aval.dtype.kind for x in (*e.operands, *e.outputs)}
    if kinds <= {"f", "b"}:
        return True
    # What a float becomes that is no integer is not the same everywhere.
    to_integer = e.outputs[0].aval.dtype.kind == "i" and e.operands[0].aval.dtype.kind == "f"
    return e.primitive.integers and not to_integer


def _joins_product(e: Equation) -> bool:
    contract = e.params["contract"]
    if e.params["batch"][0] or not contract[0] or any(x.aval.dtype.kind != "f" for x in e.operands):
        return False
    sizes = sorted(x.aval.size for x in (*e.operands, *e.outputs))
    return sizes[0] <= GEMM_VALUES
