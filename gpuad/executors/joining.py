"""Which equations a CPU sweep can compute."""

import re

from gpuad.executors.ordering import COPIES, GEMM, REDUCTIONS, RUNNING
from gpuad.executors.sweep import TYPES
from gpuad.ir.graph import Equation
from gpuad.plan.views import VIEWS

GEMM_VALUES = 1 << 14
"""A matrix of at most so many values is multiplied block by block; a larger one, by the library."""

TABLE_VALUES = 1 << 12
"""Each segment of rows adds to a table of its own; larger tables are added to by one call."""
OF_INTEGERS = frozenset(
    "add sub mul neg lt le gt ge eq ne select cast maximum minimum bit_and bit_or bit_xor".split()
)
"""Operations whose text is right for integers."""


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
        known = set(words(e.primitive.scalar_text(e.params))) <= functions
        return known and _has_types(e)
    if name == "gather":
        return e.params["batch"] < 2
    if name == "scatter_add":
        small = e.params["batch"] == 1 or e.outputs[0].aval.size <= TABLE_VALUES
        return e.params["batch"] < 2 and small and e.outputs[0].aval.dtype.kind == "f"
    if name == GEMM:
        return _joins_product(e)
    if name in REDUCTIONS or name in RUNNING:
        return e.outputs[0].aval.dtype.kind == "f"
    return name in (*VIEWS, *COPIES)


def _has_types(e: Equation) -> bool:
    """Whether an elementwise operation is for these types what the same text says."""
    kinds = {x.aval.dtype.kind for x in (*e.operands, *e.outputs)}
    if kinds <= {"f", "b"}:
        return True
    # What a float becomes that is no integer is not the same everywhere.
    to_integer = e.primitive.name == "cast" and e.operands[0].aval.dtype.kind == "f"
    return e.primitive.name in OF_INTEGERS and not to_integer


def _joins_product(e: Equation) -> bool:
    contract = e.params["contract"]
    if e.params["batch"][0] or not contract[0] or any(x.aval.dtype.kind != "f" for x in e.operands):
        return False
    sizes = sorted(x.aval.size for x in (*e.operands, *e.outputs))
    return sizes[0] <= GEMM_VALUES
