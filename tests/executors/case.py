"""One application of a primitive that the generated tests try out."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gpuad.ir.primitive import Primitive


@dataclass(eq=False)
class Case:
    """A primitive, its operands (arrays; Python scalars are Literals), its parameters, and a plain
    NumPy function of the operands that gives the value."""

    primitive: Primitive
    operands: tuple
    params: dict = field(default_factory=dict)
    expected: Callable | None = None
    id: str = ""
