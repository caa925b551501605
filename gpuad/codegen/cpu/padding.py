"""Room around the lanes of a value in scratch, for the zeros that it is padded with.

A padded value is then a view of its operand, and nothing is copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpuad.codegen.structure import parts_of, row_shape
from gpuad.codegen.views import View
from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation


@dataclass
class PaddingRoom:
    """The lanes of a value begin `low` into scratch of this shape."""

    low: tuple[int, ...]
    shape: tuple[int, ...]
    computed: bool
    """Whether the loop that makes the value also writes to the room."""

    def holds(self, low: Sequence[int], shape: Sequence[int]) -> bool:
        """Whether there is room for a value of this shape that begins `low` before the lanes."""
        if self.computed:
            return tuple(shape) == self.shape
        starts = [mine - a for mine, a in zip(self.low, low, strict=True)]
        stops = [a + n for a, n in zip(starts, shape, strict=True)]
        return min(starts, default=0) >= 0 and all(
            b <= n for b, n in zip(stops, self.shape, strict=True)
        )


class Padding:
    """The padding of the values of a sweep: the room that they need, and the room that they have.

    `rooms` are those of values that have one.
    """

    def __init__(self, equations: Sequence[SweepEquation]):
        self._needed: dict[Any, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {}
        """Lanes before and after a value, for each time that it is padded."""
        self.rooms: dict[View, PaddingRoom] = {}
        self.zeroed: set[View] = set()
        """Values whose loop writes to the room, and after which it is filled with zeros."""
        for s in equations:
            self._note(s)

    def _note(self, s: SweepEquation) -> None:
        e = s.equation
        alone = e.primitive.role is Role.COPY and len(e.operands) == 1
        if not alone or s.uses[0].kind != "block":
            return
        (part,) = parts_of(s)
        if all((p.step or 1) == 1 for p in part):
            ends = zip(row_shape(s), part, strict=True)
            around = tuple([p.start for p in part]), tuple([n - p.stop for n, p in ends])
            self._needed.setdefault(e.operands[0], []).append(around)

    def room_for(self, x: Any, shape: tuple[int, ...]) -> PaddingRoom | None:
        """The room that a value of this shape needs; None if it is never padded."""
        if x not in self._needed:
            return None
        low, high = [_largest(ends) for ends in zip(*self._needed[x], strict=True)]
        whole = tuple([a + n + b for a, n, b in zip(low, shape, high, strict=True)])
        return PaddingRoom(low, whole, False)


def _largest(vectors: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple([max(0, *column) for column in zip(*vectors, strict=True)])
