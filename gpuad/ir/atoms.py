"""What equations are made of: variables and literals."""

from typing import final

import numpy as np

from gpuad.ir.aval import Aval


@final
class Var:
    """One value of a graph; its identity is its name."""

    __slots__ = ("aval",)

    def __init__(self, aval: Aval):
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var({self.aval})"


@final
class Literal:
    """A scalar written into the graph; part of its content."""

    __slots__ = ("aval", "key", "value")

    def __init__(self, value: np.generic):
        self.value = value
        self.aval = Aval((), value.dtype, True)
        self.key = (value.dtype.str, value.tobytes())

    def __repr__(self) -> str:
        return f"{self.value!s}"


Atom = Var | Literal
