"""The order of work in a sweep: its equations grouped into loops."""

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation
from gpuad.plan.roles import is_view

IN_LOOPS = (Role.ELEMENTWISE, Role.REDUCTION)


def is_structure(e: Equation) -> bool:
    """Whether an equation waits for whole values, and stands between loops."""
    return is_view(e) or e.primitive.role not in (*IN_LOOPS, Role.VIEW)


@dataclass
class Loop:
    """Equations over one shape of lanes, in one loop nest."""

    shape: tuple[int, ...]
    equations: list[SweepEquation] = field(default_factory=list)


class Ordering:
    """The equations of a sweep as loops and structure equations, in the order in which they run.

    A loop takes, in the order of the program, all the equations over its lanes whose operands are
    known when it starts or come from itself; structure equations wait for whole values.
    """

    def __init__(
        self,
        sweep: Sequence[SweepEquation],
        space: Callable[[SweepEquation], tuple[int, ...]],
        operands: Callable[[SweepEquation], Iterable[Any]],
    ):
        self._sweep = sweep
        self._space = space
        self._consumers: dict[Any, list[int]] = {}
        self._missing = []
        self._structure: list[int] = []
        self._waiting: dict[tuple[int, ...], list[int]] = {}
        self.order: list[Any] = []
        for k, s in enumerate(sweep):
            needs = list(operands(s))
            self._missing.append(len(needs))
            for x in needs:
                self._consumers.setdefault(x, []).append(k)
        for k, count in enumerate(self._missing):
            if not count:
                self._offer(k)
        self._run()

    def _offer(self, k: int) -> None:
        """All operands of this equation are known, or come from the loop being made."""
        s = self._sweep[k]
        heap = (
            self._structure
            if is_structure(s.equation)
            else self._waiting.setdefault(self._space(s), [])
        )
        heapq.heappush(heap, k)

    def _known(self, s: SweepEquation) -> None:
        for k in self._consumers.get(s.equation.outputs[0], ()):
            self._missing[k] -= 1
            if not self._missing[k]:
                self._offer(k)

    def _run(self) -> None:
        while self._structure or self._waiting:
            while self._structure:
                s = self._sweep[heapq.heappop(self._structure)]
                self.order.append(s)
                self._known(s)
            if self._waiting:
                self._loop(min(self._waiting, key=self._turn))

    def _turn(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Short loops come first: what they make, a long one can use in the same go."""
        return math.prod(shape), self._waiting[shape][0]

    def _loop(self, shape: tuple[int, ...]) -> None:
        loop, heap, reduced = Loop(shape), self._waiting[shape], []
        while heap:
            s = self._sweep[heapq.heappop(heap)]
            loop.equations.append(s)
            if s.equation.primitive.role is Role.REDUCTION:
                reduced.append(s)
            else:
                self._known(s)
        del self._waiting[shape]
        self.order.append(loop)
        for s in reduced:
            self._known(s)
