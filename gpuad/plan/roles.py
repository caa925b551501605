"""What an equation does, by the role of its primitive."""

from gpuad.ir.graph import Equation, Literal
from gpuad.ir.primitive import Role

STRUCTURE = (Role.VIEW, Role.COPY)


def is_view(e: Equation) -> bool:
    """Whether an equation is a view of an array. A repeated number is none: it has no memory."""
    return e.primitive.role is Role.VIEW and type(e.operands[0]) is not Literal


def is_scatter_add(e: Equation) -> bool:
    """Whether an equation adds rows at indices."""
    return e.primitive.role is Role.SCATTER and e.primitive.combiner == "sum"


def is_indexed(e: Equation) -> bool:
    """Whether an equation reads or adds rows of its first operand at indices."""
    return e.primitive.role is Role.GATHER or is_scatter_add(e)
