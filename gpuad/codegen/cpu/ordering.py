"""The order of work in a sweep: its equations grouped into loops."""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation


@dataclass
class Loop:
    """Equations over one shape of lanes, in one loop nest."""

    shape: tuple[int, ...]
    equations: list[SweepEquation] = field(default_factory=list)


Item = Loop | SweepEquation
"""A loop, or an equation that waits for whole values and stands between loops."""


def block_operands(s: SweepEquation) -> set[Any]:
    """The operands that are made in the same sweep."""
    return {x for x, use in zip(s.equation.operands, s.uses, strict=True) if use.kind == "block"}


def values_kept(order: Iterable[Item]) -> set[Any]:
    """Values that a later loop or equation reads: they need scratch."""
    kept: set[Any] = set()
    for item in order:
        equations = item.equations if isinstance(item, Loop) else [item]
        mine = {
            s.equation.outputs[0]
            for s in equations
            if isinstance(item, Loop) and s.equation.primitive.role is not Role.REDUCTION
        }
        for s in equations:
            kept |= block_operands(s) - mine
    return kept


class Ordering:
    """The equations of a sweep as loops and equations between them, in the order in which they run.

    A loop takes, in the order of the program, all the equations over its lanes whose operands are
    known when it starts or come from itself. `in_loop` says of an equation whether it is one for
    loops, `lanes` gives the lanes that it runs over.
    """

    def __init__(
        self,
        sweep: Sequence[SweepEquation],
        in_loop: Callable[[SweepEquation], bool],
        lanes: Callable[[SweepEquation], tuple[int, ...]],
    ):
        self._sweep = sweep
        self._lanes = [lanes(s) if in_loop(s) else None for s in sweep]
        self._left = Counter(self._lanes)
        self._consumers: dict[Any, list[int]] = {}
        self._missing = []
        self._between: list[int] = []
        self._waiting: dict[tuple[int, ...], list[int]] = {}
        self.order: list[Item] = []
        for k, s in enumerate(sweep):
            needs = block_operands(s)
            self._missing.append(len(needs))
            for x in needs:
                self._consumers.setdefault(x, []).append(k)
        for k, count in enumerate(self._missing):
            if not count:
                self._offer(k)
        self._run()

    def _offer(self, k: int) -> None:
        """All operands of this equation are known, or come from the loop being made."""
        lanes = self._lanes[k]
        heap = self._between if lanes is None else self._waiting.setdefault(lanes, [])
        heapq.heappush(heap, k)

    def _known(self, s: SweepEquation) -> None:
        """The result of this equation is known from here on."""
        for k in self._consumers.get(s.equation.outputs[0], ()):
            self._missing[k] -= 1
            if not self._missing[k]:
                self._offer(k)

    def _run(self) -> None:
        while self._between or self._waiting:
            while self._between:
                s = self._sweep[heapq.heappop(self._between)]
                self.order.append(s)
                self._known(s)
            if self._waiting:
                self._loop(min(self._waiting, key=self._priority))

    def _priority(self, shape: tuple[int, ...]) -> tuple[bool, int, int]:
        """Those come first that are not divided. Of the others short ones: then a long one has all
        that they make, and is not divided."""
        divided = len(self._waiting) > 1 and not self._is_whole(shape)
        return divided, math.prod(shape), self._waiting[shape][0]

    def _is_whole(self, shape: tuple[int, ...]) -> bool:
        """Whether a loop over these lanes would have all equations over them that are left."""
        todo, count = list(self._waiting[shape]), 0
        missing: dict[int, int] = {}
        while todo:
            s = self._sweep[todo.pop()]
            count += 1
            if s.equation.primitive.role is Role.REDUCTION:
                continue
            for k in self._consumers.get(s.equation.outputs[0], ()):
                if self._lanes[k] == shape:
                    missing[k] = missing.get(k, self._missing[k]) - 1
                    if not missing[k]:
                        todo.append(k)
        return count == self._left[shape]

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
        self._left[shape] -= len(loop.equations)
        self.order.append(loop)
        for s in reduced:
            self._known(s)
