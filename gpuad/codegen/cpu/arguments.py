"""The arrays that a sweep reads and writes, named in the order in which it first uses them."""

from typing import Any

from gpuad.codegen.argument import Argument
from gpuad.ir.graph import Var


class Arguments:
    """The arguments of a sweep: what it reads, what it writes by rows, and its sums over rows."""

    def __init__(self) -> None:
        self.reads: dict[Any, Argument] = {}
        """By value and the way in which it is read."""
        self.writes: dict[Var, Argument] = {}
        self.sums: dict[Var, Argument] = {}

    def read(
        self,
        x: Any,
        kind: str,
        axis: int | None = None,
        order: tuple[int, ...] | None = None,
        key: Any = None,
    ) -> Argument:
        """The argument for an array that is read so. The same array, kind and axis is one argument,
        unless a `key` of its own is given."""
        new = Argument(f"a{len(self.reads)}", x, kind, axis, order)
        return self.reads.setdefault(key or (x, kind, axis), new)

    def write(self, v: Var, axis: int) -> Argument:
        return self.writes.setdefault(v, Argument(f"o{len(self.writes)}", v, "rows", axis))

    def sum(self, v: Var, base: Any = None) -> Argument:
        """The argument for a sum over rows, to be added to `base`."""
        return self.sums.setdefault(v, Argument(f"c{len(self.sums)}", v, "sum", None, base=base))

    def in_order(self) -> list[Argument]:
        return [*self.reads.values(), *self.writes.values(), *self.sums.values()]
