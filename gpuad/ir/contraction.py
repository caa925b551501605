"""The geometry of a contraction (`dot_general`): sums of products over shared axes, as products of
matrices."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gpuad.ir.graph import Equation

Axes = tuple[int, ...]
Order = tuple[Axes, tuple[int, int, int]]
"""How an operand becomes a stack of matrices: the order of its axes, then the shape (three
numbers)."""


@dataclass(frozen=True)
class Contraction:
    """The product of ``x`` and ``y``, summed over the axes `contract` of each, separately along
    `batch`; the result has the axes (batch, free axes of x, free axes of y)."""

    x: tuple[int, ...]
    """The shape of the first operand."""
    y: tuple[int, ...]
    contract: tuple[Axes, Axes]
    batch: tuple[Axes, Axes]

    @cached_property
    def free(self) -> tuple[Axes, Axes]:
        """The axes of each operand that the result has."""
        pairs = zip((self.x, self.y), self.contract, self.batch, strict=True)
        x, y = [
            tuple([k for k in range(len(shape)) if k not in contract and k not in batch])
            for shape, contract, batch in pairs
        ]
        return x, y

    @cached_property
    def count(self) -> int:
        """How many pairs of matrices are multiplied."""
        return math.prod([self.x[k] for k in self.batch[0]])

    @cached_property
    def n(self) -> int:
        """Rows of the first matrix."""
        return math.prod([self.x[k] for k in self.free[0]])

    @cached_property
    def k(self) -> int:
        """Columns of the first matrix, rows of the second one."""
        return math.prod([self.x[k] for k in self.contract[0]])

    @cached_property
    def m(self) -> int:
        """Columns of the second matrix."""
        return math.prod([self.y[k] for k in self.free[1]])

    @cached_property
    def forms(self) -> tuple[Order, Order]:
        """How the operands are stacks of matrices: (count, n, k) and (count, k, m)."""
        left = (*self.batch[0], *self.free[0], *self.contract[0]), (self.count, self.n, self.k)
        right = (*self.batch[1], *self.contract[1], *self.free[1]), (self.count, self.k, self.m)
        return left, right

    @property
    def multiplications(self) -> int:
        """How many multiplications of two numbers there are in all."""
        return self.count * self.n * self.k * self.m


def contraction_of(e: Equation) -> Contraction:
    """The geometry of an equation whose primitive is a contraction."""
    x, y = e.operands
    params: dict[str, Any] = e.params
    return Contraction(x.aval.shape, y.aval.shape, params["contract"], params["batch"])
