"""What equations are made of: variables and literals."""

from typing import final

import numpy as np

from gpuad.ir.aval import Aval


@final
class Var:
    """A value of a graph. Two variables are equal only if they are the same object."""

    __slots__ = ("aval",)

    def __init__(self, aval: Aval):
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var({self.aval})"


@final
class Literal:
    """A scalar written into the graph. `key` is equal for equal values of one dtype."""

    __slots__ = ("aval", "key", "value")

    def __init__(self, value: np.generic):
        self.value = value
        self.aval = Aval((), value.dtype, True)
        self.key = (value.dtype.str, value.tobytes())

    def __repr__(self) -> str:
        return f"{self.value!s}"


Atom = Var | Literal
