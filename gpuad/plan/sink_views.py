"""Views moved to the stages that read them.

A sweep that leaves a view would store a rearranged copy, in the worst case (a transpose) with each
thread writing to a line of memory of its own. The operand of the view is stored instead. Then the
view costs nothing: a call gets it as a view of the whole array, and a later sweep reads through it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gpuad.ir.graph import Atom, Var
from gpuad.plan.plan import Call, Stage, SweepEquation, Use
from gpuad.plan.roles import is_view

Place = tuple[int, ...]
"""The position of a stage. If stage p is divided, its parts are at (*p, 0), (*p, 1), ..."""


class ViewSinking:
    """Stages with their views moved, which may be divided and joined afterwards.

    Attributes
    ----------
    stages : dict
        The stages by their places, whose order is that of the program.
    """

    def __init__(self, stages: Sequence[Stage], outputs: Sequence[Atom]):
        self.stages: dict[Place, Stage] = {}
        self._outputs = {x for x in outputs if type(x) is Var}
        # How often each stage reads a value.
        self._readers: dict[Var, Counter[Place]] = {}
        for k, stage in enumerate(stages):
            self._put((k,), stage)
        for place in reversed(list(self.stages)):
            self._sink_from(place)

    def kept(self, place: Place) -> set[Var]:
        """The results of a stage's sweep that must be whole in memory afterwards."""
        return self.kept_of(self.stages[place].sweep, (place,))

    def kept_of(self, sweep: Iterable[SweepEquation], places: Sequence[Place]) -> set[Var]:
        """`kept` for a sweep that is to take the place of the sweeps of these stages."""
        return {
            v
            for s in sweep
            for v in s.equation.outputs
            if s.axis is None
            or v in self._outputs
            or any(times and p not in places for p, times in self._readers.get(v, {}).items())
        }

    def replace(self, places: Sequence[Place], stage: Stage) -> None:
        """Puts one stage, at the first of these places, in place of all of them."""
        for place in places:
            self._take(place)
        self._put(places[0], stage)

    def divide(self, place: Place, parts: Sequence[Sequence[SweepEquation]]) -> list[Place]:
        """Divides a stage's sweep, and moves the views of its parts. If the first part has nothing
        but views that move, nothing would have been divided: then no view moves."""
        whole = self._take(place).whole
        found = [(*place, i) for i in range(len(parts))]
        for p, sweep in zip(found, parts, strict=True):
            self._put(p, Stage(whole if p is found[0] else [], list(sweep)))
        before = {
            p: Stage(list(s.whole), list(s.sweep)) for p, s in self.stages.items() if p in found
        }
        moved = [m for p in reversed(found) for m in self._sink_from(p)]
        if not self.stages[found[0]].sweep:
            for reader, stage in reversed(moved):
                self.replace([reader], stage)
            for p in found:
                self.replace([p], before[p])
        return found

    # The readers of values

    def _put(self, place: Place, stage: Stage) -> None:
        self.stages[place] = Stage(list(stage.whole), list(stage.sweep), stage.rows)
        self._count_all(place, 1)

    def _take(self, place: Place) -> Stage:
        self._count_all(place, -1)
        return self.stages.pop(place)

    def _count_all(self, place: Place, times: int) -> None:
        stage = self.stages[place]
        for e in (*stage.whole, *[s.equation for s in stage.sweep]):
            self._count(e, place, times)

    def _count(self, e: Call, place: Place, times: int) -> None:
        for x in e.operands:
            if type(x) is Var:
                self._readers.setdefault(x, Counter())[place] += times

    def _readers_of(self, v: Var) -> list[Place]:
        """The stages that read a value, in order."""
        return sorted([p for p, times in self._readers.get(v, {}).items() if times])

    # Moving views

    def _sink_from(self, place: Place) -> list[tuple[Place, Stage]]:
        """Moves the views of a stage that can be; returns the stages that they went to, as they
        were before. The last view goes first, so that a view of a view can follow it."""
        kept: list[SweepEquation] = []
        changed: list[tuple[Place, Stage]] = []
        for s in reversed(self.stages[place].sweep):
            before = self._moved(s, place) if self._movable(s, place) else None
            if before is None:
                kept.append(s)
            else:
                changed.append(before)
        self.stages[place].sweep = kept[::-1]
        return changed

    def _movable(self, s: SweepEquation, place: Place) -> bool:
        """Whether only later stages read this view, and storing its operand takes no more
        memory."""
        if not is_view(s.equation) or s.axis is None:
            return False
        (x,), (v,) = s.equation.operands, s.equation.outputs
        readers = self._readers_of(v)
        if v in self._outputs or not readers or readers[0] <= place:
            return False
        in_memory = s.uses[0].kind != "block" or x in self._outputs
        return in_memory or v.aval.size >= x.aval.size or self._readers_of(x)[-1] > place  # type: ignore[arg-type]

    def _moved(self, s: SweepEquation, place: Place) -> tuple[Place, Stage] | None:
        """Moves a view in front of its first reader, if all readers can read it then. Returns the
        reader's place and its stage as it was before; None if the view stays."""
        (v,) = s.equation.outputs
        first, *later = self._readers_of(v)
        stage = self.stages[first]
        before = Stage(list(stage.whole), list(stage.sweep), stage.rows)
        i = next((i for i, e in enumerate(stage.whole) if v in e.operands), None)
        if i is not None:
            stage.whole.insert(i, s.equation)
        elif not later and all(use == Use("rows", s.axis) for use in _uses(stage, v)):
            _read_through(s, stage)
        else:
            return None
        self._count(s.equation, place, -1)
        self._count(s.equation, first, 1)
        return first, before


def _uses(stage: Stage, v: Var) -> list[Use]:
    return [
        use
        for s in stage.sweep
        for x, use in zip(s.equation.operands, s.uses, strict=True)
        if x is v
    ]


def _read_through(s: SweepEquation, stage: Stage) -> None:
    """Puts a view at the beginning of a stage's sweep, which then makes it from its operand."""
    (v,) = s.equation.outputs
    uses = tuple([Use("rows", use.axis) if use.kind == "block" else use for use in s.uses])
    rest = []
    for t in stage.sweep:
        pairs = zip(t.equation.operands, t.uses, strict=True)
        block = tuple([Use("block", use.axis) if x is v else use for x, use in pairs])
        rest.append(replace(t, uses=block))
    stage.sweep = [replace(s, uses=uses), *rest]
